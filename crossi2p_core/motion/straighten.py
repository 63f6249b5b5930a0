"""A scan as if it had been taken at one instant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry import se3
from ..types import PointCloud

Array = np.ndarray
_BINS = 64  # instants within a scan that get a pose of their own: 100 ms in steps of 1.6 ms


def straighten(cloud: PointCloud, twist: Array) -> PointCloud:
    """The cloud with every point where it was seen from at the scan's stamp.

    twist: (6,) rad/s and m/s of the LiDAR in its own frame. A cloud without times comes back as it is.
    """
    if cloud.time is None or not len(cloud):
        return cloud
    low, high = float(cloud.time.min()), float(cloud.time.max())
    centres = low + (np.arange(_BINS) + 0.5) / _BINS * (high - low)
    which = np.minimum(((cloud.time - low) / max(high - low, 1e-9) * _BINS).astype(int), _BINS - 1)  # (N,)
    T = se3.exp_se3(centres[:, None] * twist)[which]  # (N, 4, 4)
    xyz = np.einsum("nij,nj->ni", T[:, :3, :3], cloud.xyz) + T[:, :3, 3]
    return replace(cloud, xyz=xyz.astype(np.float32), time=np.zeros_like(cloud.time))
