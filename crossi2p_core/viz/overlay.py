"""The cloud on the image, coloured by depth: whether an extrinsic is right can be judged at a glance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry import se3
from ..geometry.visibility import visible_mask
from ..types import Camera, PointCloud
from .caption import strip_height, title_strip
from .depth_scale import DepthScale, legend

Array = np.ndarray

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class SeenPoints:
    """What the camera sees of a cloud, far points first. uv: (M, 2) px. depth: (M,) m. index: (M,) rows of it."""

    uv: Array
    depth: Array
    index: Array


def seen_points(camera: Camera, cloud: PointCloud, T_cam_lidar: Array) -> SeenPoints:
    """The points of `cloud` inside the image and not hidden behind others; depth is the distance from the camera."""
    points = se3.transform(se3.check_transform(T_cam_lidar, "T_cam_lidar"), cloud.xyz.astype(np.float64))
    uv, inside = camera.project(points)
    depth = np.linalg.norm(points, axis=1)
    visible = visible_mask(uv, depth, inside, camera.width, camera.height)
    index = np.flatnonzero(visible)
    index = index[np.argsort(-depth[index], kind="stable")]
    return SeenPoints(uv[index], depth[index], index)


def draw_overlay(
    image: Array, camera: Camera, cloud: PointCloud, T_cam_lidar: Array, *, scale: DepthScale | None = None,
    with_legend: bool = True, title: str = "",
) -> Array:
    """The image (H, W, 3) uint8 RGB, dimmed, with the visible points drawn on it; near ones red and last.

    scale: colours of the depths, fitted to what is seen unless given. with_legend: a bar with metres in the lower right
    corner. A `title` adds a strip above the picture; without one the size is that of the image.
    """
    seen = seen_points(camera, cloud, T_cam_lidar)
    scale = scale or DepthScale.of(seen.depth)
    picture = _dimmed(image)
    radius = _radius(camera, len(seen.uv))
    drawn = _thinned(seen, 3 * radius)
    _draw_points(picture, drawn.uv, scale.colors(drawn.depth), radius)
    if with_legend:
        _paste_legend(picture, scale)
    return np.vstack([title_strip(title, camera.width), picture]) if title else picture


def before_after(
    image: Array, camera: Camera, cloud: PointCloud, T_before: Array, T_after: Array, *,
    title_before: str = "before", title_after: str = "after",
) -> Array:
    """Two overlays with one colour scale, before above after, each under its title, and the legend at the bottom.

    Titles such as `before: 2.1 deg / 8 cm`. Returns (H', W, 3) uint8 RGB with H' a little over 2 H.
    """
    depths = [seen_points(camera, cloud, T).depth for T in (T_before, T_after)]
    scale = DepthScale.of(*depths)
    above, below = (draw_overlay(image, camera, cloud, T, scale=scale, with_legend=False, title=title)
                    for T, title in ((T_before, title_before), (T_after, title_after)))
    return np.vstack([above, below, legend(scale, camera.width, 2 * strip_height(camera.width) * 3 // 4)])


def _dimmed(image: Array) -> Array:
    """Nearly grey, and darker where the image is bright: edges stay readable and colours of the points stand out."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
    brightness = float(np.clip(70 / max(float(grey.mean()), 1.0), 0.55, 0.9))
    return (brightness * (0.35 * image + 0.65 * grey)).astype(np.uint8)


def _radius(camera: Camera, count: int) -> float:
    """Radius in pixels: large enough that a few beams can be seen, small enough that 64 leave the image readable."""
    area_each = camera.width * camera.height / max(count, 1)
    return float(np.clip(0.18 * np.sqrt(area_each), camera.width / 1200, camera.width / 250))


def _thinned(seen: SeenPoints, cell: float) -> SeenPoints:
    """One point, the nearest, per square of `cell` pixels: a dense scan must not hide the image it is judged by."""
    column, row = np.floor(seen.uv / cell).astype(np.int64).T
    _, last_reversed = np.unique((row * 1_000_000 + column)[::-1], return_index=True)
    keep = np.sort(len(column) - 1 - last_reversed)
    return SeenPoints(seen.uv[keep], seen.depth[keep], seen.index[keep])


def _draw_points(picture: Array, uv: Array, colors: Array, radius: float) -> None:
    """Filled discs in the order given, placed to a sixteenth of a pixel."""
    one = 1 << _SUBPIXEL_BITS
    centers = np.round(uv * one).astype(int).tolist()
    r = max(round(radius * one), one // 2)
    for center, color in zip(centers, colors.tolist(), strict=True):
        cv2.circle(picture, center, r, color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _paste_legend(picture: Array, scale: DepthScale) -> None:
    """The bar in the lower right corner, over at most a third of the width."""
    height, width = picture.shape[:2]
    bar = legend(scale, max(width // 3, min(width, 120)), min(height, strip_height(width) * 4 // 3))
    picture[-bar.shape[0]:, -bar.shape[1]:] = bar
