"""LiDARs by name: where their beams point, how fast, how far, how noisy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InputError


@dataclass(frozen=True)
class Lidar:
    """A LiDAR; its frame is x forward, y left, z up.

    pattern: `spinning` (elevations x steps of azimuth), `raster` (rows x columns of a window), `rosette` (two rotating
    prisms, as in the Livox). elevations: degrees, of spinning beams, top first; ring 0 is the first. steps: azimuths
    of a turn, columns of a raster, points of a rosette. field: degrees (horizontal, vertical) of raster and rosette.
    rate: scans per second. range_m: nearest and farthest. sigma_m: range noise, standard deviation.
    dropout: share of pulses lost for no reason. sensitivity: how weak an echo is still seen; 1 is an ordinary sensor.
    """

    name: str
    pattern: str
    elevations: tuple[float, ...] = ()
    steps: int = 1800
    rows: int = 1
    field: tuple[float, float] = (360.0, 0.0)
    rate: float = 10.0
    range_m: tuple[float, float] = (1.5, 120.0)
    sigma_m: float = 0.02
    dropout: float = 0.01
    sensitivity: float = 1.0

    def __post_init__(self) -> None:
        if self.pattern not in ("spinning", "raster", "rosette"):
            raise InputError(f"the LiDAR pattern {self.pattern!r} is not known; use spinning, raster or rosette")
        if (self.pattern == "spinning" and not self.elevations) or self.steps < 1 or self.rows < 1:
            raise InputError(f"the LiDAR {self.name!r} has no beams; give elevations, rows and steps")
        low, high = self.range_m
        if not (0 <= low < high and self.sigma_m >= 0 and 0 <= self.dropout < 1 and self.rate > 0):
            raise InputError(f"the LiDAR {self.name!r}: check range_m {self.range_m}, sigma_m {self.sigma_m}, "
                             f"dropout {self.dropout} and rate {self.rate}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scan as an image of rays."""
        if self.pattern == "spinning":
            return len(self.elevations), self.steps
        return (self.rows, self.steps) if self.pattern == "raster" else (1, self.steps)

    def directions(self, scan: int = 0) -> np.ndarray:
        """(rows, columns, 3) unit rays in the LiDAR's frame; a rosette goes on from scan to scan."""
        if self.pattern == "spinning":
            turn = np.pi - 2 * np.pi * (np.arange(self.steps) + 0.5) / self.steps  # clockwise from the back
            azimuth, elevation = np.broadcast_arrays(turn[None], np.radians(self.elevations)[:, None])
        elif self.pattern == "raster":
            azimuth = np.radians(np.linspace(0.5, -0.5, self.steps) * self.field[0])[None] + np.zeros((self.rows, 1))
            elevation = np.radians(np.linspace(0.5, -0.5, self.rows) * self.field[1])[:, None] + np.zeros(self.steps)
        else:
            time = (np.arange(self.steps) + scan * self.steps) / self.steps / self.rate
            first, second = 2 * np.pi * 121.57 * time, -2 * np.pi * 77.61 * time
            azimuth = (np.radians(self.field[0]) / 4 * (np.cos(first) + np.cos(second)))[None]
            elevation = (np.radians(self.field[1]) / 4 * (np.sin(first) + np.sin(second)))[None]
        c = np.cos(elevation)
        return np.stack([c * np.cos(azimuth), c * np.sin(azimuth), np.sin(elevation)], -1)

    def times(self) -> np.ndarray:
        """(rows, columns) s since the scan's start."""
        rows, columns = self.shape
        if self.pattern == "raster":
            return (np.arange(rows * columns) / (rows * columns) / self.rate).reshape(rows, columns)
        return np.broadcast_to(np.arange(columns) / columns / self.rate, (rows, columns))


def _even(top: float, bottom: float, count: int) -> tuple[float, ...]:
    return tuple(np.linspace(top, bottom, count).round(4).tolist())


# Beam tables as in the makers' manuals, rounded: the HDL-64E's upper 32 beams are a third of a degree apart, its
# lower 32 half a degree; the VLP-32C is dense about the horizon.
LIDARS = {lidar.name: lidar for lidar in (
    Lidar("hdl64", "spinning", _even(2.0, -8.33, 32) + _even(-8.83, -24.33, 32), 2000),
    Lidar("hdl32", "spinning", _even(10.67, -30.67, 32), 2170, range_m=(1.0, 80.0)),
    Lidar("vlp32", "spinning", (15.0, 10.333, 7.0, 4.667, 3.333, 2.333, *_even(1.667, -3.667, 17), -4.0, -4.667, -5.333,
          -6.148, -7.254, -8.843, -11.31, -15.639, -25.0), 1800, range_m=(1.0, 150.0)),
    Lidar("vlp16", "spinning", _even(15.0, -15.0, 16), 1800, range_m=(0.8, 90.0), sigma_m=0.025),
    Lidar("os128", "spinning", _even(22.5, -22.5, 128), 1024, range_m=(0.8, 120.0), sigma_m=0.015),
    Lidar("raster", "raster", (), 300, 120, (120.0, 25.0), range_m=(0.5, 180.0)),
    Lidar("livox", "rosette", (), 24000, 1, (38.4, 38.4), range_m=(1.0, 200.0)),
)}


def lidar_named(name: str) -> Lidar:
    """The LiDAR of that name; raises InputError that lists the names."""
    if name not in LIDARS:
        raise InputError(f"the LiDAR {name!r} is not known; use one of {', '.join(LIDARS)}")
    return LIDARS[name]
