"""Pairs from the synthetic world whose camera really is elsewhere: nothing about the rig can be known beforehand.

On a vehicle the camera sits beside the LiDAR and looks ahead. Here it is drawn anew for every pair: metres away along
the road, at any heading, tilted, in a light of its own. What the image shows may be hidden from the scanner, and the
other way round. This is protocol D of `crossi2p evaluate` in earnest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry import se3
from .domain import Look, draw_look
from .rig import LIDAR_HEIGHT, R_AHEAD
from .source import SyntheticSource
from .world import World, rotation_z

MOST_M = 50  # farther away the two see nothing in common
ASIDE_M = 2.0  # to the left and right of the vehicle's way, which is free
HEIGHT_M = (1.2, 2.2)  # of the camera above the ground
TILT_DEG = 10.0  # off the horizontal, about any axis, at most


class ElsewhereSource(SyntheticSource):
    """Frames of a drive, each with a camera drawn anew.

    elsewhere: m, how far the camera may be from the LiDAR. every: takes one frame of the drive in so many, so that
    pairs differ. Anything else as in SyntheticSource, and InputError likewise.
    """

    def __init__(self, kind: str = "street", seed: int = 0, frames: int = 10, elsewhere: int = 10, every: int = 5,
                 **more: Any) -> None:
        if not 1 <= elsewhere <= MOST_M or every < 1:
            raise InputError(f"elsewhere={elsewhere} every={every}: ask for 1 to {MOST_M} m, and for every frame (1) "
                             "or one in several")
        self.elsewhere, self.every = elsewhere, every
        super().__init__(kind, seed, frames, **more)

    def _place(self, index: int) -> tuple[int, World, np.ndarray]:
        return super()._place(index * self.every)

    def _camera(self, index: int) -> tuple[np.ndarray, Look]:
        """T_cam_lidar and light of one pair."""
        rng = np.random.default_rng([self.seed, index, 2])
        aside = rng.uniform(-1, 1) * min(ASIDE_M, self.elsewhere)
        ahead = rng.uniform(-1, 1) * np.sqrt(self.elsewhere**2 - aside**2)
        place = np.array([ahead, aside, rng.uniform(*HEIGHT_M) - LIDAR_HEIGHT])
        axis = rng.normal(size=3)
        tilt = se3.exp_so3(np.radians(rng.uniform(0, TILT_DEG)) * axis / np.linalg.norm(axis))
        R = tilt @ R_AHEAD @ rotation_z(rng.uniform(-np.pi, np.pi))
        return se3.make(R, -R @ place), draw_look(rng, self.domain)

    def _rig(self, index: int) -> str:
        return f"{super()._rig(index)}/{self.names[index]}"  # no two pairs have a rig in common
