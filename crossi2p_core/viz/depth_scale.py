"""Colours for depths: near is red, far is blue, and a bar that says how many metres each colour is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .caption import put_text, text_scale, text_width

Array = np.ndarray

_LEVELS = np.arange(256, dtype=np.uint8).reshape(256, 1)
_TURBO = cv2.applyColorMap(_LEVELS, cv2.COLORMAP_TURBO).reshape(256, 3)[:, ::-1]  # RGB, from blue to red


@dataclass(frozen=True)
class DepthScale:
    """Depths from near to far, metres, spread over the colour map by their logarithm: as much colour for 5 to 10 m as
    for 40 to 80 m, since a pixel of misalignment shows on near things first."""

    near: float
    far: float

    @classmethod
    def of(cls, *depths: Array) -> DepthScale:
        """The scale that fits these depths (N,), without the farthest and nearest two per cent."""
        values = np.concatenate([np.zeros(0), *depths])
        values = values[values > 0]
        if len(values) == 0:
            return cls(1.0, 100.0)
        near, far = np.percentile(values, [2, 98])
        return cls(float(max(near, 0.1)), float(max(far, near * 2, 0.2)))

    def colors(self, depth: Array) -> Array:
        """(N, 3) uint8 RGB of depths (N,)."""
        span = np.log(self.far / self.near)
        place = np.clip(np.log(np.maximum(depth, 1e-3) / self.near) / span, 0, 1)
        return _TURBO[np.round(235 - 215 * place).astype(int)]  # the map's ends are too dark to see on an image

    def ticks(self) -> list[float]:
        """Round depths inside the scale: 1, 2, 3, 5, 7, 10, 20, ... metres."""
        rounds = [m * 10.0**e for e in range(-1, 4) for m in (1, 2, 3, 5, 7)]
        return [r for r in rounds if self.near <= r <= self.far]


def legend(scale: DepthScale, width: int, height: int) -> Array:
    """(height, width, 3) uint8 picture of the scale: a bar, and the metres under it."""
    picture = np.full((height, width, 3), 24, dtype=np.uint8)
    size = text_scale(height * 0.36)
    left, right = round(0.04 * width), width - round(0.04 * width) - text_width(" 00 m", size)
    bar = np.geomspace(scale.near, scale.far, max(right - left, 1))
    top, bottom = round(0.12 * height), round(0.46 * height)
    picture[top:bottom, left:left + len(bar)] = scale.colors(bar)
    free = left
    for tick in scale.ticks():
        x = left + round(np.log(tick / scale.near) / np.log(scale.far / scale.near) * (len(bar) - 1))
        picture[top:bottom + max(1, height // 14), x:x + 1] = 255
        label = f"{tick:g}"
        start = x - text_width(label, size) // 2
        if start >= free:
            put_text(picture, label, (start, round(0.9 * height)), size)
            free = start + text_width(label, size) + text_width(" ", size)
    put_text(picture, "m", (right + text_width(" 00", size), round(0.9 * height)), size)
    return picture
