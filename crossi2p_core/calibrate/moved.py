"""How far the start lies from the answer, and how far from the truth it may lie at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..geometry import se3
from ..geometry.pose_covariance import at_most, covariance_to_ros
from ..types import Prior

Array = np.ndarray


@dataclass(frozen=True)
class Moved:
    """From the start to the answer; all NaN where there was no start.

    deg, m: how far. sigmas: the same in sigmas of six numbers. at_most_deg, at_most_m: how far off the start is at
    most, 99 times of 100: the way to the answer and what the answer may itself be off, as if both went one way.
    """

    deg: float
    m: float
    sigmas: float
    at_most_deg: float
    at_most_m: float


def moved(start: Prior | None, T_cam_lidar: Array, covariance: Array) -> Moved:
    """From `start` to T_cam_lidar (4, 4), the answer, with its left-perturbation covariance (6, 6)."""
    if start is None:
        return Moved(*[float("nan")] * 5)
    T_start = np.asarray(start.T_cam_lidar)
    xi = se3.log_se3(T_start @ se3.inverse(T_cam_lidar))
    deg, metres = float(se3.rotation_error_deg(T_start, T_cam_lidar)), float(
        se3.translation_error_m(T_start, T_cam_lidar))
    spread = covariance_to_ros(covariance, T_cam_lidar)  # (6, 6) of position and rotation side by side
    return Moved(deg, metres, float(np.sqrt(xi @ np.linalg.solve(covariance, xi))),
                 math.degrees(at_most(math.radians(deg), spread[3:, 3:])), at_most(metres, spread[:3, :3]))
