"""What has happened so far: counters, the newest answers, what is missing. Written by the worker, read by others."""

from __future__ import annotations

import re
import time
from collections import Counter
from threading import Lock

from .outcome import Outcome

MOST_REASONS = 50  # whoever sends nonsense may be inventive; further reasons are counted together
OTHER = "other reasons"
LONGEST = 500  # characters of a reason: it may quote what somebody sent


class Ledger:
    """Safe to write and read from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._refused: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget the answers and what is missing; the counters of what was refused go on."""
        with self._lock:
            self.last: Outcome | None = None
            self.last_valid: Outcome | None = None
            self.last_refusal: tuple[str, float] | None = None
            self.missing = ""
            self.warm = False
            self.registrations: Counter[str] = Counter()
            self.dropped = 0
            self.passed_over = 0

    def add(self, outcome: Outcome) -> None:
        """Take an answer in."""
        with self._lock:
            self.last = outcome
            self.missing = ""
            self.registrations[outcome.registration.status] += 1
            if outcome.valid:
                self.last_valid = outcome

    def count(self, reason: str) -> None:
        """Count what could not be used, by what is wrong: without numbers and without the remedy after the last `;`."""
        what = reason.rpartition("; ")[0] or reason
        kind = re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", _brief(what))
        with self._lock:
            known = kind in self._refused or len(self._refused) < MOST_REASONS
            kind = kind if known else OTHER
            self._refused[kind] = self._refused.pop(kind, 0) + 1  # the newest goes to the end

    def lack(self, reason: str) -> None:
        """Count a pair for which something else is missing; it is reported until there is a result."""
        self.count(reason)
        self.missing = _brief(reason)
        self.last_refusal = None  # what is older would hide it

    def refuse(self, reason: str) -> None:
        """Count what could not be registered; it is reported until something is."""
        self.count(reason)
        self.last_refusal = (f"pairs cannot be used: {_brief(reason)}", time.monotonic())

    def fail(self, reason: str) -> None:
        """Count a registration that has found no camera, not even a failed answer; reported until there is one."""
        with self._lock:
            self.registrations["failed"] += 1
        self.last_refusal = (f"the registration failed: {_brief(reason)}", time.monotonic())

    def forget_results(self) -> None:
        """Forget the answers alone."""
        with self._lock:
            self.last = self.last_valid = None

    def refused(self) -> list[tuple[str, int]]:
        """Reasons and how often, what happened last first."""
        with self._lock:
            return list(reversed(self._refused.items()))


def _brief(reason: str) -> str:
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST]} ..."
