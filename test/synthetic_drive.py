"""What the tests of the synthetic world share: a tiny camera, a LiDAR without noise, poses of a drive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from crossi2p_core.datasets.synthetic import LIDARS, SyntheticSource
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera

TINY = Camera(np.array([[80.0, 0, 64], [0, 80, 24], [0, 0, 1]]), 128, 48)
EXACT = replace(LIDARS["hdl64"], steps=900, sigma_m=0.0, dropout=0.0)
AHEAD = se3.make(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), np.array([0, 0, 1.6]))  # T_vehicle_cam
KINDS = ("street", "yard", "hall")


def poses(source: SyntheticSource, index: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """T_world_lidar and T_world_cam (1, 4, 4) of a frame in the first world of a drive."""
    T_world_lidar = source.pose(index)
    return tuple(torch.from_numpy(T)[None] for T in (T_world_lidar, T_world_lidar @ se3.inverse(source.T_cam_lidar)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
