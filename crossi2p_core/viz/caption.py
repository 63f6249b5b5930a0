"""Text on pictures, readable at every picture size."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTER = 22.0  # px: height of a capital at scale 1


def strip_height(width: int) -> int:
    """Height of a strip of text that suits a picture of this width."""
    return int(np.clip(round(width / 36), 16, 60))


def text_scale(height: float) -> float:
    """The font scale at which capitals are `height` pixels high."""
    return max(height, 7.0) / _LETTER


def text_width(text: str, scale: float) -> int:
    """Width of `text` in pixels."""
    return int(cv2.getTextSize(text, _FONT, scale, _thickness(scale))[0][0])


def put_text(picture: Array, text: str, origin: tuple[int, int], scale: float,
             color: tuple[int, int, int] = (240, 240, 240)) -> None:
    """Write `text` into `picture` (RGB) with its lower left corner at `origin` (x, y)."""
    cv2.putText(picture, text, origin, _FONT, scale, color, _thickness(scale), cv2.LINE_AA)


def title_strip(text: str, width: int) -> Array:
    """(h, width, 3) dark strip with `text`; a text too long for it is made smaller."""
    height = strip_height(width)
    strip = np.full((height, width, 3), 24, dtype=np.uint8)
    scale = text_scale(0.5 * height)
    room = width - height
    scale *= min(1.0, room / max(text_width(text, scale), 1))
    put_text(strip, text, (height // 2, round(height * 0.5 + _LETTER * scale / 2)), scale)
    return strip


def _thickness(scale: float) -> int:
    return max(1, round(1.6 * scale))
