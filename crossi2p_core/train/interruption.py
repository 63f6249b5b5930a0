"""Ctrl-C and SIGTERM during training: finish the step, keep a checkpoint, end."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

ONE_PRESS_S = 2.0  # a terminal and torchrun may both pass the same Ctrl-C on


class Interruption:
    """Remembers the first SIGINT or SIGTERM, as a context manager; a later one acts as it did before.

    signal: its number, None as long as there was none. Outside the main thread nothing is caught.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *problem: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
            print("crossi2p: stopping after this step, with a checkpoint; once more stops at once", file=sys.stderr)
        elif time.monotonic() - self._since > ONE_PRESS_S:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
