"""The image as the refinement works on it: no larger than needed, and where possible without lens distortion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.straight_view import Window, source_pixels, straight_camera, straight_window
from ..types import Camera

_WIDEST_TANGENT = np.tan(np.radians(62.0))  # a wider lens is left as it is: a plane cannot hold it


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
    if small.model == "none":
        return WorkingView(image, small)
    window = straight_window(small.K, small.model, small.distortion, small.width, small.height)
    if window.widest() > _WIDEST_TANGENT:
        return WorkingView(image, small)
    return _straighten(image, small, window)


def _straighten(image: np.ndarray, camera: Camera, window: Window) -> WorkingView:
    """The image resampled to a pinhole camera of the same focal lengths that shows the window."""
    straight = Camera(*straight_camera(window, camera.K[0, 0], camera.K[1, 1]))
    source, valid = source_pixels(straight.K, straight.width, straight.height, camera.K, camera.model,
                                  camera.distortion, camera.width, camera.height)
    resampled = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.erode(valid.astype(np.uint8), np.ones((7, 7), np.uint8), borderValue=0)
    return WorkingView(resampled, straight, mask.astype(np.float32))
