"""From where a cloud is looked at: the scan's origin, or, for clouds merged from several LiDARs, the camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_SAME_BEARING = np.radians(0.12)
_BEHIND = 0.1, 0.3  # share of the range and metres: clearly behind
_ENOUGH = 3000  # points that are asked for their neighbour
_MERGED = 0.15  # share of points with another one right behind or before them; single scans have 0 to 0.08


def viewpoint(xyz: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(3,) float32 m: zeros where the cloud (N, 3) was scanned from its origin, else the camera's position (3,).

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
    merged = np.count_nonzero(np.abs(other - own) > _BEHIND[0] * own + _BEHIND[1]) > _MERGED * len(asked)
    return np.asarray(camera if merged else np.zeros(3), dtype=np.float32)
