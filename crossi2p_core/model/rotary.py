"""Where a token is, told to attention by rotating queries and keys (Su et al., "RoFormer", 2021): attention then sees
differences of place alone.

Of superpoints: azimuth, log range and height. Azimuth turns by whole-number frequencies, so it may wrap around, and the
yaw of a scan drops out exactly. Of superpixels: the two angles of their ray, so that zoom does not matter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .config import COARSE_STRIDE

LOG_RANGE_RATE = 2 * math.pi  # radians per factor e of range, at frequency 1
HEIGHT_RATE = math.pi / 8  # radians per metre, at frequency 1
TOP_ANGLE = 128  # highest frequency of angles: one turn per 2.8 deg
TOP_LENGTH = 8  # and of log range and height


def superpoint_phases(xyz: Tensor, head_dim: int) -> Tensor:
    """(B, N, head_dim / 2) rotation angles of points (B, N, 3), LiDAR frame, m.

    Half of the pairs of channels tell azimuth, a quarter log range, a quarter height.
    """
    pairs = head_dim // 2
    x, y, z = xyz.unbind(-1)
    flat = torch.hypot(x, y)
    return torch.cat([
        _turns(torch.atan2(y, x), pairs // 2, TOP_ANGLE),
        _turns(LOG_RANGE_RATE * torch.log(torch.hypot(flat, z).clamp(min=0.1)), pairs // 4, TOP_LENGTH),
        _turns(HEIGHT_RATE * z, pairs - pairs // 2 - pairs // 4, TOP_LENGTH)], dim=-1)


def superpixel_phases(K: Tensor, grid: tuple[int, int], head_dim: int) -> Tensor:
    """(B, h w, head_dim / 2) rotation angles of superpixels, row by row, by the angles of their rays; K (B, 3, 3)."""
    pairs = head_dim // 2
    right, down = ray_angles(K, grid).unbind(-1)
    return torch.cat([_turns(right, pairs // 2, TOP_ANGLE), _turns(down, pairs - pairs // 2, TOP_ANGLE)], dim=-1)


def cell_centres(grid: tuple[int, int], device: torch.device) -> Tensor:
    """(h w, 2) pixels u, v of the centres of superpixels, row by row."""
    v, u = torch.meshgrid(*(torch.arange(n, device=device, dtype=torch.float32) for n in grid), indexing="ij")
    return COARSE_STRIDE * (torch.stack([u, v], dim=-1).reshape(-1, 2) + 0.5) - 0.5


def ray_angles(K: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, h w, 2) radians to the right of and below the optical axis at which superpixels are seen; K (B, 3, 3)."""
    uv = cell_centres(grid, K.device)
    x = (uv[:, 0] - K[:, None, 0, 2]) / K[:, None, 0, 0]  # (B, h w)
    y = (uv[:, 1] - K[:, None, 1, 2]) / K[:, None, 1, 1]
    return torch.stack([torch.atan(x), torch.atan2(y, torch.hypot(x, torch.ones_like(x)))], dim=-1)


def rotate(x: Tensor, phases: Tensor) -> Tensor:
    """x (B, heads, N, d) with its pairs of channels turned by phases (B, N, d / 2)."""
    cos, sin = phases.cos()[:, None].to(x.dtype), phases.sin()[:, None].to(x.dtype)  # (B, 1, N, d / 2)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _turns(value: Tensor, count: int, top: int) -> Tensor:
    """value (B, N) at `count` whole-number frequencies from 1 to `top`, evenly apart by ratio: (B, N, count)."""
    steps = torch.arange(count, device=value.device, dtype=value.dtype) / max(count - 1, 1)
    return value[..., None] * (float(top) ** steps).round()
