"""Settings of a self-supervised adaptation."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..calibrate.config import CalibrateConfig
from ..config import option
from ..train.config import SourceConfig


@dataclass(frozen=True)
class AdaptConfig:
    """How often a drive is calibrated and learned from in turn, and how much is learned each time."""

    rounds: int = option(3, low=1, high=100)
    steps: int = option(300, low=1, high=10**7)  # of training in each round
    batch: int = option(4, low=1, high=4096)
    lr: float = option(5e-4, low=1e-8, high=10.0)
    warm_up: int = option(20, low=0, high=10**7)
    ema: float = option(0.99, low=0.0, high=0.999999)
    workers: int = option(1, low=0, high=256)
    seed: int = option(0, low=0, high=2**31)
    beside: tuple[SourceConfig, ...] = ()  # also learned from, as recorded, so that all else is not unlearned
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig)
