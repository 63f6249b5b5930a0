"""The watch: evidence in, a state with its reasons out; what it knows survives a restart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import se3
from .config import MonitorConfig
from .evidence import Evidence
from .places import number
from .sequential import Reading, SequentialTest
from .states import Standing, State, is_measured, next_standing

Array = np.ndarray
FORMAT = "crossi2p watch 1"


@dataclass(frozen=True)
class Seen:
    """Where so many frames together see the camera. T: (4, 4) T_cam_lidar. covariance: (6, 6), as in `Registration`,
    with what neighbouring frames share and no number of them averages out."""

    T: Array
    covariance: Array
    frames: int


@dataclass(frozen=True)
class Said:
    """After a frame. state: and `before` it. words: what is known, for people. reading: of the test. since: the name of
    the first frame after the move, where the frames tell. moved: (degrees, metres), NaN where unknown. doubted: the
    name of the first frame of those whose doubts have added up, where there is one."""

    name: str
    state: State
    before: State
    words: str
    reading: Reading
    since: str | None
    moved: tuple[float, float]
    doubted: str | None = None

    @property
    def changed(self) -> bool:
        """The state is another one than before this frame."""
        return self.state is not self.before


class Watch:
    """Over one calibration of one camera; not for several threads at once."""

    def __init__(self, T_in_use: Array, config: MonitorConfig | None = None) -> None:
        self.config = config or MonitorConfig()
        self.T_in_use = se3.check_transform(T_in_use, "the calibration in use")
        self._test = SequentialTest(self.config)
        self.standing = Standing()
        self.frames = 0

    @property
    def newest_place(self) -> int | None:
        """Number of the place where the newest usable frame was taken, as far as known."""
        return self._test.kept[-1].place if self._test.kept else None

    @property
    def state(self) -> State:
        """What is said of the calibration now."""
        return self.standing.state

    def observe(self, evidence: Evidence) -> Said:
        """Take a frame in."""
        self.frames += 1
        before = self.standing.state
        reading = self._test.observe(evidence)
        self.standing = next_standing(self.standing, reading, evidence, self.config)
        moved, since = (math.nan, math.nan), None
        off = self.state in (State.SUSPECT, State.DECALIBRATED) and not self.standing.lost
        if off and is_measured(reading, self.config):
            moved, since = (reading.turned_deg, reading.shifted_m), self._test.kept[-reading.since].name
        doubted = self._test.kept[-reading.doubted].name if reading.doubted else None
        said = Said(evidence.name, self.state, before, "", reading, since, moved, doubted)
        return replace(said, words=_in_words(said, self.standing, evidence, self.config))

    def where(self) -> Seen:
        """Where the frames since the move see the camera. Raises InputError where they do not tell: there are none,
        nothing fits any more, or they may as well see it where it was."""
        reading = self._test.read()
        if self.standing.lost or not is_measured(reading, self.config):
            raise InputError("no frames tell where the camera is by now; show it more")
        return Seen(se3.exp_se3(reading.xi) @ self.T_in_use, reading.covariance, reading.since)

    def accept(self, T_in_use: Array, repaired: bool = True) -> None:
        """Another calibration is in use from now on; nothing of before speaks for or against it."""
        self.T_in_use = se3.check_transform(T_in_use, "the calibration in use")
        self._test.forget()
        self.standing = Standing(State.REPAIRED if repaired else State.UNKNOWN)

    def follow(self, T_in_use: Array) -> None:
        """The same calibration at another moment: between sensors whose exposures lie apart, or on a joint, the vehicle
        moves. How far off it is stays known."""
        self.T_in_use = se3.check_transform(T_in_use, "the calibration in use")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for a file."""
        return {"format": FORMAT, "T_cam_lidar": self.T_in_use.tolist(), "frames": self.frames,
                "state": self.standing.state.value, "calm": self.standing.calm, "blind": self.standing.blind,
                "misfits": self.standing.misfits, "doubts": self._test.doubts,
                "evidence": [{"name": each.name, "xi": _plain(each.xi), "covariance": _plain(each.covariance),
                              "place": each.place} for each in self._test.kept]}

    @classmethod
    def from_dict(cls, told: Any, config: MonitorConfig | None = None) -> Watch:
        """What `to_dict` gave. Raises InputError for anything else."""
        if not isinstance(told, Mapping) or told.get("format") != FORMAT:
            raise InputError("this is no state of a watch; remove the file, and the watch begins anew")
        try:
            watch = cls(np.array(told["T_cam_lidar"], dtype=np.float64), config)
            watch.frames = _count(told, "frames")
            counts = (_count(told, name) for name in ("calm", "blind", "misfits"))
            watch.standing = Standing(State(told["state"]), *counts)
            places = [_place(each) for each in told["evidence"]]
            for each, place, kept in zip(told["evidence"], places, number(places), strict=True):
                watch._test.take(_evidence(each, None if place is None else -1 - int(kept)))  # new ones: from 0 up
            watch._test.doubts = _doubts(told["doubts"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the state of the watch is damaged ({type(error).__name__}: {error}); remove the file, "
                             "and the watch begins anew") from error
        return watch


def _plain(values: Array | None) -> list[Any]:
    assert values is not None  # what cannot tell is not kept
    return values.tolist()


def _count(told: Mapping[str, Any], name: str) -> int:
    number = told[name]
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    return number


def _doubts(told: Any) -> float:
    doubts = float(told)
    if not 0 <= doubts < math.inf:  # NaN is neither
        raise ValueError("doubts must be a finite number, 0 or more")
    return doubts


def _place(told: Mapping[str, Any]) -> int | None:
    place = told.get("place")  # the files of former versions have none
    if place is not None and not isinstance(place, int):
        raise ValueError("place must be a whole number")
    return place


def _evidence(told: Mapping[str, Any], place: int | None) -> Evidence:
    xi, covariance = (np.array(told[name], dtype=np.float64) for name in ("xi", "covariance"))
    if xi.shape != (6,) or covariance.shape != (6, 6) or not np.isfinite(xi).all():
        raise ValueError("a frame's evidence has the wrong shape")
    if not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance).min() <= 0:
        raise ValueError("a frame's covariance is none")
    return Evidence(str(told["name"]), xi, covariance, place=place)


