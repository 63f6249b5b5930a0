"""A recording as if its camera had been knocked: what a watch is tried with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Sample

Array = np.ndarray


def knocked(sample: Sample, xi: Array) -> Sample:
    """The sample with a camera moved by exp(xi), xi (6,) a twist in the camera frame, rotation (rad) first.

    The picture stays; it is the cloud that moves, so that the pose relative to it is exp(xi) T_cam_lidar. True but for
    what a LiDAR over there would see behind corners. Raises InputError for a sample without a recorded extrinsic.
    """
    if sample.T_cam_lidar is None:
        raise InputError(f"{sample.name} has no recorded extrinsic, so it cannot be moved from there")
    before = np.asarray(sample.T_cam_lidar)
    after = se3.exp_se3(xi) @ before
    xyz = se3.transform(se3.inverse(after) @ before, sample.cloud.xyz.astype(np.float64)).astype(np.float32)
    return replace(sample, cloud=replace(sample.cloud, xyz=xyz), T_cam_lidar=after)


def random_knock(degrees: float, metres: float, rng: np.random.Generator) -> Array:
    """(6,) twist of exactly so much, about a random axis and in a random direction."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    return np.concatenate([np.radians(degrees) * axis, metres * direction])
