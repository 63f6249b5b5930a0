"""The watch over the reference: what the answers together say of it, what follows, and what is kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossi2p_core import atomic
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.evidence import Evidence, cannot_tell, evidence_of
from crossi2p_core.monitor.states import State
from crossi2p_core.monitor.watch import Seen, Watch
from crossi2p_core.safe_yaml import read_plain

from .outcome import Outcome
from .parameters import Settings
from .prior import Reference
from .repair import Repair, Repaired
from .saved_files import save

KEEP_EVERY = 50  # answers after which the state is written though nothing has changed
BLIND_NS = 10**9  # a turn of ten seconds is ten frames that say nothing, however many pairs were passed over in it
SAME = 1e-6  # by which two matrices of one calibration may differ


@dataclass(frozen=True)
class _Kept:
    """What the state file holds. instead_of: the reference that a repair took the place of, None without a repair."""

    watch: Watch
    frames: tuple[str, str]
    instead_of: np.ndarray | None


class Guard:
    """Looks at outcomes one by one, in the worker's thread; others only read."""

    def __init__(self, settings: Callable[[], Settings], reference: Reference) -> None:
        self._settings, self._reference = settings, reference
        self._repair = Repair(settings, reference)
        self._watch: Watch | None = None
        self._frames: tuple[str, str] | None = None
        self._instead_of: np.ndarray | None = None
        self._told_until = 0  # stamp of the newest pair that has told something: none tells twice
        self._blind_at = 0  # stamp of the last one that told that it cannot
        self.repairs = 0
        self.words = ""

    @property
    def state(self) -> str:
        """One of `State`, empty where there is no reference to watch."""
        return "" if self._watch is None else self._watch.state.value

    @property
    def agreeing(self) -> int:
        """How many answers in a row say by now that the reference is wrong, and agree on where the camera is."""
        return self._repair.agreeing

    def consider(self, outcome: Outcome) -> list[str]:
        """Take an outcome in; returns what is to be logged."""
        # 1. from scratch there is nothing to watch, but perhaps something to begin with
        if outcome.reference is None:
            return self._repaired(self._repair.consider(outcome))
        # 2. whose watch
        log = self._watch_over(outcome)
        assert self._watch is not None
        if not np.allclose(outcome.reference, self._watch.T_in_use, atol=SAME):
            return log  # taken back up from the file: this answer started elsewhere
        # 3. what this answer adds
        log += self._observe(outcome, self._watch)
        # 4. what follows
        moved = self._watch.state is State.DECALIBRATED
        return log + self._repaired(self._repair.consider(outcome, moved, self._seen() if moved else None))

    def pass_over(self, reason: str, stamp: int) -> list[str]:
        """A pair with this stamp (ns) was not registered, and why; returns what is to be logged."""
        if self._watch is None or abs(stamp - self._blind_at) < BLIND_NS:  # the clock may jump back
            return []
        self._blind_at = stamp
        return self._take(cannot_tell(str(stamp / 1e9), reason), self._watch)

    def forget(self) -> None:
        """Former outcomes count no more, nor does what the file says: ~/reset was called."""
        self._repair.forget()
        self._watch, self._instead_of, self.words = None, None, ""
        with suppress(OSError):  # what cannot be removed could not be written either
            self._path().unlink(missing_ok=True)

    def _watch_over(self, outcome: Outcome) -> list[str]:
        """See that the watch is of these sensors and of this reference."""
        assert outcome.reference is not None
        frames = (outcome.lidar_frame, outcome.camera_frame)
        if self._watch is None or self._frames != frames:
            self._watch, self._frames, self._instead_of = Watch(outcome.reference, self._config()), frames, None
            return self._take_up(outcome.reference, frames)
        if not np.allclose(outcome.reference, self._watch.T_in_use, atol=SAME):
            if self._reference.accepted and self._instead_of is None:
                self._instead_of = self._watch.T_in_use
            self._watch.accept(outcome.reference, repaired=self._reference.accepted)
        return []

    def _take_up(self, reference: np.ndarray, frames: tuple[str, str]) -> list[str]:
        """Go on where the last run ended, if the file is of this reference, or of what was repaired instead of it."""
        try:
            kept = self._read()
        except InputError as error:
            return [f"the watch begins anew: {error}"]
        if kept is None or kept.frames != frames:
            return []
        if np.allclose(kept.watch.T_in_use, reference, atol=SAME):
            self._watch, self._instead_of = kept.watch, kept.instead_of
            return [f"the watch goes on: {kept.watch.state.value}, after {kept.watch.frames} answers"]
        if (kept.instead_of is not None and np.allclose(kept.instead_of, reference, atol=SAME)
                and self._settings().repair_policy == "apply"):
            self._watch, self._instead_of = kept.watch, kept.instead_of
            self._reference.accept(kept.watch.T_in_use, *frames)
            return [f"goes on with the calibration that was repaired before; ~/reset takes it back ({self._path()})"]
        return []

    def _observe(self, outcome: Outcome, watch: Watch) -> list[str]:
        """One answer more, unless it rests on pairs that have told already."""
        if outcome.oldest <= self._told_until:
            return []
        self._told_until = outcome.stamp
        assert outcome.reference is not None
        return self._take(evidence_of(outcome.sample.name, outcome.registration, outcome.reference), watch)

    def _take(self, evidence: Evidence, watch: Watch) -> list[str]:
        """The watch's word, where it has changed; it is kept then, and now and again."""
        said = watch.observe(evidence)
        self.words = said.words
        if said.changed or watch.frames % KEEP_EVERY == 0:
            return [*([f"{said.state.value}: {said.words}"] if said.changed else []), *self._write()]
        return []

    def _repaired(self, repaired: Repaired | None) -> list[str]:
        """What is to be said of a repair; one that was applied is watched from now on, and saved."""
        if repaired is None:
            return []
        log, answer = [repaired.words], repaired.answer
        if not repaired.applied:
            return log
        self.repairs += 1
        if self._watch is not None:
            self._instead_of = self._watch.T_in_use if self._instead_of is None else self._instead_of
            self._watch.accept(answer.registration.T_cam_lidar)
            self.words = "repaired; new answers have not confirmed it yet"
            log += self._write()
        try:
            log.append("saved " + ", ".join(map(str, save(answer, self._settings().save_path))))
        except InputError as error:
            log.append(f"the repair is in use, but not saved: {error}")
        return log

    def _seen(self) -> Seen | None:
        """Where the answers since the move see the camera; None where none tells."""
        assert self._watch is not None
        try:
            return self._watch.where()
        except InputError:
            return None

    def _config(self) -> MonitorConfig:
        chosen = self._settings()
        return MonitorConfig(least_deg=chosen.monitor_least_deg, least_m=chosen.monitor_least_cm / 100,
                             false_alarms=chosen.monitor_false_alarms, window=chosen.monitor_window)

    def _path(self) -> Path:
        return Path(self._settings().save_path).expanduser().with_suffix(".watch.json")

    def _write(self) -> list[str]:
        """Keep what is known; why not, where that fails."""
        assert self._watch is not None and self._frames is not None
        told = self._watch.to_dict() | {"lidar_frame": self._frames[0], "camera_frame": self._frames[1],
                                        "instead_of": None if self._instead_of is None else self._instead_of.tolist()}
        try:
            self._path().parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._path(), json.dumps(told, allow_nan=False))
        except OSError as error:
            return [f"the state of the watch is not kept: cannot write {self._path()}: {error.strerror or error}"]
        return []

    def _read(self) -> _Kept | None:
        """Raises InputError for a file that is no watch's."""
        if not self._path().exists():
            return None
        told = read_plain(self._path())
        watch = Watch.from_dict(told, self._config())
        frames, before = (str(told.get("lidar_frame")), str(told.get("camera_frame"))), told.get("instead_of")
        if before is not None:
            before = se3.check_transform(np.asarray(before, dtype=np.float64), f"instead_of in {self._path()}")
        return _Kept(watch, frames, before)