def _in_words(said: Said, standing: Standing, evidence: Evidence, config: MonitorConfig) -> str:
    reading = said.reading
    within = f"moved by less than {reading.bounds[0]:.2f} deg and {100 * reading.bounds[1]:.1f} cm"
    amount = f"turned by {said.moved[0]:.2f} deg and shifted by {100 * said.moved[1]:.1f} cm, since {said.since}"
    if said.state is State.CALIBRATED:
        stands = "" if reading.places >= config.least_frames else "; the robot stands still, and was calibrated before"
        return f"{within} (99 %, {reading.usable} frames{stands})"
    if said.state is State.DECALIBRATED:
        return amount if said.since else "off, by an amount that the frames leave open"
    if said.state is State.SUSPECT and standing.lost:
        return (f"{standing.misfits} frames in a row show enough, and nothing fits near the calibration in use: search "
                "farther, or from scratch")
    if said.state is State.SUSPECT:
        return f"perhaps {amount}" if said.since else "perhaps off, by an amount that the frames leave open"
    if standing.blind >= config.blind_after:
        return f"cannot tell: {standing.blind} frames in a row say nothing; the last: {evidence.reason}"
    if reading.usable < config.least_frames:
        return f"cannot tell yet: {reading.usable} of {config.least_frames} usable frames"
    if reading.places < config.least_frames:
        return (f"cannot tell: the robot stands still, and {reading.usable} frames show {reading.places} of "
                f"{config.least_frames} places")
    return f"cannot tell yet: {within}, and {config.least_deg:g} deg and {100 * config.least_m:g} cm are asked"
