"""The one thread that owns the device: takes the newest pairs, registers them, hands the outcome on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread

import numpy as np

from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Camera, PointCloud, Prior, Sample

from .inputs import Pair
from .ledger import Ledger
from .messages.sample import sample_from_messages
from .outcome import Outcome
from .parameters import Settings
from .prior import Reference

IDLE_S = 0.5  # how often it looks up when nothing comes
JOIN_S = 0.5  # longer nobody waits for it: what it computes then is thrown away

Answer = Callable[[Outcome | str], None]
"""Told of the outcome, or in words why there is none."""


class _NoStart(InputError):
    """Nothing is wrong with the pairs, but there is no extrinsic to start from."""


@dataclass(eq=False)
class _Waiting:
    """A pair, and what became of it. used: it was looked at, and the gate let it in."""

    pair: Pair
    sample: Sample | None = None
    used: bool = False


class Worker:
    """Offer pairs from any thread; outcomes come out of the worker's own."""

    def __init__(self, registrar: Registrar, settings: Callable[[], Settings], reference: Reference, ledger: Ledger, *,
                 gate: Callable[[Pair], str], publish: Callable[[Outcome], None],
                 pass_over: Callable[[str, int], None], idle: Callable[[], None],
                 complain: Callable[[str], None]) -> None:
        """gate: why a pair is passed over, or empty. publish: takes outcomes. pass_over: takes why a pair has none, and
        its stamp (ns). idle: called when there is nothing to do. complain: logs what must not happen."""
        self._registrar, self._settings, self._reference, self._ledger = registrar, settings, reference, ledger
        self._gate, self._publish, self._pass_over = gate, publish, pass_over
        self._idle, self._complain = idle, complain
        self._changed = Condition()
        self._window: list[_Waiting] = []
        self._answers: list[Answer] = []
        self._asking: list[Answer] = []  # those whom the registration under way is for
        self._active = self._stopped = False
        self._round = 0  # raised when what is under way is to count no more: its outcome is thrown away
        self._next_at = 0.0
        self._former: Worker | None = None
        self._thread = Thread(target=self._run, name="crossi2p worker", daemon=True)

    def start(self, after: Worker | None = None) -> None:
        """Begin to warm up, once the worker `after` has let go of the device; without `activate` nothing more."""
        self._former = after
        self._thread.start()

    def activate(self) -> None:
        """Take pairs from now on."""
        with self._changed:
            self._active, self._round, self._next_at = True, self._round + 1, 0.0

    def deactivate(self) -> None:
        """Take no more, let nothing out of what is still being computed, and tell all who wait. Returns at once."""
        with self._changed:
            self._active = False
            answers = self._void()
        _tell(answers, "the node was deactivated")

    def stop(self) -> bool:
        """End the thread; returns whether it has ended, for a registration under way cannot be broken off."""
        self.deactivate()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
        return not self._thread.is_alive()

    def offer(self, pair: Pair) -> None:
        """Put a pair into the window; the oldest that no longer fits goes."""
        settings = self._settings()
        with self._changed:
            if not self._active:
                return
            if self._window and self._window[-1].pair.frames != pair.frames:
                self._ledger.refuse(f"the frames changed from {' and '.join(self._window[-1].pair.frames)} to "
                                    f"{' and '.join(pair.frames)}; pairs from before are not used any more")
                self._window.clear()
            self._window.append(_Waiting(pair))
            gone = [each for each in self._window if not each.used][:-settings.frames]
            for each in gone:  # a used one stays: the gate may refuse all that are new
                self._window.remove(each)
            if settings.mode == "continuous":
                self._ledger.dropped += len(gone)
            self._changed.notify_all()

    def calibrate(self, answer: Answer) -> bool:
        """Register the window now and tell `answer`; returns False where there is no pair yet."""
        with self._changed:
            if not self._window or not self._active:
                return False
            self._answers.append(answer)
            self._changed.notify_all()
            return True

    def forget(self) -> None:
        """Empty the window and void what is under way: ~/reset was called, or time has jumped back."""
        with self._changed:
            answers = self._void()
        _tell(answers, "the pairs were forgotten meanwhile: ~/reset was called, or time has jumped back; call again")

    def _void(self) -> list[Answer]:
        """Nothing from before counts any more; returns who is to be told. Called with the lock."""
        self._round += 1
        self._window.clear()
        answers = self._asking + self._answers
        self._asking, self._answers = [], []
        return answers

    def _run(self) -> None:
        while self._former is not None and not self._stopped:
            self._former = None if self._former.stop() else self._former
        if self._stopped:
            return
        self._guarded(self._warm_up)
        while not self._stopped:
            if self._wait():
                self._guarded(self._work)
            elif not self._stopped:
                self._guarded(self._idle)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Whatever is raised, the thread lives on, and the error is seen."""
        try:
            step()
        except Exception as error:
            self._ledger.refuse(f"internal error: {type(error).__name__}: {error}")
            self._complain(traceback.format_exc())

    def _wait(self) -> bool:
        """Wait a moment for work; returns whether there is some."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._due(), IDLE_S)
            return not self._stopped and self._due()

    def _due(self) -> bool:
        """Whether something is to be registered now."""
        if not self._active:
            return False
        if self._answers or not self._window:
            return bool(self._answers)
        mode = self._settings().mode
        fresh = not self._window[-1].used
        return fresh and (mode == "continuous" or (mode == "periodic" and time.monotonic() >= self._next_at))

    def _work(self) -> None:
        """Register the window once, publish, and answer whoever asked for it."""
        begin = time.monotonic()
        outcome: Outcome | str = "an internal error; the log says more"
        count: Callable[[str], None] | None = None
        window: list[_Waiting] = []
        with self._changed:
            this_round = self._round
            self._asking, self._answers = self._answers, []
        try:
            window, reason = self._look()
            outcome = self._register(window) if window else reason
        except _NoStart as error:
            outcome, count = str(error), self._ledger.lack
        except InputError as error:
            outcome, count = str(error), self._ledger.refuse
            if window:
                self._pass_over(str(error), window[-1].pair.stamp)
        finally:
            self._conclude(this_round, begin, outcome, count)

    def _conclude(self, this_round: int, begin: float, outcome: Outcome | str,
                  count: Callable[[str], None] | None) -> None:
        """Let out what came of this round, unless it was voided: then all who asked have been told."""
        with self._changed:
            if this_round != self._round:
                return
            if isinstance(outcome, Outcome):
                self._ledger.add(outcome)
                self._next_at = begin + self._settings().period  # a pair that is refused costs no period
            elif count is not None:
                count(outcome)
        if isinstance(outcome, Outcome):
            self._guarded(partial(self._publish, outcome))
        with self._changed:
            answers, self._asking = self._asking, []
        _tell(answers, outcome)

    def _look(self) -> tuple[list[_Waiting], str]:
        """The pairs to be registered, or none and why. The gate is asked once about each pair."""
        settings, passed_over = self._settings(), 0
        with self._changed:
            reason, fresh = "there is no pair any more; call again", False
            new = [each for each in self._window if not each.used]
            self._window = [each for each in self._window if each.used]
            for each in new:
                if refused := self._gate(each.pair):
                    reason, passed_over = refused, each.pair.stamp
                    self._ledger.passed_over += 1
                else:
                    each.used = fresh = True
                    self._window.append(each)
            del self._window[:-settings.frames]
            window, asked = list(self._window), bool(self._asking)
        if passed_over:
            self._pass_over(reason, passed_over)
        if not window or not (fresh or asked):
            return [], reason
        age, limit = time.monotonic() - window[-1].pair.arrived, settings.sync_max_age
        if asked and limit and age > limit:
            return [], (f"the newest pair came {age:.0f} s ago, and sync.max_age allows {limit:g} s; see that image "
                        "and cloud still come, or set sync.max_age")
        return window, ""

    def _register(self, window: list[_Waiting]) -> Outcome:
        """The outcome of these pairs. InputError for what cannot be used."""
        newest = window[-1].pair
        begin = time.perf_counter()
        samples = self._samples(window)
        converted = time.perf_counter()
        lidar_frame, camera_frame = self._frames(newest)
        try:
            reference = self._reference.find(lidar_frame, camera_frame, newest.stamp)
        except InputError as error:
            raise _NoStart(str(error)) from error
        if reference is None and not self._registrar.has_network:
            raise _NoStart("prior.source is none, so there is no start, and without weights nothing looks for one; set "
                           "prior.source to tf, file or parameters, or weights to default or a trained network")
        settings = self._settings()
        prior = None if reference is None else Prior(reference, settings.prior_max_deg, settings.prior_max_m)
        found = self._registrar.register_joint(samples, prior)
        now = time.monotonic()
        return Outcome(found, reference, samples[-1], lidar_frame, camera_frame, newest.stamp, newest.apart,
                       now - newest.arrived, now, {"convert": converted - begin} | found.timings,
                       window[0].pair.stamp)

    def _samples(self, window: list[_Waiting]) -> list[Sample]:
        """Every pair as a sample; one that cannot be used leaves the window, and raises InputError."""
        settings = self._settings()
        rectified = {"auto": None, "yes": True, "no": False}[settings.rectified]
        for each in window:
            if each.sample is None:
                try:
                    each.sample = sample_from_messages(
                        each.pair.image, each.pair.info, each.pair.cloud, image_topic=settings.image_topic,
                        info_topic=settings.info_topic, cloud_topic=settings.cloud_topic, rectified=rectified)
                except InputError:
                    with self._changed:
                        self._window = [other for other in self._window if other is not each]
                    raise
        return [each.sample for each in window if each.sample is not None]

    def _frames(self, pair: Pair) -> tuple[str, str]:
        """Names of the LiDAR's and the camera's frame: as set, else as the messages say."""
        settings = self._settings()
        lidar, camera = settings.lidar_frame or pair.frames[0], settings.camera_frame or pair.frames[1]
        for name, topic, option in ((lidar, settings.cloud_topic, "lidar_frame"),
                                    (camera, settings.image_topic, "camera_frame")):
            if not name:
                raise InputError(f"{topic}: the header names no frame; let the driver fill frame_id, or set {option}")
        return lidar, camera

    def _warm_up(self) -> None:
        """The first registration of a process is slow: spend it on noise."""
        rng = np.random.default_rng(0)
        camera = Camera(np.array([[200.0, 0, 160], [0, 200, 120], [0, 0, 1]]), 320, 240)
        image = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
        cloud = PointCloud.from_arrays(rng.uniform((-4, -3, 3), (4, 3, 20), (4000, 3)))
        sample = Sample("warm-up", image, camera, cloud)
        try:
            settings = self._settings()
            expected = None if settings.prior_source == "none" else Prior(np.eye(4), settings.prior_max_deg,
                                                                          settings.prior_max_m)
            if self._registrar.asks_network(expected) and self._registrar.matcher is not None:
                self._registrar.matcher.estimate(sample)
            self._registrar.register(sample, Prior(np.eye(4), 0.5, 0.05))
        finally:
            self._ledger.warm = True  # what comes of real pairs must be seen, even if this failed


def _tell(answers: list[Answer], what: Outcome | str) -> None:
    for answer in answers:
        answer(what)
