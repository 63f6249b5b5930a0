"""Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024).

A step along the momentum of a matrix with all its singular values made equal: what few examples ask for is learned as
fast as what many do. torch has one since 2.9, for linear layers alone; half of our weights are convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ROUNDS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: brings singular values from 0.01 to about 1 in five rounds
RMS = 0.2  # of a step over the learning rate, as AdamW's is (Liu et al., "Muon is Scalable for LLM Training", 2025)


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions; a convolution counts as a matrix of outputs by all else."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(list(weights), {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change all weights that have a gradient. closure: none is called; torch's signature asks for it."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(self._direction(weight, weight.grad), alpha=group["lr"])

    def _direction(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """What to go along, with elements of RMS in the mean; Nesterov's momentum."""
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
        matrix = gradient.add(momentum, alpha=MOMENTUM).flatten(1)
        return (orthogonal(matrix) * (RMS * max(matrix.shape) ** 0.5)).view_as(weight)


def orthogonal(matrix: Tensor) -> Tensor:
    """(R, C) of the same singular vectors, its singular values between about 0.7 and 1.2 where they were not tiny.

    Newton-Schulz in bfloat16, which suffices for a direction; zeros stay zeros.
    """
    a, b, c = QUINTIC
    x = matrix.bfloat16()
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix.dtype)
