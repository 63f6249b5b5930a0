"""What the frames leave open, in words that tell where to drive."""

from __future__ import annotations

import numpy as np

from ..geometry.pose_covariance import covariance_to_ros

Array = np.ndarray
ROTATIONS = (
    ("pitch (about the camera's x axis)", "use frames with the horizon, kerbs or ceilings that show edges across"),
    ("yaw (about the camera's y axis)", "use frames with poles, corners and vehicles"),
    ("roll (about the optical axis)", "use frames with structure to the far left and right of the image"))
TRANSLATIONS = (
    ("sideways", "drive past poles, corners or parked vehicles within 10 m"),
    ("up and down", "drive past near structure with edges across: kerbs, car roofs, signs"),
    ("along the optical axis", "drive past near structure at both sides of the image"))


def in_words(covariance: Array, T_cam_lidar: Array, deg: float, metres: float) -> tuple[str, ...]:
    """A sentence for every axis of the camera whose standard deviation is above `deg` or `metres`, the worst first.

    covariance: (6, 6) of the left perturbation of T_cam_lidar (4, 4). Position and orientation are told apart as ROS
    does, so that a turn far from the origin is not counted as a shift.
    """
    sigma = np.sqrt(np.diag(covariance_to_ros(covariance, T_cam_lidar)).clip(min=0))
    told = []
    for value, (name, advice) in zip(np.degrees(sigma[3:]), ROTATIONS, strict=True):
        if value > deg:
            told.append((value / deg, f"{name} is weak ({value:.2f} deg): {advice}"))
    for value, (name, advice) in zip(sigma[:3], TRANSLATIONS, strict=True):
        if value > metres:
            told.append((value / metres, f"translation {name} is weak ({100 * value:.1f} cm): {advice}"))
    return tuple(sentence for _, sentence in sorted(told, reverse=True))


def sigmas(covariance: Array, T_cam_lidar: Array) -> tuple[float, float]:
    """Standard deviations of the whole rotation (deg) and of the whole translation (m)."""
    variance = np.diag(covariance_to_ros(covariance, T_cam_lidar)).clip(min=0)
    return float(np.degrees(np.sqrt(variance[3:].sum()))), float(np.sqrt(variance[:3].sum()))
