"""The transformer layers that both stages are made of: attention to a context, and one round for two modalities."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rotary import rotate

SHORT = 64  # tokens of a context; the fused attention is made for longer ones, and 4 to 7 times as slow below
MASKED = -1e4  # finite, so that a token without any context is attended evenly instead of becoming NaN


class TransformerLayer(nn.Module):
    """Pre-norm multi-head attention of tokens to a context, and a feed-forward network; both residual."""

    def __init__(self, dim: int, heads: int, cross: bool = False) -> None:
        """cross: the context is something else than the tokens themselves."""
        super().__init__()
        self.heads = heads
        self.norm, self.norm_inner = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_context = nn.LayerNorm(dim) if cross else None
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.inner = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, context: Tensor | None = None, valid: Tensor | None = None,
                phases: Tensor | None = None) -> Tensor:
        """x (B, N, dim) after one look at context (B, M, dim); None: at itself.

        valid: (B, M) bool, of the context. phases: (B, N, dim / heads / 2) rotary angles, for self attention alone.
        """
        normed = self.norm(x)
        other = normed if context is None or self.norm_context is None else self.norm_context(context)
        query = self._split(self.query(normed))  # (B, heads, N, d)
        key, value = (self._split(part) for part in self.key_value(other).chunk(2, dim=-1))
        if phases is not None:
            query, key = rotate(query, phases), rotate(key, phases)
        bias = None if valid is None else mask_bias(valid, query)[:, None, None, :]  # (B, 1, 1, M)
        seen = _attend(query, key, value, bias)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.inner(self.norm_inner(x))

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, dim) to (B, heads, N, dim / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TwoWayLayer(nn.Module):
    """Context within each modality, then interaction across: the points look first."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.points_self, self.image_self = TransformerLayer(dim, heads), TransformerLayer(dim, heads)
        self.points_cross, self.image_cross = (TransformerLayer(dim, heads, cross=True) for _ in range(2))

    def forward(self, points: Tensor, image: Tensor, valid: Tensor, inside: Tensor, point_phases: Tensor | None = None,
                image_phases: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """points (B, N, dim) and image (B, C, dim) after one round; valid (B, N) and inside (B, C) bool."""
        points = self.points_self(points, valid=valid, phases=point_phases)
        image = self.image_self(image, valid=inside, phases=image_phases)
        points = self.points_cross(points, image, inside)
        image = self.image_cross(image, points, valid)
        return points, image


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention (B, heads, N, d) to contexts (B, heads, M, d); bias (B, 1, 1, M)."""
    if key.shape[-2] > SHORT:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, heads, N, M)
    return (scores if bias is None else scores + bias).softmax(dim=-1) @ value


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """(B, N, M) cosines of rows x (B, N, dim) and y (B, M, dim), in float32 whatever the precision around."""
    with torch.autocast(x.device.type, enabled=False):
        x, y = (functional.normalize(each.float(), dim=-1) for each in (x, y))
        return x @ y.transpose(1, 2)


def mask_bias(valid: Tensor, like: Tensor) -> Tensor:
    """0 where valid, MASKED elsewhere, to be added to scores of the type of `like`."""
    return (~valid).to(like.dtype) * MASKED
