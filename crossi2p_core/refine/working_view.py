"""The image as the refinement works on it: no larger than needed, and where possible without lens distortion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..types import Camera

_WIDEST_TANGENT = np.tan(np.radians(62.0))  # a wider lens is left as it is: a plane cannot hold it
_BORDER = 160  # points along the image's border that are looked at


@dataclass(frozen=True)
class WorkingView:
    """image: (H, W, 3) uint8. camera: its intrinsics. mask: (H, W) float32, 1 where the original image reaches, or None
    where it reaches everywhere."""

    image: np.ndarray
    camera: Camera
    mask: np.ndarray | None = None


def working_view(image: np.ndarray, camera: Camera, focal_px: float) -> WorkingView:
    """The view at a focal length of at most `focal_px`.

    Projecting through a pinhole costs a fraction of projecting through a lens, and the refinement projects millions
    of points; straightening the image once pays for itself at once.
    """
    scale = min(1.0, focal_px / float(np.sqrt(camera.K[0, 0] * camera.K[1, 1])))
    small = camera.scale(scale)
    if small.width != camera.width:
        image = cv2.resize(image, (small.width, small.height), interpolation=cv2.INTER_AREA)
    window = _straight_window(small)
    if small.model == "none" or window is None:
        return WorkingView(image, small)
    return _straighten(image, small, window)


def _straight_window(camera: Camera) -> tuple[float, float, float, float] | None:
    """Tangents (left, top, right, bottom) of the window that holds the image, None where a plane cannot hold it."""
    u, v = np.linspace(0, camera.width - 1, _BORDER), np.linspace(0, camera.height - 1, _BORDER)
    border = np.concatenate([np.stack(np.broadcast_arrays(a, b), axis=-1) for a, b in (
        (u, 0.0), (u, camera.height - 1.0), (0.0, v), (camera.width - 1.0, v))])
    rays = camera.unproject(border)
    tangents = rays[:, :2] / np.maximum(rays[:, 2:], 1e-6)
    if np.abs(tangents).max() > _WIDEST_TANGENT:
        return None
    (left, top), (right, bottom) = tangents.min(axis=0), tangents.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _straighten(image: np.ndarray, camera: Camera, window: tuple[float, float, float, float]) -> WorkingView:
    """The image resampled to a pinhole camera of the same focal lengths that shows the window."""
    left, top, right, bottom = window
    fx, fy = camera.K[0, 0], camera.K[1, 1]
    K = np.array([[fx, 0, -fx * left], [0, fy, -fy * top], [0, 0, 1]])
    straight = Camera(K, int(np.ceil(fx * (right - left))) + 1, int(np.ceil(fy * (bottom - top))) + 1)
    u, v = np.meshgrid(np.arange(straight.width, dtype=np.float32), np.arange(straight.height, dtype=np.float32))
    rays = np.stack([(u - K[0, 2]) / fx, (v - K[1, 2]) / fy, np.ones_like(u)], axis=-1).astype(np.float32)
    source, valid = camera.project(rays)
    source = source.astype(np.float32)
    resampled = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.erode(valid.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=0)
    return WorkingView(resampled, straight, mask.astype(np.float32))
