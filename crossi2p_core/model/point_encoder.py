"""The point side of the network: a hierarchical DGCNN.

While points are many, edges join neighbours in space, found once; on superpoints, where all can be compared to all,
every layer joins those whose features are alike, as DGCNN does. Edges know where they lead only in the frame of their
own point (away from the sensor, along its horizon, up), and features do not know the heading either: turning the scan
about its vertical axis changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from .batch import PointPyramid
from .config import PointEncoderConfig
from .edge_conv import EdgeBlock, nearest_features
from .gather import rows
from .point_features import POINT_FEATURES
from .radial_frame import edge_geometry


@dataclass(frozen=True)
class PointFeatures:
    """coarse: (B, N_2, dims[2]) of superpoints. fine: (B, N_fine_level, fine_dim) of the points of `fine_level`."""

    coarse: Tensor
    fine: Tensor


class PointEncoder(nn.Module):
    """Up the pyramid to superpoints, and down again to points. Rows that are not valid repeat what their originals get,
    except superpoints' (their features mean nothing)."""

    def __init__(self, config: PointEncoderConfig) -> None:
        super().__init__()
        self.neighbours, self.fine_level = config.neighbours, config.fine_level
        first, second, last = config.dims
        self.stem = nn.Sequential(nn.Linear(len(POINT_FEATURES), first), nn.LayerNorm(first), nn.GELU())
        self.local = nn.ModuleList([EdgeBlock(first, first), EdgeBlock(second, second), EdgeBlock(last, last)])
        self.pool = nn.ModuleList([EdgeBlock(first, second), EdgeBlock(second, last)])
        self.dynamic = nn.ModuleList(EdgeBlock(last, last) for _ in range(config.dynamic_layers))
        self.coarse_norm = nn.LayerNorm(last)
        self.unpool = nn.ModuleList(
            Unpool(config.dims[level], config.dims[level + 1]) for level in range(config.fine_level, 2))
        self.fine_out = nn.Sequential(nn.LayerNorm(config.dims[config.fine_level]),
                                      nn.Linear(config.dims[config.fine_level], config.fine_dim))

    def forward(self, cloud: PointPyramid) -> PointFeatures:
        """Features of a batch of pyramids."""
        # 1. each level among its neighbours in space, then its neighbourhoods drawn together to the next
        x = self.stem(cloud.features)
        levels = []
        for level, local in enumerate(self.local):
            xyz, index = cloud.xyz[level], cloud.neighbours[level]
            x = local(x, x, index, edge_geometry(xyz, xyz, index))
            levels.append(x)
            if level < len(self.pool):
                index = cloud.down[level]
                geometry = edge_geometry(cloud.xyz[level + 1], xyz, index)
                x = self.pool[level](rows(x, index[..., 0]), x, index, geometry)
        # 2. superpoints among those that are alike, wherever they are
        xyz = cloud.xyz[-1]
        for layer in self.dynamic:
            index = nearest_features(x, cloud.valid[-1], self.neighbours)
            x = layer(x, x, index, edge_geometry(xyz, xyz, index))
        coarse = x = self.coarse_norm(x)
        # 3. back down to the points that the fine stage matches
        for unpool, level in zip(reversed(self.unpool), (1, 0), strict=False):
            x = unpool(levels[level], x, cloud.up[level])
        return PointFeatures(coarse, self.fine_out(x))


class Unpool(nn.Module):
    """What is known of points, and of the superpoint nearest to each, brought together."""

    def __init__(self, fine_dim: int, coarse_dim: int) -> None:
        super().__init__()
        self.own = nn.Linear(fine_dim, fine_dim)
        self.above = nn.Linear(coarse_dim, fine_dim, bias=False)
        self.norm = nn.LayerNorm(fine_dim)
        self.out = nn.Linear(fine_dim, fine_dim)

    def forward(self, fine: Tensor, coarse: Tensor, up: Tensor) -> Tensor:
        """(B, N, fine_dim) from fine (B, N, fine_dim) and coarse (B, M, coarse_dim) by up (B, N), rows of coarse."""
        both = self.own(fine) + rows(self.above(coarse), up)
        return fine + self.out(functional.gelu(self.norm(both)))
