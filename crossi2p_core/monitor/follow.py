"""Frames of a drive in, the watch's word out, and where it says so a new calibration from them: what the command does.

The node, which has answers instead of frames to go by, repairs by its own rule (`crossi2p_ros.repair`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..calibrate.config import CalibrateConfig
from ..calibrate.frames import Read
from ..calibrate.observability import sigmas
from ..calibrate.run import Calibration, calibrate
from ..errors import InputError
from ..motion.standing import Places, view_of
from ..registrar import Registrar
from ..types import Prior, Registration, Sample
from .evidence import Evidence, cannot_tell, evidence_of
from .states import State, differs
from .watch import Said, Watch

Array = np.ndarray
Policy = Literal["report", "propose", "apply"]
SIGMAS, LEAST_DEG, LEAST_M = 3.0, 1.0, 0.10  # of what is searched for a repair, and its bounds at least
MOST_FRAMES = 4  # times repair_frames: how many of the newest are kept
TRY_AGAIN = 5  # frames at least until a repair that came to nothing is tried again, or half as many as it had


@dataclass(frozen=True)
class Repair:
    """A new calibration, and whether it is in use by now. words: for people."""

    found: Calibration
    applied: bool
    words: str


@dataclass(frozen=True)
class Followed:
    """After a frame. repair: None where none was tried, or it came to nothing: then `failed` says why, else empty."""

    said: Said
    repair: Repair | None = None
    failed: str = ""

    @property
    def state(self) -> State:
        """After the repair, where one was applied."""
        return State.REPAIRED if self.repair is not None and self.repair.applied else self.said.state

    @property
    def words(self) -> str:
        """What is known by then."""
        return self.repair.words if self.repair is not None and self.repair.applied else self.said.words


class Follower:
    """Watches one camera; keeps the frames that a repair would need.

    A repair rests on the first frames after the move, which have seen but one place; so it is made again, from all that
    have come since, each time they are twice as many.
    """

    def __init__(self, watch: Watch, registrar: Registrar, policy: Policy = "report",
                 config: CalibrateConfig | None = None) -> None:
        self.watch, self.policy = watch, policy
        self._registrar, self._config = registrar, config or CalibrateConfig()
        self._samples: deque[Sample] = deque(maxlen=MOST_FRAMES * watch.config.repair_frames)
        self._places = Places(watch.config.window, watch.newest_place)
        self._place_of: dict[str, int] = {}  # by the names of frames
        self._wait = 0  # frames that show enough until a repair is tried again
        self._again_at = 0  # frames since the move at which a repair is made again; 0: never
        self._proposed = False

    def after(self, sample: Sample, found: Registration) -> Followed:
        """What follows from a frame that was registered from the calibration in use."""
        place = self._places.of(view_of(sample.cloud, sample.camera, self.watch.T_in_use))
        evidence = evidence_of(sample.name, found, self.watch.T_in_use, place)
        if evidence.usable or evidence.misfit:
            self._samples.append(sample)
            self._place_of[sample.name] = place
            self._place_of = {kept.name: self._place_of[kept.name] for kept in self._samples}
        return self._follow(evidence)

    def without(self, name: str, reason: str) -> Followed:
        """What follows from a frame that could not be looked at."""
        return self._follow(cannot_tell(name, reason))

    def _follow(self, evidence: Evidence) -> Followed:
        said = self.watch.observe(evidence)
        self._wait -= evidence.usable or evidence.misfit
        off = self._is_off(said)
        self._proposed &= off
        # 1. is there something to repair, or to repair again, and enough to do it with?
        settled = said.state in (State.CALIBRATED, State.REPAIRED)
        again = settled and 0 < self._again_at <= len(self._samples)
        samples = list(self._samples) if again else self._since(said)
        tells = evidence.usable or self.watch.standing.lost  # a frame that fits nowhere may be the first after a move
        if not tells or not (again or off) or len(samples) < self.watch.config.repair_frames:
            return Followed(said)
        if len({self._place_of[sample.name] for sample in samples}) < self._config.least_frames:
            return Followed(said)  # the robot stands still: these frames together are no surer than one
        if self.policy == "report" or self._proposed or self._wait > 0:
            return Followed(said)
        # 2. what these frames say together
        self._wait, self._again_at = max(TRY_AGAIN, len(samples) // 2), 2 * self._again_at
        try:
            found = calibrate(Read(tuple(samples), ()), self._start(), self._registrar, self._config, lambda *_: None)
        except InputError as error:
            return Followed(said, failed=f"no repair: {error}")
        # 3. in use from now on, or told, or of no use
        if failed := self._why_not(found, again):
            return Followed(said, failed=failed)
        return Followed(said, self._take(found, samples))

    def _is_off(self, said: Said) -> bool:
        """The camera has moved, or nothing fits any more: then it is looked for from scratch."""
        return self.watch.standing.lost or said.state is State.DECALIBRATED

    def _since(self, said: Said) -> list[Sample]:
        """The frames kept since the move, or since the first doubts; where nothing fits any more, those that do not;
        all of them where nobody knows."""
        if self.watch.standing.lost:
            return list(self._samples)[-self.watch.standing.misfits:]
        names, first = [sample.name for sample in self._samples], said.since or said.doubted
        return list(self._samples)[names.index(first) if first in names else 0:]

    def _start(self) -> Prior | None:
        """Where the frames see the camera, and how far about it to search; None: nobody knows."""
        if self.watch.standing.lost:
            return None
        try:
            seen = self.watch.where()
        except InputError:  # they do not tell, so it has not gone far
            return Prior(self.watch.T_in_use, LEAST_DEG, LEAST_M)
        degrees, metres = sigmas(seen.covariance, seen.T)
        return Prior(seen.T, max(LEAST_DEG, SIGMAS * degrees), max(LEAST_M, SIGMAS * metres))

    def _why_not(self, found: Calibration, again: bool) -> str:
        """Why what was found takes no one's place, empty where it may. again: in place of an earlier repair, which it
        need not differ from."""
        if found.verdict.status != "ok":
            return f"no repair that one can trust: {found.verdict.reason}"
        if again or differs(found.T_cam_lidar, found.covariance, self.watch.T_in_use, self.watch.config):
            return ""
        return (f"no repair: {len(found.used)} frames together find nothing better than the calibration in use; perhaps"
                " it is not the camera's place that is wrong: see intrinsics, stamps and the time offset")

    def _take(self, found: Calibration, samples: list[Sample]) -> Repair:
        """Apply or propose what was found in these frames."""
        degrees, metres = sigmas(found.covariance, found.T_cam_lidar)
        sure = f"from {len(found.used)} frames, standard deviation {degrees:.2f} deg and {100 * metres:.1f} cm"
        if self.policy == "propose":
            self._proposed = True
            return Repair(found, False, f"a new calibration is proposed, {sure}")
        self.watch.accept(found.T_cam_lidar, repaired=True)
        self._samples.clear()
        self._samples.extend(samples)
        self._wait = 0
        self._again_at = 2 * len(samples) if 2 * len(samples) <= (self._samples.maxlen or 0) else 0
        return Repair(found, True, f"repaired: a new calibration is in use, {sure}")
