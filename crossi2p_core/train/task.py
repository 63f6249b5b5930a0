"""What the loop trains: any model whose losses and metrics have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Terms:
    """Of one batch: losses, scalars with a gradient, and metrics, scalars without."""

    losses: dict[str, Tensor]
    metrics: dict[str, Tensor]


class Task(Protocol):
    """How a model is judged."""

    @property
    def loss_names(self) -> Sequence[str]:
        """Of all losses there may be."""

    def terms(self, model: nn.Module, batch: Any, active: Sequence[str]) -> Terms:
        """The `active` losses and all metrics of a batch. The model is called once, so that DDP sees it.

        Means over the batch, so that those of two processes average to those of one with twice the batch.
        """

    def shared_layers(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """The last weights that all losses share, for GradNorm."""


def total(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum that is minimised."""
    return torch.stack([weights[name] * loss.float() for name, loss in losses.items()]).sum()
