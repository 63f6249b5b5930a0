"""Rows of a batch by index: the one gather that the network uses."""

from __future__ import annotations

import torch
from torch import Tensor


def rows(x: Tensor, index: Tensor) -> Tensor:
    """x (B, N, ...) at index (B, ...) of its second axis: (B, *index.shape[1:], ...).

    By `index_select` on the flattened batch, several times faster than `gather` with an expanded index.
    """
    batch, count = x.shape[:2]
    offset = count * torch.arange(batch, device=x.device).view(-1, *[1] * (index.dim() - 1))
    flat = (index + offset).flatten()
    return x.flatten(0, 1).index_select(0, flat).unflatten(0, index.shape)
