"""The way of each modality into the space in which they are compared."""

from __future__ import annotations

from torch import Tensor, nn

from .config import SHARED_DIM

TINY = 1e-8  # added to a squared length: a vector of zeros stays one, with a finite gradient


class Projector(nn.Module):
    """Two linear layers and a length of one: cosines are then dot products."""

    def __init__(self, in_dim: int, out_dim: int = SHARED_DIM) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (..., out_dim), float32 under autocast as well, of features x (..., in_dim)."""
        projected = self.layers(x).float()
        return projected * (projected.square().sum(dim=-1, keepdim=True) + TINY).rsqrt()
