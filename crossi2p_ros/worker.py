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


@dataclass
class _Waiting:
    """A pair, and what became of it."""

    pair: Pair
    sample: Sample | None = None
    used: bool = False


class Worker:
    """Offer pairs from any thread; outcomes come out of the worker's own."""

    def __init__(self, registrar: Registrar, settings: Callable[[], Settings], reference: Reference, ledger: Ledger, *,
                 gate: Callable[[Pair], str], publish: Callable[[Outcome], None], idle: Callable[[], None],
                 complain: Callable[[str], None]) -> None:
        """gate: why a pair is passed over, or empty. publish: takes outcomes. idle: called when there is nothing to do.
        complain: logs what must not happen."""
        self._registrar, self._settings, self._reference, self._ledger = registrar, settings, reference, ledger
        self._gate, self._publish, self._idle, self._complain = gate, publish, idle, complain
        self._changed = Condition()
        self._window: list[_Waiting] = []
        self._answers: list[Answer] = []
        self._active = self._stopped = False
        self._round = 0  # counts activations: an outcome of a former one is thrown away
        self._next_at = 0.0
        self._thread = Thread(target=self._run, name="crossi2p worker", daemon=True)

    def start(self) -> None:
        """Begin to warm up; nothing is registered before `activate`."""
        self._thread.start()

    def activate(self) -> None:
        """Take pairs from now on."""
        with self._changed:
            self._active, self._round, self._next_at = True, self._round + 1, 0.0

    def deactivate(self) -> None:
        """Take no more, and let nothing out of what is still being computed. Returns at once."""
        with self._changed:
            self._active, self._round = False, self._round + 1
            self._window.clear()
            answers, self._answers = self._answers, []
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
            gone = self._window[:-settings.frames]
            del self._window[:-settings.frames]
            if settings.mode == "continuous":
                self._ledger.dropped += sum(not each.used for each in gone)
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
        """Empty the window: time has jumped back."""
        with self._changed:
            self._window.clear()

    def _run(self) -> None:
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
        if not self._active or not self._window:
            return False
        if self._answers:
            return True
        mode = self._settings().mode
        fresh = not self._window[-1].used
        return fresh and (mode == "continuous" or (mode == "periodic" and time.monotonic() >= self._next_at))

    def _work(self) -> None:
        """Register the window once, publish, and answer whoever asked for it."""
        with self._changed:
            window, this_round = list(self._window), self._round
            answers, self._answers = self._answers, []
            for each in window:
                each.used = True
        self._next_at = time.monotonic() + self._settings().period
        try:
            outcome: Outcome | str = self._register(window)
        except InputError as error:
            self._ledger.refuse(str(error))
            _tell(answers, str(error))
            return
        except Exception:
            _tell(answers, "an internal error; the log says more")
            raise
        with self._changed:
            current = this_round == self._round
        if not current:
            outcome = "the node was deactivated meanwhile"
        if isinstance(outcome, Outcome):
            self._ledger.add(outcome)
            self._guarded(partial(self._publish, outcome))
        _tell(answers, outcome)

    def _register(self, window: list[_Waiting]) -> Outcome | str:
        """The outcome of these pairs, or why they are passed over. InputError for what cannot be used."""
        newest = window[-1].pair
        if reason := self._gate(newest):
            self._ledger.passed_over += 1
            return reason
        begin = time.perf_counter()
        samples = self._samples(window)
        converted = time.perf_counter()
        lidar_frame, camera_frame = self._frames(newest)
        try:
            reference = self._reference.find(lidar_frame, camera_frame, newest.stamp)
        except InputError as error:
            self._ledger.lack(str(error))
            return str(error)
        settings = self._settings()
        found = self._registrar.register_joint(samples, Prior(reference, settings.prior_max_deg, settings.prior_max_m))
        now = time.monotonic()
        return Outcome(found, reference, samples[-1], lidar_frame, camera_frame, newest.stamp, newest.apart,
                       now - newest.arrived, now, {"convert": converted - begin} | found.timings)

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
        self._registrar.register(Sample("warm-up", image, camera, cloud), Prior(np.eye(4), 0.5, 0.05))
        self._ledger.warm = True


def _tell(answers: list[Answer], what: Outcome | str) -> None:
    for answer in answers:
        answer(what)
