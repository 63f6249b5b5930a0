"""Which of a frame's edges have a say at a pose: those that a camera there sees, not those of a whole wide search."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import se3
from ..types import Camera
from .config import RefineConfig
from .objective import FrameProblem, chosen, seen_from

_TYPICAL_DEPTH_M = 3.0  # near enough that a shifted camera sees what it could see


def focused(frame: FrameProblem, T_cam_lidar: torch.Tensor, config: RefineConfig) -> FrameProblem:
    """The frame as seen from a pose (4, 4), with the edges in view there and a little beyond.

    The edges of a wide search are those of all poses that it may look at: fewer of each pose's own are among them, and
    each counts less the more there are elsewhere, so that scores of poses far apart can only be compared when each is
    judged by what is seen from it.
    """
    T, (deg, m) = T_cam_lidar.cpu().numpy(), config.search.focus
    return seen_from(chosen(frame, near_view(frame.found.xyz, frame.camera, T, deg, m), config.lidar, config.seed),
                     T_cam_lidar)


def near_view(points: np.ndarray, camera: Camera, T_cam_lidar: np.ndarray, deg: float, m: float) -> np.ndarray:
    """(N,) bool: points (N, 3) that some pose within such bounds of T (4, 4) may bring into the image."""
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    margin = int(focal * (1.2 * np.radians(deg) + m / _TYPICAL_DEPTH_M) + 0.05 * camera.width)
    margin = min(margin, 2 * camera.width)
    around = camera.crop(-margin, -margin, camera.width + 2 * margin, camera.height + 2 * margin)
    return around.project(se3.transform(T_cam_lidar, points))[1]
