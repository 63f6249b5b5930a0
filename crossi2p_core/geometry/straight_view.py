"""A lens seen through a pinhole: how wide its view is, and where in the original image each pixel is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import camera_models

_BORDER = 160  # points along each side of the image that are looked at


class Window(NamedTuple):
    """The part of the plane z = 1 that an image shows, as tangents of angles off the optical axis."""

    left: float
    top: float
    right: float
    bottom: float

    def widest(self) -> float:
        """The largest tangent; beyond 1e6 where the image reaches 90 degrees off the axis."""
        return max(abs(side) for side in self)

    def clipped(self, tangent: float) -> Window:
        """No more than `tangent` to any side."""
        return Window(*(float(np.clip(side, -tangent, tangent)) for side in self))


def straight_window(K: np.ndarray, model: str, D: np.ndarray, width: int, height: int) -> Window:
    """The window that holds the whole image."""
    u, v = np.linspace(0, width - 1, _BORDER), np.linspace(0, height - 1, _BORDER)
    border = np.concatenate([np.stack(np.broadcast_arrays(a, b), axis=-1) for a, b in (
        (u, 0.0), (u, height - 1.0), (0.0, v), (width - 1.0, v))])
    rays = camera_models.unproject(border, K, model, D)
    tangents = rays[:, :2] / np.maximum(rays[:, 2:], 1e-6)
    (left, top), (right, bottom) = tangents.min(axis=0), tangents.max(axis=0)
    return Window(float(left), float(top), float(right), float(bottom))


def straight_camera(window: Window, fx: float, fy: float) -> tuple[np.ndarray, int, int]:
    """K (3, 3), width and height of the pinhole image with these focal lengths, px, that shows the window."""
    K = np.array([[fx, 0, -fx * window.left], [0, fy, -fy * window.top], [0, 0, 1]])
    return (K, int(np.ceil(fx * (window.right - window.left))) + 1,
            int(np.ceil(fy * (window.bottom - window.top))) + 1)


def source_pixels(K: np.ndarray, width: int, height: int, lens_K: np.ndarray, model: str, D: np.ndarray,
                  lens_width: int, lens_height: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a pinhole image K, width, height lies in the image of a lens.

    Returns uv (height, width, 2) float32 px, as `cv2.remap` takes them, and valid (height, width) bool.
    """
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1).astype(np.float32)
    uv, valid = camera_models.project(rays, lens_K, model, D, lens_width, lens_height)
    return uv.astype(np.float32), valid
