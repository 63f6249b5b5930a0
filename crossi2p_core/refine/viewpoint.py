"""Was a cloud scanned from its origin? Silhouettes are looked for from there, or, of merged clouds, from the camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from ..geometry import se3

_SAME_BEARING = np.radians(0.12)
_BEHIND = 0.1, 0.3  # share of the range and metres: clearly behind
_ENOUGH = 3000  # points that are asked for their neighbour
_MERGED = 0.15  # share of points with another one right behind or before them; single scans have 0 to 0.08


def is_merged(xyz: np.ndarray) -> bool:
    """Whether a cloud (N, 3) was not scanned from its origin, as one that is joined from several LiDARs.

    A single scan has one point per bearing. Seen from anywhere else, and so from the origin of a merged cloud, near
    things stand right in front of far ones, and silhouettes cannot be told.
    """
    ranges = np.linalg.norm(xyz, axis=1)
    bearing = xyz / ranges[:, None]
    asked = np.arange(0, len(xyz), 1 + len(xyz) // _ENOUGH)
    angle, index = cKDTree(bearing, balanced_tree=False, compact_nodes=False).query(
        bearing[asked], k=2, distance_upper_bound=_SAME_BEARING)
    close = np.isfinite(angle[:, 1])
    own, other = ranges[asked[close]], ranges[index[close, 1]]
    return bool(np.count_nonzero(np.abs(other - own) > _BEHIND[0] * own + _BEHIND[1]) > _MERGED * len(asked))


def viewpoint(merged: bool, T_cam_lidar: np.ndarray) -> np.ndarray:
    """(3,) float32 m, from where silhouettes are told: the scan's origin, or the camera of T_cam_lidar (4, 4)."""
    return np.asarray(se3.inverse(T_cam_lidar)[:3, 3] if merged else np.zeros(3), dtype=np.float32)
