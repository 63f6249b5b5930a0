"""Settings of a calibration from many frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import option


@dataclass(frozen=True)
class CalibrateConfig:
    """How many frames are looked at, how they are chosen, and up to which spread the answer is `ok`."""

    candidates: int = option(40, low=1, high=2000)  # frames that are registered by themselves, spread over all
    frames: int = option(20, low=1, high=500)  # of these, registered jointly
    folds: int = option(5, low=0, high=50)  # of the cross-validation; 0: none
    apart_m: float = option(2.0, low=0.0, high=1000.0)  # nearer frames see the same things, and count as one
    apart_s: float = option(0.5, low=0.0, high=1000.0)  # likewise where no poses are known
    least_frames: int = option(5, low=1, high=500)  # fewer cannot be `ok`
    ok_deg: float = option(0.2, low=0.0, high=10.0)  # largest standard deviation of the rotation that is `ok`
    ok_m: float = option(0.03, low=0.0, high=10.0)  # and of the translation
    good_deg: float = option(0.5, low=0.01, high=45.0)  # a start may be off by so much ...
    good_m: float = option(0.10, low=0.001, high=10.0)  # ... or so much, 99 times of 100, to be called good
    floor_px: float = option(0.5, low=0.0, high=20.0)  # standard deviation that no number of frames averages out
    time_offset: Literal["auto", "off"] = "auto"  # of camera and LiDAR, where motion shows it
    clock_s: float = option(0.002, low=0.0, high=1.0)  # how far they may be apart where it does not; 0: synchronised
