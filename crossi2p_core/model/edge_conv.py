"""EdgeConv (Wang et al., "Dynamic Graph CNN for Learning on Point Clouds", 2019), cheap enough for 100 000 edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .gather import rows
from .radial_frame import GEOMETRY_DIM


class EdgeConv(nn.Module):
    """y_i = norm(max over j of W [x_i, x_j - x_i, where j lies from i]), one layer as in the paper.

    The linear map is taken apart: what it makes of x_i and of x_j is computed once per point and gathered, so an edge
    costs GEOMETRY_DIM products per channel instead of twice the input's. The paper normalises and activates every edge
    before the maximum; both keep the order of each channel's values (with a positive scale), so here they come after
    it, k times cheaper. LayerNorm, not BatchNorm: points that are not there must not matter, nor the batch's size.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.own = nn.Linear(in_dim, out_dim)
        self.other = nn.Linear(in_dim, out_dim, bias=False)
        self.place = nn.Linear(GEOMETRY_DIM, out_dim, bias=False)
        self.norm = nn.LayerNorm(out_dim)

    def forward(self, centre: Tensor, source: Tensor, index: Tensor, geometry: Tensor) -> Tensor:
        """(B, M, out) from centre (B, M, in) and its neighbours, rows index (B, M, k) of source (B, N, in).

        geometry: (B, M, k, GEOMETRY_DIM), see `edge_geometry`.
        """
        return self.norm(self.own(centre) + strongest_edges(self.other(source), index, geometry, self.place.weight))


class EdgeBlock(nn.Module):
    """An EdgeConv, an activation and a linear layer, added to what was there."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = EdgeConv(in_dim, out_dim)
        self.out = nn.Linear(out_dim, out_dim)
        self.skip = nn.Identity() if in_dim == out_dim else nn.Linear(in_dim, out_dim)

    def forward(self, centre: Tensor, source: Tensor, index: Tensor, geometry: Tensor) -> Tensor:
        """(B, M, out); arguments as of EdgeConv."""
        return self.skip(centre) + self.out(functional.gelu(self.conv(centre, source, index, geometry)))


def strongest_edges(other: Tensor, index: Tensor, geometry: Tensor, weight: Tensor) -> Tensor:
    """(B, M, C) maximum over k of other (B, N, C) at index (B, M, k) plus weight (C, G) times geometry (B, M, k, G).

    Where only the answer is wanted, a CPU goes through one neighbour of all points after the other: the edges then
    never leave its cache, four times faster than making them all. A GPU, and the gradient, want them at once.
    """
    geometry, weight = geometry.to(other.dtype), weight.to(other.dtype)
    if other.device.type != "cpu" or torch.is_grad_enabled():
        edges = torch.addmm(rows(other, index).flatten(0, 2), geometry.flatten(0, 2), weight.t())
        return edges.unflatten(0, index.shape).amax(dim=2)
    strongest = None
    for k in range(index.shape[2]):
        edge = rows(other, index[..., k]).flatten(0, 1).addmm_(geometry[:, :, k].flatten(0, 1), weight.t())
        strongest = edge if strongest is None else torch.maximum(strongest, edge, out=strongest)
    assert strongest is not None
    return strongest.unflatten(0, index.shape[:2])


@torch.no_grad()
def nearest_features(x: Tensor, valid: Tensor, k: int) -> Tensor:
    """(B, M, k) the rows whose features are nearest to each of x (B, M, dim): the dynamic graph. k at most M.

    Rows that are not valid (B, M) are nobody's neighbours; where fewer than k are, the nearest repeats.
    """
    with torch.autocast(x.device.type, enabled=False):  # bf16 distances could not tell neighbours apart
        x = x.float() if x.dtype != torch.float64 else x
        length2 = x.square().sum(-1).masked_fill(~valid, torch.inf)
        distance = torch.baddbmm(length2[:, None, :], x, x.transpose(1, 2), alpha=-2.0)  # less each row's own |x_i|^2
        value, index = distance.topk(k, dim=2, largest=False)
    return torch.where(value.isinf(), index[..., :1], index)
