"""What is true of a batch: which superpixel sees how much of which superpoint, and where each point is seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.batch import Batch
from ..model.config import COARSE_STRIDE
from ..model.network import cells_inside
from ..solve.probabilistic.problem import project

BEHIND_M, BEHIND_SHARE = 0.3, 0.05  # by so much a point may lie behind the nearest of its place and still be seen
HIDING_CELL = 4  # pixels of a place
MIN_DEPTH_M = 0.5
IN_VIEW = 0.5  # share of a superpoint's points that makes it seen


@dataclass(frozen=True)
class Targets:
    """B pairs, N points, M superpoints, C superpixels.

    overlap: (B, M, C) share of a superpoint's points that a superpixel sees, spread linearly to the four nearest;
    sums over C to the share in view, at most 1. pixels: (B, N, 2), seen: (B, N) bool, of all points. centres: (B, M, 2)
    mean pixel of what is seen of a superpoint.
    """

    overlap: Tensor
    pixels: Tensor
    seen: Tensor
    centres: Tensor

    @property
    def in_view(self) -> Tensor:
        """(B, M) share of each superpoint that is seen."""
        return self.overlap.sum(dim=2)

    @property
    def visible(self) -> Tensor:
        """(B, M) bool: superpoints that are seen for the most part."""
        return self.in_view > IN_VIEW

    @property
    def covered(self) -> Tensor:
        """(B, C) bool: superpixels that see some of a visible superpoint."""
        return (self.overlap * self.visible[:, :, None]).amax(dim=1) > 0.05


@torch.no_grad()
def targets_of(batch: Batch, grid: tuple[int, int]) -> Targets:
    """From the true extrinsic of a batch; ValueError where it has none. grid: rows and columns of superpixels."""
    if batch.T_cam_lidar is None:
        raise ValueError("a batch without T_cam_lidar has no targets")
    cloud = batch.cloud
    pixels, depth = project_one(cloud.xyz[0], batch.T_cam_lidar, batch.K)
    seen = _seen(pixels, depth, cloud.valid[0], batch.inside)
    owner = cloud.up[1].gather(1, cloud.up[0])  # (B, N) superpoint of each point
    count, cells = cloud.xyz[-1].shape[1], grid[0] * grid[1]
    members = _sum_by(owner, cloud.valid[0].float(), count).clamp(min=1.0)
    overlap = torch.zeros(len(batch), count * cells, device=pixels.device)
    for cell, weight in _four_cells(pixels, grid):
        overlap.scatter_add_(1, owner * cells + cell, weight * seen)
    overlap = overlap.view(len(batch), count, cells) * cells_inside(batch.inside)[:, None]
    found = _sum_by(owner, seen.float(), count).clamp(min=1.0)
    centres = torch.stack([_sum_by(owner, pixels[..., i] * seen, count) / found for i in (0, 1)], dim=-1)
    return Targets(overlap / members[..., None], pixels, seen, centres)


def project_one(points: Tensor, T: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (B, N, 2) and depths (B, N) of points (B, N, 3) by T_cam_lidar (B, 4, 4) and K (B, 3, 3).

    Pixels are finite everywhere; they mean nothing where the depth is below MIN_DEPTH_M.
    """
    u, v, depth = project(points, T[:, None], K)
    return torch.stack([u, v], dim=-1)[:, 0], depth[:, 0]


def choose_matches(targets: Targets, count: int) -> Tensor:
    """(B, count, 2) superpoints in view, drawn at random, each with a superpixel drawn by its overlap.

    An item in which nothing is seen gets matches that are wrong; the losses leave them out.
    """
    superpoint = torch.multinomial(targets.visible.float() + 1e-9, count, replacement=True)  # (B, count)
    weights = targets.overlap.gather(1, superpoint[..., None].expand(-1, -1, targets.overlap.shape[2]))
    superpixel = torch.multinomial(weights.flatten(0, 1) + 1e-9, 1).view_as(superpoint)
    return torch.stack([superpoint, superpixel], dim=-1)


def _seen(pixels: Tensor, depth: Tensor, valid: Tensor, inside: Tensor) -> Tensor:
    """(B, N) bool: in front, in the recording, and with nothing nearer at the same place. inside: (B, H, W)."""
    height, width = inside.shape[1:]
    u, v = (pixels + 0.5).floor().long().unbind(-1)
    within = valid & (depth > MIN_DEPTH_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    within &= inside.flatten(1).gather(1, v * width + u)
    columns = -(-width // HIDING_CELL)
    place = v // HIDING_CELL * columns + u // HIDING_CELL
    far = torch.where(within, depth, torch.inf)
    nearest = torch.full((len(u), columns * -(-height // HIDING_CELL)), torch.inf, device=u.device)
    nearest = nearest.scatter_reduce(1, place, far, "amin").gather(1, place)
    return within & (depth <= nearest * (1 + BEHIND_SHARE) + BEHIND_M)


def _four_cells(pixels: Tensor, grid: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """The four superpixels around each pixel (B, N, 2), as index (B, N) and weight (B, N); weights sum to one."""
    place = (pixels + 0.5) / COARSE_STRIDE - 0.5
    first = place.floor()
    share = place - first
    result = []
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column = (first[..., 0].long() + right).clamp(0, grid[1] - 1)
        row = (first[..., 1].long() + down).clamp(0, grid[0] - 1)
        weight = ((share[..., 0] if right else 1 - share[..., 0]) * (share[..., 1] if down else 1 - share[..., 1]))
        result.append((row * grid[1] + column, weight))
    return result


def _sum_by(owner: Tensor, value: Tensor, count: int) -> Tensor:
    """(B, count) sums of value (B, N) by owner (B, N)."""
    return torch.zeros(len(owner), count, device=value.device, dtype=value.dtype).scatter_add_(1, owner, value)
