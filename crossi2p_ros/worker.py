"""The one thread that owns the device: takes the newest pairs, registers them, hands the outcome on."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread

from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Sample

from .inputs import Pair
from .ledger import Ledger
from .outcome import Outcome
from .pair_registration import FoundNowhere, Lost, NoStart, PairRegistration, Prepare
from .parameters import Settings
from .prior import Reference

IDLE_S = 0.5  # how often it looks up when nothing comes
JOIN_S = 0.5  # longer nobody waits for it: what it computes then is thrown away

Answer = Callable[[Outcome | str], None]
"""Told of the outcome, or in words why there is none."""


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
                 complain: Callable[[str], None], lost: Lost = lambda *_: (),
                 prepare: Prepare = lambda start: None) -> None:
        """gate: why a pair is passed over, or empty. publish: takes outcomes. pass_over: takes why a pair has none, and
        its stamp (ns). idle: called when there is nothing to do. complain: logs what must not happen. lost,
        prepare: see `PairRegistration`."""
        self._settings, self._ledger = settings, ledger
        self._registration = PairRegistration(registrar, settings, reference, lost, prepare)
        self._gate, self._publish, self._pass_over = gate, publish, pass_over
        self._idle, self._complain = idle, complain
        self._changed = Condition()
        self._window: list[_Waiting] = []
        self._answers: list[Answer] = []
        self._asking: list[Answer] = []  # those whom the registration under way is for
        self._active = self._stopped = False
        self._round = 0  # raised when what is under way is to count no more: its outcome is thrown away
        self._begun_at = -math.inf  # steady seconds of the last one that counts for `period`
        self._former: Worker | None = None
        self._thread = Thread(target=self._run, name="crossi2p worker", daemon=True)

    def start(self, after: Worker | None = None) -> None:
        """Begin to warm up, once the worker `after` has let go of the device; without `activate` nothing more."""
        self._former = after
        self._thread.start()

    def activate(self) -> None:
        """Take pairs from now on."""
        with self._changed:
            self._active, self._round, self._begun_at = True, self._round + 1, -math.inf

    def deactivate(self) -> None:
        """Take no more, let nothing out of what is still being computed, and tell all who wait. Returns at once."""
        with self._changed:
            self._active = False
            answers = self._void()
        _tell(answers, "the node was deactivated")

    def stop(self) -> bool:
        """End the thread; returns whether it has ended, and those before it, for a registration under way cannot be
        broken off."""
        self.deactivate()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
        former = self._former  # its thread may let go of it meanwhile
        return not self._thread.is_alive() and (former is None or former.stop())

    def offer(self, pair: Pair) -> None:
        """Put a pair into the window; the oldest that no longer fits goes."""
        settings = self._settings()
        with self._changed:
            if not self._active:
                return
            if self._window and (changed := pair.changed_from(self._window[-1].pair, settings.frames > 1)):
                self._ledger.refuse(f"{changed}; pairs from before are not used any more")
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
        settings, fresh = self._settings(), not self._window[-1].used
        over = time.monotonic() >= self._begun_at + settings.period  # which may have been set just now
        return fresh and (settings.mode == "continuous" or (settings.mode == "periodic" and over))

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
        except NoStart as error:
            outcome, count = str(error), self._ledger.lack
        except FoundNowhere as error:
            outcome, count = str(error), self._ledger.fail
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
            elif count is not None:
                count(outcome)
            if isinstance(outcome, Outcome) or count == self._ledger.fail:
                self._begun_at = begin  # a pair that is refused costs no period
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
        """The outcome of these pairs; one that cannot be used leaves the window, and raises InputError."""
        begin = time.perf_counter()
        for each in window:
            if each.sample is None:
                try:
                    each.sample = self._registration.sample_of(each.pair)
                except InputError:
                    with self._changed:
                        self._window = [other for other in self._window if other is not each]
                    raise
        samples = [each.sample for each in window if each.sample is not None]
        this_round = self._round
        return self._registration.register([each.pair for each in window], samples, time.perf_counter() - begin,
                                           lambda: not self._asking and self._round == this_round)

    def _warm_up(self) -> None:
        try:
            self._registration.warm_up()
        finally:
            self._ledger.warm |= not self._stopped  # what comes of real pairs must be seen, even if this failed


def _tell(answers: list[Answer], what: Outcome | str) -> None:
    for answer in answers:
        answer(what)
