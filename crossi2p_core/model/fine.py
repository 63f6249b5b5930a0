"""The fine stage: where, to a fraction of a pixel, points of a matched superpoint are seen around its superpixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import TwoWayLayer, cosines, mask_bias
from .config import COARSE_STRIDE, FineConfig, NetworkConfig
from .gather import rows
from .rotary import cell_centres

LEAST_SCORE = -150.0  # of the coarse stage's; lower ones are not valid, and would spoil what lies between
MIN_RANGE_M = 1.0  # nearer points do not tell by their offsets in metres how far apart they look


@dataclass(frozen=True)
class FineMatches:
    """K coarse matches looked at closely, P points each; w x w cells of the fine map form a window.

    points: (B, K, P, 3) m, LiDAR frame. pixels: (B, K, P, 2) where they are seen. weights: (B, K, P, 2) one over the
    expected error in px along u and v. heat: (B, K, P, w w) log probabilities. cells: (B, K, w w, 2) pixels of the
    window. valid: (B, K, P) bool.
    """

    points: Tensor
    pixels: Tensor
    weights: Tensor
    heat: Tensor
    cells: Tensor
    valid: Tensor


@dataclass(frozen=True)
class FinePoints:
    """What the fine stage knows of a cloud.

    features: (B, N, D), xyz: (B, N, 3) m, valid: (B, N) bool, of the points. superpoints: (B, M, 3) m. members:
    (B, M, P) which points each superpoint brings along.
    """

    features: Tensor
    xyz: Tensor
    valid: Tensor
    superpoints: Tensor
    members: Tensor


class FineMatcher(nn.Module):
    """Points of superpoints against windows of the fine map."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config: FineConfig = config.fine
        self.stride = config.image.fine_stride
        dim = config.fine.dim
        self.points_in = nn.Linear(config.points.fine_dim + config.coarse.dim, dim)
        self.image_in = nn.Linear(config.image.fine_dim + config.coarse.dim, dim)
        self.points_place, self.image_place = (
            nn.Sequential(nn.Linear(2, dim), nn.GELU(), nn.Linear(dim, dim)) for _ in range(2))
        self.layers = nn.ModuleList(TwoWayLayer(dim, config.fine.heads) for _ in range(config.fine.layers))
        self.points_out, self.image_out = (
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for _ in range(2))
        self.certainty = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, fine_map: Tensor, cloud: FinePoints, x: Tensor, y: Tensor, similarity: Tensor, chosen: Tensor,
                K: Tensor, grid: tuple[int, int]) -> FineMatches:
        """Matches of the points of chosen (B, K, 2): superpoint and superpixel of each coarse match.

        fine_map: (B, D, Hf, Wf). x: (B, M, dim), y: (B, C, dim) and similarity: (B, M, C) of the coarse stage. K:
        (B, 3, 3).
        """
        superpoint, superpixel = chosen.unbind(-1)
        # 1. what belongs to each match: points and a window of pixels
        member = rows(cloud.members, superpoint)  # (B, K, P)
        points, valid = rows(cloud.xyz, member), rows(cloud.valid, member)
        cells, window, within = self._windows(fine_map, superpixel, grid)
        # 2. tokens: own features, those of the coarse match, and the place within it
        centre = rows(cloud.superpoints, superpoint)[:, :, None]  # (B, K, 1, 3)
        p = self.points_in(torch.cat([rows(cloud.features, member), _spread(rows(x, superpoint), member)], dim=-1))
        offsets = expected_offsets(points, centre, K)
        p = p + self.points_place(offsets)
        q = self.image_in(torch.cat([window, _spread(rows(y, superpixel), within)], dim=-1))
        middle = rows(cell_centres(grid, K.device).expand(K.shape[0], -1, -1), superpixel)[:, :, None]
        q = q + self.image_place((cells - middle) / COARSE_STRIDE)
        # 3. each match is a small world of its own
        p, q, own, near = (each.flatten(0, 1) for each in (p, q, valid, within))  # (B K, ...)
        for layer in self.layers:
            p, q = layer(p, q, own, near)
        # 4. where each point is seen, and how sure that is
        known = coarse_heat(rows(similarity, superpoint), cells, offsets, grid).flatten(0, 1)
        heat = self._heat(p, q, near, known).unflatten(0, chosen.shape[:2])  # (B, K, P, w w)
        pixels = middle + _expectation(heat, cells - middle)
        weights = functional.softplus(self.certainty(p).float().unflatten(0, chosen.shape[:2]) - 1.0)
        return FineMatches(points, pixels, weights * valid[..., None], heat, cells, valid)

    def _windows(self, fine_map: Tensor, superpixel: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, K, w w, 2), features (B, K, w w, D) and bool (B, K, w w) of cells inside the map."""
        height, width = fine_map.shape[-2:]
        size, factor = self.config.window, COARSE_STRIDE // self.stride
        start = (factor - size) // 2  # of the window, from the first fine cell of the superpixel
        around = torch.arange(start, start + size, device=fine_map.device)
        down, right = torch.meshgrid(around, around, indexing="ij")
        row = (superpixel // grid[1] * factor)[..., None] + down.flatten()  # (B, K, w w)
        column = (superpixel % grid[1] * factor)[..., None] + right.flatten()
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        cells = self.stride * (torch.stack([column, row], dim=-1) + 0.5) - 0.5
        return cells, rows(fine_map.flatten(2).transpose(1, 2), index), within

    def _heat(self, p: Tensor, q: Tensor, within: Tensor, known: Tensor) -> Tensor:
        """(B K, P, w w) log probability of each cell, in float32: rounded ones would not sum to one.

        known: (B K, P, w w) what the coarse stage says; this stage adds to it.
        """
        similarity = known + cosines(self.points_out(p), self.image_out(q)) * self.log_scale.clamp(max=5.0).exp()
        return (similarity + mask_bias(within, similarity)[:, None]).log_softmax(dim=-1)


def expected_offsets(points: Tensor, centre: Tensor, K: Tensor) -> Tensor:
    """(B, K, P, 2) superpixels to the right and down by which a point should be seen from its superpoint.

    The geometric constraint of a match: for an upright camera near the LiDAR, a metre to the side looks f / r pixels
    long. Both directions are the superpoint's own (along its horizon, and up), so yaw drops out.
    points: (B, K, P, 3), centre: (B, K, 1, 3) m. K: (B, 3, 3).
    """
    flat = torch.hypot(centre[..., 0], centre[..., 1]).clamp(min=1e-3)
    range_m = torch.hypot(flat, centre[..., 2]).clamp(min=MIN_RANGE_M)
    delta = points - centre
    left = (centre[..., 0] * delta[..., 1] - centre[..., 1] * delta[..., 0]) / flat  # x forward, y left, z up
    focal = 0.5 * (K[:, 0, 0] + K[:, 1, 1])[:, None, None] / COARSE_STRIDE
    return torch.stack([-left, -delta[..., 2]], dim=-1) * (focal / range_m)[..., None]


def coarse_heat(similarity: Tensor, cells: Tensor, offsets: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, K, P, w w) scores of the coarse stage, linearly between superpixels, at the cells of each point's window.

    Without these the fine stage was found to learn nothing for a thousand steps: where within three superpixels a point
    is seen is nearly as hard to tell as in which one. similarity: (B, K, C) of each match's superpoint. cells: (B, K,
    w w, 2) px. offsets: (B, K, P, 2) superpixels by which each point should be seen from the superpoint.
    """
    maps = similarity.float().clamp(min=LEAST_SCORE).flatten(0, 1).unflatten(1, grid)[:, None]  # (B K, 1, h, w)
    places = (cells[:, :, None] + 0.5) / COARSE_STRIDE - offsets[..., None, :]  # superpixels from the image's corner
    places = torch.stack([places[..., 0] * (2 / grid[1]) - 1, places[..., 1] * (2 / grid[0]) - 1], dim=-1)
    found = functional.grid_sample(maps, places.flatten(0, 1), padding_mode="border",
                                   align_corners=False)  # (B K, 1, P, w w)
    return found[:, 0].unflatten(0, offsets.shape[:2])


def _expectation(heat: Tensor, offsets: Tensor) -> Tensor:
    """(B, K, P, 2) mean of offsets (B, K, w w, 2) px by log probabilities (B, K, P, w w).

    No matrix product, which mixed precision would round.
    """
    return (heat.exp()[..., None] * offsets[:, :, None]).sum(dim=-2)


def _spread(x: Tensor, like: Tensor) -> Tensor:
    """x (B, K, D) repeated for each of the n tokens of its match; like (B, K, n)."""
    return x[:, :, None].expand(-1, -1, like.shape[-1], -1)
