"""What is true of a batch: which superpixel sees how much of which superpoint, and where each point is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..model.batch import Batch
from ..model.config import COARSE_STRIDE
from ..model.network import cells_inside
from ..solve.probabilistic.problem import project

BEHIND_M, BEHIND_SHARE = 0.3, 0.05  # by so much a point may lie behind the nearest of its place and still be seen
HIDING_CELL = 4  # pixels of a place
MIN_DEPTH_M = 0.5


@dataclass(frozen=True)
class Targets:
    """B pairs, M superpoints, C superpixels.

    overlap: (B, M, C) how much each superpixel sees of a superpoint, spread linearly over the four around its pixel;
    sums over C to 1, or to 0 where it is not seen. visible: (B, M) bool. centres: (B, M, 2) pixels of superpoints.
    nearest: (B, places) depth of what is nearest at each place of the image, from all points. sure: (B,) bool, pairs
    whose extrinsic is to be learned from; of the others nothing is right, and nothing is wrong either.

    A superpoint stands for its own point, which is what poses are fitted to, not for the mean of its surroundings.
    """

    overlap: Tensor
    visible: Tensor
    centres: Tensor
    nearest: Tensor
    sure: Tensor

    def only(self, sure: Tensor) -> Targets:
        """Those of the pairs that are sure, (B,) bool."""
        return replace(self, overlap=self.overlap * sure[:, None, None], visible=self.visible & sure[:, None],
                       sure=self.sure & sure)

    @property
    def covered(self) -> Tensor:
        """(B, C) bool: superpixels that see some of a superpoint."""
        return self.overlap.amax(dim=1) > 0.05


@torch.no_grad()
def targets_of(batch: Batch, grid: tuple[int, int]) -> Targets:
    """From the true extrinsic of a batch; ValueError where it has none. grid: rows and columns of superpixels."""
    if batch.T_cam_lidar is None:
        raise ValueError("a batch without T_cam_lidar has no targets")
    cloud = batch.cloud
    # 1. what is nearest at each place, from all points
    pixels, depth = project_one(cloud.xyz[0], batch.T_cam_lidar, batch.K)
    nearest = nearest_depths(pixels, depth, cloud.valid[0], batch.inside)
    # 2. which superpoints are seen, and by which superpixels
    pixels, depth = project_one(cloud.xyz[-1], batch.T_cam_lidar, batch.K)
    visible = seen(pixels, depth, cloud.valid[-1], batch.inside, nearest)
    overlap = torch.zeros(*visible.shape, grid[0] * grid[1], device=pixels.device)
    for cell, weight in _four_cells(pixels, grid):
        overlap.scatter_add_(2, cell[..., None], (weight * visible)[..., None])
    overlap = overlap * cells_inside(batch.inside)[:, None]
    total = overlap.sum(dim=2, keepdim=True)
    sure = torch.ones(len(batch), dtype=torch.bool, device=pixels.device)
    return Targets(overlap / total.clamp(min=1e-6), visible & (total[..., 0] > 0), pixels, nearest, sure)


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


def seen(pixels: Tensor, depth: Tensor, valid: Tensor, inside: Tensor, nearest: Tensor) -> Tensor:
    """(B, N) bool: in front, in the recording, and with nothing nearer at the same place; see `Targets.nearest`."""
    within, place = _places(pixels, depth, valid, inside)
    return within & (depth <= nearest.gather(1, place) * (1 + BEHIND_SHARE) + BEHIND_M)


def nearest_depths(pixels: Tensor, depth: Tensor, valid: Tensor, inside: Tensor) -> Tensor:
    """(B, places) least depth at each place of HIDING_CELL px, infinite where nothing is seen."""
    within, place = _places(pixels, depth, valid, inside)
    far = torch.where(within, depth, torch.inf)
    height, width = inside.shape[1:]
    places = -(-height // HIDING_CELL) * -(-width // HIDING_CELL)
    return torch.full((len(depth), places), torch.inf, device=depth.device).scatter_reduce(1, place, far, "amin")


def _places(pixels: Tensor, depth: Tensor, valid: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N) bool: in front and in the recording; and (B, N) the place of each point. inside: (B, H, W)."""
    height, width = inside.shape[1:]
    u, v = (pixels + 0.5).floor().long().unbind(-1)
    within = valid & (depth > MIN_DEPTH_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    u, v = u.clamp(0, width - 1), v.clamp(0, height - 1)
    within &= inside.flatten(1).gather(1, v * width + u)
    return within, v // HIDING_CELL * -(-width // HIDING_CELL) + u // HIDING_CELL


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
