"""The coarse stage: which superpixel sees which superpoint, if any."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import TwoWayLayer, cosines, mask_bias
from .config import SHARED_DIM, CoarseConfig
from .rotary import ray_angles, superpixel_phases, superpoint_phases


@dataclass(frozen=True)
class CoarseScores:
    """What the coarse stage says of B pairs; M superpoints, C = h w superpixels row by row.

    similarity: (B, M, C) logits, very low where either is not valid. in_view: (B, M) logits that a superpoint is seen
    in the image. covered: (B, C) logits that some superpoint is seen in a superpixel.
    """

    similarity: Tensor
    in_view: Tensor
    covered: Tensor

    def dual_softmax(self) -> Tensor:
        """(B, M, C) in 0..1: both sides choose each other, and the superpoint is in view."""
        similarity = self.similarity.float()
        both = similarity.softmax(dim=2) * similarity.softmax(dim=1)
        return both * self.in_view.float().sigmoid()[:, :, None]

    def log_likelihood(self) -> tuple[Tensor, Tensor]:
        """(B, M, C) log probability that a superpoint is seen in a superpixel, and (B, M) that it is in none."""
        in_view = self.in_view.float()
        inside = self.similarity.float().log_softmax(dim=2) + functional.logsigmoid(in_view)[:, :, None]
        return inside, functional.logsigmoid(-in_view)

    def log_choice(self) -> Tensor:
        """(B, M, C) log probability that a superpixel sees this of the superpoints.

        It is learned against all superpoints, those out of view among them, while of a superpoint out of view
        `log_likelihood` never learns where it is not. So whole poses are judged by this.
        """
        return self.similarity.float().log_softmax(dim=1) + functional.logsigmoid(self.covered.float())[:, None, :]


class CoarseMatcher(nn.Module):
    """Superpoints and superpixels in the shared space in, scores out."""

    def __init__(self, config: CoarseConfig) -> None:
        super().__init__()
        self.head_dim = config.dim // config.heads
        self.points_in, self.image_in = (nn.Linear(SHARED_DIM, config.dim) for _ in range(2))
        # Rotary angles tell differences only; height, range and the ray's direction matter by themselves, too.
        self.points_place, self.image_place = (
            nn.Sequential(nn.Linear(3, config.dim), nn.GELU(), nn.Linear(config.dim, config.dim)) for _ in range(2))
        self.layers = nn.ModuleList(TwoWayLayer(config.dim, config.heads) for _ in range(config.layers))
        self.points_out, self.image_out = (_correction(config.dim) for _ in range(2))
        self.in_view, self.covered = (
            nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, 1)) for _ in range(2))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def forward(self, points: Tensor, image: Tensor, xyz: Tensor, valid: Tensor, K: Tensor, inside: Tensor,
                grid: tuple[int, int]) -> tuple[CoarseScores, Tensor, Tensor]:
        """Scores, and the features (B, M, dim) and (B, C, dim) that they come from.

        points: (B, M, 256), image: (B, C, 256). xyz: (B, M, 3) m. valid: (B, M), inside: (B, C) bool. K: (B, 3, 3).
        """
        x = self.points_in(points) + self.points_place(_place_of_points(xyz))
        y = self.image_in(image) + self.image_place(_place_of_cells(K, grid))
        point_phases = superpoint_phases(xyz, self.head_dim)
        image_phases = superpixel_phases(K, grid, self.head_dim)
        for layer in self.layers:
            x, y = layer(x, y, valid, inside, point_phases, image_phases)
        similarity = cosines(points + self.points_out(x), image + self.image_out(y))
        similarity = similarity * self.log_scale.clamp(max=5.0).exp()
        similarity = similarity + mask_bias(valid, similarity)[:, :, None] + mask_bias(inside, similarity)[:, None, :]
        scores = CoarseScores(similarity, self.in_view(x)[..., 0].float() + mask_bias(valid, similarity),
                              self.covered(y)[..., 0].float() + mask_bias(inside, similarity))
        return scores, x, y


def _correction(dim: int) -> nn.Sequential:
    """What context adds to the shared space: next to nothing at first, so that scores begin as the contrastive loss has
    them.

    Without this, the scores were found to trail behind the shared space by hundreds of steps.
    """
    last = nn.Linear(dim, SHARED_DIM)
    nn.init.normal_(last.weight, std=1e-3)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(dim), last)


def _place_of_points(xyz: Tensor) -> Tensor:
    """(B, M, 3) height, log range and elevation of points: what yaw does not change."""
    x, y, z = xyz.unbind(-1)
    flat = torch.hypot(x, y)
    return torch.stack([z / 5.0, torch.log(torch.hypot(flat, z).clamp(min=0.1)) / 2.0 - 1.0,
                        4.0 * torch.atan2(z, flat)], dim=-1)


def _place_of_cells(K: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, 3) the two angles of superpixels' rays, and log pixels per radian."""
    angles = ray_angles(K, grid)
    zoom = torch.log(K[:, 0, 0] / 300.0)[:, None, None].expand(-1, angles.shape[1], 1)
    return torch.cat([2.0 * angles, zoom], dim=-1)
