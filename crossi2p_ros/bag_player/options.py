"""What can be asked of the player; wishes that cannot be had are refused here, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from crossi2p_core.errors import InputError

MOST_CLOCK_HZ = 1000.0
SLOWEST, FASTEST = 1e-3, 1e3


@dataclass(frozen=True)
class PlayOptions:
    """One run of the player.

    bag: folder or file. rate: how many times faster than recorded. start: seconds to leave out at the beginning.
    topics: what to play, empty for all. loop: over and over. onward: in later laps stamps and clock go on instead of
    jumping back. clock: publish /clock, clock_hz times per second. decalibrate: (degrees, centimetres) by which the
    static transform between camera and LiDAR is made wrong, in directions drawn from `seed`. camera: image topic or
    namespace that is meant by it. wait: seconds to wait at most until somebody listens to every topic.
    """

    bag: Path
    rate: float = 1.0
    start: float = 0.0
    topics: tuple[str, ...] = ()
    loop: bool = False
    onward: bool = False
    clock: bool = False
    clock_hz: float = 100.0
    decalibrate: tuple[float, float] | None = None
    camera: str | None = None
    seed: int = 0
    wait: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for a value out of bounds."""
        _check("--rate", self.rate, SLOWEST, FASTEST)
        _check("--start", self.start, 0.0, math.inf)
        _check("--wait", self.wait, 0.0, math.inf)
        _check("--clock-hz", self.clock_hz, 1.0, MOST_CLOCK_HZ)
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: a seed is 0 or more")
        if self.onward and not self.loop:
            raise InputError("--onward tells how time goes on from lap to lap; give --loop too")
        if self.decalibrate is not None:
            _check("--decalibrate: the angle in degrees", self.decalibrate[0], 0.0, 180.0)
            _check("--decalibrate: the distance in cm", self.decalibrate[1], 0.0, 10000.0)


def _check(what: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and math.isfinite(value)):
        bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise InputError(f"{what} must be a number {bounds}; it is {value:g}")
