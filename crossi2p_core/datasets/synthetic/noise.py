"""Random fields that depend on position alone, so that every sensor sees the same texture: hashes and value noise."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_CELLS = 256  # the lattice repeats after this many cells


def hashed(*keys: Tensor) -> Tensor:
    """A number in 0..1 for every combination of whole numbers `keys` (broadcast), the same on every device."""
    state = torch.zeros((), dtype=torch.int64, device=keys[0].device)
    for key in keys:
        state = (state * 1664525 + key.long() * 374761393 + 1013904223) & 0x7FFFFFFF
        state = ((state ^ (state >> 15)) * 668265263) & 0x7FFFFFFF
        state = state ^ (state >> 13)
    return (state & 0xFFFFFF).to(torch.float32) / float(1 << 24)


@lru_cache(maxsize=8)
def _lattice(device: str) -> Tensor:
    """(1, 1, C + 1, C + 1) random values in -1..1 whose last row and column repeat the first."""
    generator = torch.Generator().manual_seed(20240117)
    values = torch.rand(_CELLS, _CELLS, generator=generator) * 2 - 1
    values = torch.cat([values, values[:1]], 0)
    return torch.cat([values, values[:, :1]], 1)[None, None].to(device)


def value_noise(u: Tensor, v: Tensor, wavelength: float, footprint: Tensor | None = None) -> Tensor:
    """Smooth noise of about +-1 at (u, v) (n,) m, with bumps of `wavelength` m.

    footprint: (n,) m, the size of the pixel on the surface. Bumps smaller than it fade with the number of them in a
    pixel, which is what averaging would do: the texture hardly flickers.
    """
    x, y = u / wavelength, v / wavelength
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    grid = torch.stack([x0.remainder(_CELLS) + fx, y0.remainder(_CELLS) + fy], -1)[None, :, None] * (2 / _CELLS) - 1
    noise = F.grid_sample(_lattice(str(u.device)), grid, mode="bilinear", align_corners=True).view(-1)
    if footprint is None:
        return noise
    return noise / (1 + (1.2 * footprint / wavelength).square())


def octaves(u: Tensor, v: Tensor, wavelength: float, footprint: Tensor, count: int = 3) -> Tensor:
    """`count` octaves of value noise, each half as long and 0.6 as strong as the one before."""
    total = torch.zeros_like(u)
    for k in range(count):
        total = total + 0.6**k * value_noise(u + 17.3 * k, v + 31.7 * k, wavelength * 0.5**k, footprint)
    return total


def foam(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """A cheap irregular 3-d field of about +-1.5 with cells of about 3 units: two gyroids across each other."""
    coarse = x.sin() * y.cos() + y.sin() * z.cos() + z.sin() * x.cos()
    a, b, c = 1.7 * x + 0.9 * z, 1.9 * y - 0.8 * x, 2.1 * z + 0.7 * y
    return coarse + 0.7 * (a.sin() * b.cos() + b.sin() * c.cos() + c.sin() * a.cos())


def coverage(x: Tensor, low: Tensor | float, high: Tensor | float, footprint: Tensor) -> Tensor:
    """Share of a pixel, centred at x and `footprint` wide, that lies in low..high: the exact box filter of a stripe."""
    width = footprint.clamp(min=1e-4)
    left = torch.maximum(x - width / 2, torch.as_tensor(low, device=x.device, dtype=x.dtype))
    right = torch.minimum(x + width / 2, torch.as_tensor(high, device=x.device, dtype=x.dtype))
    return ((right - left) / width).clamp(0, 1)


def stripes(x: Tensor, period: Tensor | float, width: Tensor | float, footprint: Tensor) -> Tensor:
    """Share of a pixel covered by stripes of `width` centred at the multiples of `period` (box-filtered)."""
    f = footprint.clamp(min=1e-4)

    def covered(at: Tensor) -> Tensor:  # metres of stripe in 0..at
        shifted = at + width / 2
        cycles = (shifted / period).floor()
        return cycles * width + torch.minimum(shifted - cycles * period, torch.zeros_like(x) + width)

    return ((covered(x + f / 2) - covered(x - f / 2)) / f).clamp(0, 1)
