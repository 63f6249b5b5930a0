"""One frame as one picture, for `crossi2p view` without a display: overlay and bird's eye together."""

from __future__ import annotations

import numpy as np

from ..types import Sample
from .birds_eye import birds_eye
from .overlay import draw_overlay

Array = np.ndarray

_WIDE = 1.8  # images wider than this have the bird's eye below them, others beside them


def view_picture(sample: Sample, T_cam_lidar: Array, title: str = "") -> Array:
    """(H', W', 3) uint8 RGB: the cloud on the image, and the coloured cloud from above below or beside it."""
    overlay = draw_overlay(sample.image, sample.camera, sample.cloud, T_cam_lidar, title=title)
    height, width = overlay.shape[:2]
    if width > _WIDE * height:
        return np.vstack([overlay, birds_eye(sample, T_cam_lidar, width, round(0.6 * width))])
    return np.hstack([overlay, birds_eye(sample, T_cam_lidar, round(0.8 * height), height)])
