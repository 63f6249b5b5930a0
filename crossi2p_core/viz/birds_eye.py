"""The coloured cloud from above, the camera looking up the page."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import se3
from ..types import Sample
from .caption import put_text, text_scale, text_width
from .colored_cloud import color_cloud

Array = np.ndarray

_BACKGROUND = 24
_LINE = (90, 90, 90)


def birds_eye(sample: Sample, T_cam_lidar: Array, width: int, height: int) -> Array:
    """(height, width, 3) uint8 RGB: the cloud seen along the camera's downward axis, with rings of distance.

    Points that the camera sees have the image's colours, others are grey. The lines bound the field of view. The scale
    shows 9 of 10 points in front.
    """
    points = se3.transform(T_cam_lidar, sample.cloud.xyz.astype(np.float64))
    colors, seen = color_cloud(sample, T_cam_lidar)
    colors[seen] = 60 + colors[seen] // 4 * 3  # black paint would vanish on a dark page
    ahead = points[seen] if seen.any() else points
    reach = float(np.percentile(np.hypot(ahead[:, 0], ahead[:, 2]), 90)) if len(ahead) else 10.0
    origin = np.array([width / 2, 0.82 * height])
    metre = 0.78 * height / max(reach, 1.0)  # px per metre
    picture = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    step = next((s for s in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if reach / s <= 5), reach)
    rings = [i * step for i in range(1, 11)]  # metres
    _draw_rings(picture, origin, metre, rings)
    _draw_field_of_view(picture, sample, origin, metre, 1.5 * reach)
    order = np.lexsort((-points[:, 1], seen))  # unseen first, high points last
    _draw_points(picture, origin + metre * points[order][:, [0, 2]] * [1, -1], colors[order])
    _label_rings(picture, origin, metre, rings)
    cv2.circle(picture, (round(origin[0]), round(origin[1])), max(2, height // 150), (255, 80, 80), -1, cv2.LINE_AA)
    return picture


def _draw_points(picture: Array, xy: Array, colors: Array) -> None:
    """Squares of one pixel, or of a few on a large picture, in the order given."""
    height, width = picture.shape[:2]
    side = max(1, round(height / 350))
    column, row = np.floor(xy - (side - 1) / 2).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column <= width - side) & (row <= height - side)
    for dy in range(side):
        for dx in range(side):
            picture[row[inside] + dy, column[inside] + dx] = colors[inside]


def _draw_rings(picture: Array, origin: Array, metre: float, rings: list[float]) -> None:
    """Circles of distance around the camera, under everything else."""
    for distance in rings:
        if distance * metre < 2 * max(picture.shape):
            cv2.circle(picture, (round(origin[0]), round(origin[1])), round(distance * metre), (55, 55, 55), 1,
                       cv2.LINE_AA)


def _label_rings(picture: Array, origin: Array, metre: float, rings: list[float]) -> None:
    """The metres of each ring straight ahead of the camera, over everything else."""
    size = text_scale(picture.shape[0] / 45)
    for distance in rings:
        text, top = f"{distance:g} m", round(origin[1] - distance * metre)
        if top < picture.shape[0] / 20:
            break
        left = round(origin[0]) - text_width(text, size) // 2
        picture[top - round(24 * size):top + round(8 * size), left - 3:left + text_width(text, size) + 3] = _BACKGROUND
        put_text(picture, text, (left, top), size, (200, 200, 200))


def _draw_field_of_view(picture: Array, sample: Sample, origin: Array, metre: float, length: float) -> None:
    """Rays through the middle of the image's left and right border."""
    camera = sample.camera
    rays = camera.unproject(np.array([[0.0, camera.height / 2], [camera.width - 1.0, camera.height / 2]]))
    for x, _, z in rays / np.maximum(np.hypot(rays[:, 0], rays[:, 2]), 1e-9)[:, None]:
        end = origin + metre * length * np.array([x, -z])
        cv2.line(picture, tuple(np.round(origin).astype(int).tolist()), tuple(np.round(end).astype(int).tolist()),
                 _LINE, 1, cv2.LINE_AA)
