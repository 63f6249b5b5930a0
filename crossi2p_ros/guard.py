"""The watch over the reference: what the answers together say of it, what follows, and what is kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

import numpy as np

from crossi2p_core.errors import InputError
from crossi2p_core.monitor.evidence import Evidence, cannot_tell, evidence_of
from crossi2p_core.monitor.states import State
from crossi2p_core.monitor.watch import Seen, Watch
from crossi2p_core.motion.standing import Places, view_of
from crossi2p_core.types import Sample

from .heard import Heard
from .outcome import Outcome
from .parameters import Settings
from .prior import Reference
from .repair import Repair, Repaired
from .saved_files import save
from .watch_file import Frames, Kept, Memory, same

KEEP_EVERY = 50  # answers after which the state is written though nothing has changed
STANDS = 50  # answers with one and the same reference after which it does not move any more


class Guard:
    """Looks at outcomes one by one, in the worker's thread; operators `accept` and `forget` in the executor's."""

    def __init__(self, settings: Callable[[], Settings], reference: Reference,
                 use: Callable[[Outcome], None] = lambda outcome: None) -> None:
        """use: told of every estimate that becomes the reference."""
        self._settings, self._reference, self._use = settings, reference, use
        self._lock = RLock()
        self._repair, self._memory = Repair(settings), Memory(settings)
        self._places = Places(settings().monitor_window)
        self._watch: Watch | None = None
        self._frames: Frames | None = None
        self._instead_of: np.ndarray | None = None
        self._still = 1  # answers in a row whose reference is that of the one before
        self.moves = False  # it is another one from answer to answer: links between the sensors move
        self._untried = False  # taken up from the file for want of any other start, and no answer has fitted it yet
        self._heard = Heard()
        self.in_use: Outcome | None = None  # the estimate that is the reference
        self.repairs = self.searches = 0
        self.words = ""

    @property
    def state(self) -> str:
        """One of `State`, empty where there is no reference to watch."""
        return "" if self._watch is None else self._watch.state.value

    @property
    def agreeing(self) -> int:
        """How many answers in a row say by now that the reference is wrong, and agree on where the camera is."""
        return self._repair.agreeing

    @property
    def proposed(self) -> Outcome | None:
        """The repair that waits for ~/accept."""
        return self._repair.proposed

    def prepare(self, start: Outcome) -> list[str]:
        """Before the first registration between two sensors: what the last run ended with is the reference, so that
        none starts from what was repaired then. start: as yet without an answer; returns what is to be logged."""
        with self._lock:
            if self._frames == (start.lidar_frame, start.camera_frame):
                return []
            return self._take_up_found(start) if start.reference is None else self._watch_over(start)

    def consider(self, outcome: Outcome) -> list[str]:
        """Take an outcome in; returns what is to be logged."""
        with self._lock:
            return self._consider(outcome)

    def pass_over(self, reason: str, stamp: int) -> list[str]:
        """A pair with this stamp (ns) was not registered, and why; returns what is to be logged."""
        with self._lock:
            if self._watch is None or not self._heard.adds_blindness(stamp):
                return []
            return self._take(cannot_tell(str(stamp / 1e9), reason), self._watch)

    def lost(self, frames: Frames, reference: np.ndarray) -> list[Sample]:
        """Once nothing fits near this reference (4, 4) of these sensors any more: samples enough to look for the camera
        in from scratch, where a repair is wanted, each handed out once; else none."""
        with self._lock:
            if self._watch is None or not self._watch.standing.lost or self.moves:
                return []
            if self._frames != frames or not same(reference, self._watch.T_in_use):
                return []
            samples = self._repair.samples_to_search()
            self.searches += bool(samples)
            return samples

    def accept(self, outcome: Outcome) -> None:
        """An operator makes an answer the reference."""
        with self._lock:
            self._repair.forget()
            self._put_to_use(outcome)

    def forget(self) -> None:
        """Former outcomes count no more, nor does what the file says: ~/reset was called."""
        with self._lock:
            self._drop()
            self._heard.forget()

    def _consider(self, outcome: Outcome) -> list[str]:
        """As `consider`, alone."""
        # 1. from scratch there is nothing to watch, but perhaps something to begin with
        if self._is_late(outcome):
            return []
        if outcome.reference is None:
            log = self._take_up_found(outcome)
            return log if log or not self._heard.adds(outcome) else self._repaired(self._repair.consider(outcome))
        # 2. whose watch
        log = self._watch_over(outcome)
        assert self._watch is not None
        if not same(outcome.reference, self._watch.T_in_use):
            return log  # taken back up from the file: this answer started elsewhere
        if outcome.searched:
            return log + self._searched(outcome)
        # 3. what this answer adds
        if not self._heard.adds(outcome):
            return log
        log += self._observe(outcome, self._watch)
        if self._untried and self._watch.standing.lost:
            self._drop()
            return [*log, "nothing fits the calibration that was found before: it is looked for from scratch again"]
        # 4. what follows
        moved = self._watch.state is State.DECALIBRATED
        if self.moves:  # what holds for one pair does not for the next
            return log
        return log + self._repaired(self._repair.consider(outcome, moved, self._seen() if moved else None))

    def _searched(self, outcome: Outcome) -> list[str]:
        """What follows from a search from scratch."""
        done = self._repaired(self._repair.take(outcome))
        return done or [f"{outcome.searched} pairs together, looked at from scratch, lead to no repair: "
                        f"{outcome.registration.status}, {outcome.from_reference_in_words}; "
                        f"{outcome.registration.reason}"]

    def _drop(self) -> None:
        """Back to what `prior.source` says, and nothing is known of that."""
        self._reference.reset()
        self._repair.forget()
        self._watch = self._instead_of = self.in_use = None
        self._untried = self.moves = False
        self._still, self.words = 1, ""
        self._memory.remove(self._frames)

    def _put_to_use(self, outcome: Outcome) -> None:
        """The reference from now on."""
        self._reference.accept(outcome.registration.T_cam_lidar, outcome.lidar_frame, outcome.camera_frame)
        self.in_use = outcome
        self._use(outcome)

    def _is_late(self, outcome: Outcome) -> bool:
        """It was under way when an operator accepted another reference."""
        now = self.in_use
        return (now is not None and (now.lidar_frame, now.camera_frame) == (outcome.lidar_frame, outcome.camera_frame)
                and not same(outcome.reference, now.registration.T_cam_lidar))

    def _watch_over(self, outcome: Outcome) -> list[str]:
        """See that the watch is of these sensors and of this reference."""
        assert outcome.reference is not None
        frames = (outcome.lidar_frame, outcome.camera_frame)
        if self._watch is None or self._frames != frames:
            self._begin(frames, Watch(outcome.reference, self._settings().monitor_config))
            return self._take_up(outcome, frames)
        changed = not same(outcome.reference, self._watch.T_in_use)
        again = changed and self._still == 0
        self._still = 0 if changed else self._still + 1
        self.moves &= self._still < STANDS
        if changed and not self.moves:
            self._repair.forget()  # what was said of another reference
            self.moves = again and self._settings().prior_source == "tf" and not self._reference.accepted
        if changed and self.moves:
            self._watch.follow(outcome.reference)
        elif changed:
            if self._reference.accepted and self._instead_of is None:
                self._instead_of = self._watch.T_in_use
            self._watch.accept(outcome.reference, repaired=self._reference.accepted)
        return []

    def _begin(self, frames: Frames, watch: Watch | None) -> None:
        """With other sensors everything begins anew."""
        self._repair.forget()
        self._watch, self._frames, self._instead_of, self._untried = watch, frames, None, False
        self._still, self.moves = 1, False
        self._places = Places(self._settings().monitor_window)

    def _take_up_found(self, outcome: Outcome) -> list[str]:
        """Where nobody gives a start: what the last run has found and saved. Looked for once."""
        frames = (outcome.lidar_frame, outcome.camera_frame)
        if self._frames == frames:
            return []
        self._begin(frames, None)
        return self._take_up(outcome, frames)

    def _take_up(self, outcome: Outcome, frames: Frames) -> list[str]:
        """Go on where the last run ended, if that was with this reference; the robot may not have moved since."""
        before, log = self._memory.take_up(outcome, frames)
        if before is not None:
            self._watch, self._instead_of = before.kept.watch, before.kept.instead_of
            self._untried = outcome.reference is None
            self._places = Places(self._settings().monitor_window, before.kept.watch.newest_place)
            if before.in_use is not None:
                self._put_to_use(before.in_use)
        return log

    def _observe(self, outcome: Outcome, watch: Watch) -> list[str]:
        """One answer more."""
        assert outcome.reference is not None
        place = self._places.of(view_of(outcome.sample.cloud, outcome.sample.camera, watch.T_in_use))
        evidence = evidence_of(outcome.sample.name, outcome.registration, outcome.reference, place)
        self._untried &= not evidence.usable
        self._repair.note(evidence, outcome.sample)
        return self._take(evidence, watch)

    def _take(self, evidence: Evidence, watch: Watch) -> list[str]:
        """The watch's word, where it has changed; it is kept then, and now and again."""
        said = watch.observe(evidence)
        self.words = said.words
        if said.changed or watch.frames % KEEP_EVERY == 0:
            return [*([f"{said.state.value}: {said.words}"] if said.changed else []), *self._write()]
        return []

    def _repaired(self, repaired: Repaired | None) -> list[str]:
        """What is to be said of a repair; one that is to be applied becomes the reference, is watched, and saved."""
        if repaired is None:
            return []
        log, answer = [repaired.words], repaired.answer
        if not repaired.applied:
            return log
        self.repairs += 1
        if self._watch is None:
            self._watch = Watch(answer.registration.T_cam_lidar, self._settings().monitor_config)
        else:
            self._instead_of = self._watch.T_in_use if self._instead_of is None else self._instead_of
        self._watch.accept(answer.registration.T_cam_lidar)
        self.words = "new answers have not confirmed it yet"
        self._put_to_use(answer)
        log += self._write()
        try:
            log.append("saved " + ", ".join(map(str, save(answer, self._settings().save_path))))
        except InputError as error:
            log.append(f"the repair is in use, but not saved: {error}")
        return log

    def _seen(self) -> Seen | None:
        """Where the answers since the move see the camera; None where they do not tell."""
        assert self._watch is not None
        try:
            return self._watch.where()
        except InputError:
            return None

    def _write(self) -> list[str]:
        """Keep what is known; why not, where that fails."""
        assert self._watch is not None and self._frames is not None
        return self._memory.write(Kept(self._watch, self._frames, self._instead_of))
