"""The bag's clock. Every message is due at a time of its own, so delays do not add up however long the bag is."""

from __future__ import annotations

import time


class Pace:
    """Bag time in nanoseconds, `rate` times faster than the monotonic clock of this machine."""

    def __init__(self, first: int, rate: float) -> None:
        """first: bag time that `begin` starts from."""
        self._first, self._rate = first, rate
        self._began: int | None = None

    def begin(self) -> None:
        """Let time run; before, it stands at the first message."""
        self._began = time.monotonic_ns()

    def now(self) -> int:
        """Bag time, as if the bag were as long as it takes: laps of a loop count on."""
        if self._began is None:
            return self._first
        return self._first + round((time.monotonic_ns() - self._began) * self._rate)

    def seconds_until(self, due: int) -> float:
        """Seconds of this machine's clock until a bag time; negative once it has passed."""
        return (due - self.now()) / self._rate / 1e9
