"""The way the vehicle takes: poses of its ground frame (x forward, y left, z up) frame after frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .world import rotation_z


@dataclass(frozen=True)
class Path:
    """A drive along a curve, `offset` m to the left of it.

    curvature: 1/m of a curve that starts at the origin along x. speed: m/s. seed: of the small sway of a real vehicle:
    some centimetres sideways, some tenths of a degree of pitch and roll, smooth in time.
    """

    curvature: float
    offset: float
    speed: float
    seed: int

    def pose(self, time: float) -> np.ndarray:
        """T_world_vehicle (4, 4) float64 at `time` s."""
        rng = np.random.default_rng(self.seed)
        phase, rate = rng.uniform(0, 2 * np.pi, 5), rng.uniform(0.6, 2.4, 5)
        sway = np.sin(phase + rate * time) * np.array([0.12, 0.012, 0.005, 0.005, 0.015])  # m, rad, rad, rad, m
        s, k = self.speed * time, self.curvature
        yaw, d = k * s, self.offset + sway[0]
        x, y = np.sin(yaw) / k - d * np.sin(yaw), (1 - np.cos(yaw)) / k + d * np.cos(yaw)
        pose = np.eye(4)
        pose[:3, :3] = rotation_z(yaw + sway[1]) @ _tilt(sway[2], sway[3])
        pose[:3, 3] = x, y, sway[4]
        return pose


def _tilt(pitch: float, roll: float) -> np.ndarray:
    """(3, 3) rotation about y by `pitch` after about x by `roll`, rad."""
    c, s, a, b = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, a, -b], [0, b, a]])
