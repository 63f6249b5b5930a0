"""A scan as a picture: what a camera would see of it from some pose, nearest points in front."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEAREST_M, FARTHEST_M = 1.0, 80.0  # depths between which points are drawn


@dataclass(frozen=True)
class Raster:
    """B scans as pictures.

    picture: (B, 3 + F, H, W) float32: 1 where a point is, its inverse depth NEAREST_M / z, its log depth in 0..1, and
    F features of it; zeros elsewhere. point: (B, cells) int64, the nearest point in each cell of `stride` x `stride`
    px, row by row; 0 where there is none, and `hit` (B, cells) says so.
    """

    picture: Tensor
    point: Tensor
    hit: Tensor


def rasterise(pixels: Tensor, depth: Tensor, valid: Tensor, features: Tensor, size: tuple[int, int],
              stride: int) -> Raster:
    """The pictures of points at `pixels` (B, N, 2), depth (B, N) m, where `valid` (B, N), with features (B, N, F).

    size: (H, W) px, multiples of `stride`. Nothing waits for the device.
    """
    height, width = size
    u, v = (pixels + 0.5).floor().long().unbind(-1)
    shown = valid & (depth > NEAREST_M) & (depth < FARTHEST_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    point, hit = _nearest(v * width + u, depth, shown, height * width)
    cell, cell_hit = _nearest(v // stride * (width // stride) + u // stride, depth, shown,
                              (height // stride) * (width // stride))
    z = depth.gather(1, point).clamp(NEAREST_M, FARTHEST_M)  # (B, H W)
    told = features.float().gather(1, point[..., None].expand(-1, -1, features.shape[2]))  # (B, H W, F)
    log_depth = (z / NEAREST_M).log() / math.log(FARTHEST_M / NEAREST_M)
    channels = torch.cat([torch.stack([torch.ones_like(z), NEAREST_M / z, log_depth], dim=-1), told], dim=-1)
    picture = (channels * hit[..., None]).transpose(1, 2).unflatten(2, size)
    return Raster(picture.contiguous(), cell, cell_hit)


def _nearest(place: Tensor, depth: Tensor, shown: Tensor, places: int) -> tuple[Tensor, Tensor]:
    """The nearest of the points (B, N) that are shown at each place (B, places), and whether there is one."""
    far = torch.where(shown, depth, torch.inf)
    least = torch.full((len(depth), places), torch.inf, dtype=depth.dtype, device=depth.device)
    least = least.scatter_reduce(1, place, far, "amin")
    first = shown & (depth == least.gather(1, place))
    index = torch.arange(depth.shape[1], device=depth.device).expand_as(place)
    winner = torch.full((len(depth), places), -1, dtype=torch.long, device=depth.device)
    winner = winner.scatter_reduce(1, place, torch.where(first, index, -1), "amax")
    return winner.clamp(min=0), winner >= 0
