"""Which edges of a cloud the camera cannot see because something nearer stands in front of them."""

from __future__ import annotations

import numpy as np

from ..geometry import se3
from ..types import Camera

_CELL_DEG = 0.7  # cells must be wider than the thinned cloud is sparse, or the background shines through
_SLACK = 0.06
_SLACK_M = 0.4


def hidden_edges(edges: np.ndarray, cloud: np.ndarray, camera: Camera, T_cam_lidar: np.ndarray) -> np.ndarray:
    """(N,) bool: edge points (N, 3) that lie clearly behind points of the cloud (M, 3), both in the LiDAR frame.

    A cell of the image hides what is further away than its nearest point; the slack keeps silhouettes, whose
    neighbours across the edge lie in the same cell.
    """
    cell = max(4.0, np.radians(_CELL_DEG) * float(np.sqrt(camera.K[0, 0] * camera.K[1, 1])))
    columns, rows = int(camera.width // cell) + 1, int(camera.height // cell) + 1
    nearest = np.full(columns * rows, np.inf)
    where, depth = _cells(cloud, camera, T_cam_lidar, cell, columns)
    np.minimum.at(nearest, where[where >= 0], depth[where >= 0])
    where, depth = _cells(edges, camera, T_cam_lidar, cell, columns)
    return (where >= 0) & (depth > nearest[where] * (1 + _SLACK) + _SLACK_M)


def _cells(points: np.ndarray, camera: Camera, T_cam_lidar: np.ndarray, cell: float,
           columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell (N,) of each point, -1 outside the image, and its depth (N,)."""
    seen = se3.transform(T_cam_lidar, points)
    uv, valid = camera.project(seen)
    index = np.floor(np.where(valid[:, None], uv, 0) / cell).astype(np.int64)
    return np.where(valid, index[:, 1] * columns + index[:, 0], -1), seen[:, 2]
