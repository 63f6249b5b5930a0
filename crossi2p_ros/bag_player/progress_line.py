"""How far the player is: one line that is written over and over, on a terminal only."""

from __future__ import annotations

import sys
import time
from typing import TextIO

EVERY_S = 0.2
CLEAR = "\r\033[K"


class ProgressLine:
    """Stands on stderr while the bag plays; silent where that is no terminal."""

    def __init__(self, seconds: float, out: TextIO | None = None) -> None:
        """seconds: length of one lap."""
        self._out = sys.stderr if out is None else out
        self._seconds = seconds
        self._shown = self._out.isatty()
        self._next = 0.0

    def show(self, seconds: float, sent: int, lap: int) -> None:
        """Bring the line up to date, at most five times per second. lap: counts from 0."""
        if not self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        laps = f"   lap {lap + 1}" if lap else ""
        self._out.write(f"{CLEAR}{min(max(seconds, 0.0), self._seconds):.1f} of {self._seconds:.1f} s   "
                        f"{sent} messages{laps}")
        self._out.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._out.write(CLEAR)
            self._out.flush()
