"""CrossI2P: one image and one cloud in, matches coarse and fine out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batch import Batch, PointPyramid
from .coarse import CoarseMatcher, CoarseScores
from .config import COARSE_STRIDE, NetworkConfig
from .fine import FineMatcher, FineMatches, FinePoints
from .gather import rows
from .image_encoder import ImageEncoder
from .point_encoder import PointEncoder
from .projector import Projector


@dataclass(frozen=True)
class Described:
    """Both modalities in the shared space: superpixels (B, C, 256) and superpoints (B, M, 256), unit vectors, and what
    the fine stage needs: its map (B, D, Hf, Wf) and features of points (B, N, D)."""

    image: Tensor
    points: Tensor
    fine_map: Tensor
    fine_points: Tensor


@dataclass(frozen=True)
class Matches:
    """All that the network says of B pairs.

    superpoints: (B, M, 3) m, LiDAR frame. valid: (B, M), inside: (B, C) bool. chosen: (B, K, 2) superpoint and
    superpixel of the coarse matches that the fine stage looked at. view: the same pairs, described from another view.
    """

    described: Described
    scores: CoarseScores
    chosen: Tensor
    fine: FineMatches
    superpoints: Tensor
    valid: Tensor
    inside: Tensor
    view: Described | None = None


class Network(nn.Module):
    """Both encoders, the shared space, the coarse and the fine stage. Sizes by `config` alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config.image)
        self.point_encoder = PointEncoder(config.points)
        self.image_projector = Projector(config.image.dim)
        self.point_projector = Projector(config.points.dims[-1])
        self.coarse = CoarseMatcher(config.coarse)
        self.fine = FineMatcher(config)

    def forward(self, batch: Batch, chosen: Tensor | None = None, view: Batch | None = None) -> Matches:
        """Matches of a batch.

        chosen: (B, K, 2) coarse matches for the fine stage; those that are missing are the network's own best.
        view: the batch as seen otherwise, for the loss within each modality.
        """
        # 1. both modalities, brought into one space
        described = self.describe(batch)
        # 2. superpoints to superpixels
        cloud, inside = batch.cloud, cells_inside(batch.inside)
        superpoints, valid = cloud.xyz[-1], cloud.valid[-1]
        scores, x, y = self.coarse(described.points, described.image, superpoints, valid, batch.K, inside,
                                   self.config.grid)
        # 3. the best of these, to a fraction of a pixel
        wanted = min(self.config.fine.matches, superpoints.shape[1])
        missing = max(0, wanted - (0 if chosen is None else chosen.shape[1]))
        best = best_matches(scores, missing)
        chosen = best if chosen is None else torch.cat([chosen, best], dim=1)
        fine = self.fine(described.fine_map, self._fine_points(cloud, described), x, y, scores.similarity, chosen,
                         batch.K, self.config.grid)
        other = None if view is None else self.describe(view)
        return Matches(described, scores, chosen, fine, superpoints, valid, inside, other)

    def describe(self, batch: Batch) -> Described:
        """Features of image and cloud, each by itself."""
        seen, felt = self.image_encoder(batch.image), self.point_encoder(batch.cloud)
        superpixels = seen.coarse.flatten(2).transpose(1, 2)  # (B, C, dim)
        return Described(self.image_projector(superpixels), self.point_projector(felt.coarse), seen.fine, felt.fine)

    def shared_layers(self) -> list[nn.Parameter]:
        """The last weights that all losses share: GradNorm compares gradients there."""
        return [*self.image_projector.parameters(), *self.point_projector.parameters()]

    def _fine_points(self, cloud: PointPyramid, described: Described) -> FinePoints:
        level = self.config.points.fine_level
        return FinePoints(described.fine_points, cloud.xyz[level], cloud.valid[level], cloud.xyz[-1],
                          members_of_superpoints(cloud, level, self.config.fine.points))


def best_matches(scores: CoarseScores, count: int) -> Tensor:
    """(B, count, 2) superpoint and superpixel of the most probable matches, one per superpoint at most."""
    probability, superpixel = scores.dual_softmax().max(dim=2)
    superpoint = probability.topk(min(count, probability.shape[1]), dim=1).indices  # (B, K)
    return torch.stack([superpoint, superpixel.gather(1, superpoint)], dim=-1)


def members_of_superpoints(cloud: PointPyramid, level: int, count: int) -> Tensor:
    """(B, M, count) indices of the points of that level nearest to each superpoint, which is among them."""
    middle = cloud.down[-1]  # (B, M, k), nearest first
    return middle[..., :count] if level == 1 else rows(cloud.down[0], middle[..., 0])[..., :count]


def cells_inside(inside: Tensor) -> Tensor:
    """(B, C) bool: superpixels that lie within the recording for the most part; inside (B, H, W)."""
    return functional.avg_pool2d(inside[:, None].float(), COARSE_STRIDE).flatten(1) > 0.5
