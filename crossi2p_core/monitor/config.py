"""Settings of the watch over a calibration."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import option
from ..errors import InputError


@dataclass(frozen=True)
class MonitorConfig:
    """When a camera counts as moved, how sure that must be, and how far back is looked."""

    least_deg: float = option(0.5, low=0.01, high=45.0)  # a turn of this much is to be found
    least_m: float = option(0.10, low=0.001, high=10.0)  # or a shift of this much
    false_alarms: float = option(1e-4, low=1e-6, high=0.05)  # per frame, while nothing has moved
    window: int = option(50, low=5, high=500)  # frames looked back
    floor_deg: float = option(0.05, low=0.0, high=5.0)  # one sigma of what no number of frames averages out,
    floor_m: float = option(0.01, low=0.0, high=1.0)  # that of the reference itself with it
    alike: float = option(0.4, low=0.0, high=0.95)  # correlation of a frame's error with the next one's
    standing: float = option(0.7, low=0.0, high=0.95)  # share of the errors that frames of one place have in common
    least_frames: int = option(3, low=1, high=500)  # usable ones, and places, before anything is said
    blind_after: int = option(20, low=1, high=10_000)  # frames in a row without a usable one before nothing is known
    calm: int = option(10, low=1, high=500)  # usable frames without suspicion before an alarm is taken back
    repair_frames: int = option(10, low=3, high=200)  # usable ones after the move that a repair rests on

    def __post_init__(self) -> None:
        """Raise InputError for what could never be said."""
        if self.least_frames > self.window:
            raise InputError(f"least_frames ({self.least_frames}) is more than the window ({self.window}) holds, so "
                             "nothing would ever be said; lower the one or raise the other")
