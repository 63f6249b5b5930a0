"""Weights averaged over time: they generalise better than those of any one step, and they are what is used later."""

from __future__ import annotations

import copy

import torch
from torch import nn

from .schedule import ema_decay


class AveragedModel:
    """An exponential moving average of a model's parameters; buffers are copied. decay 0: the model itself."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = model if decay == 0 else copy.deepcopy(model).requires_grad_(False)
        # after the last step that was taken
        self._good = [buffer.clone() for buffer in model.buffers()] if decay == 0 else list(self.module.buffers())

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step`, counted from 0."""
        self.keep_buffers(model)
        if self.decay == 0:
            return
        share = 1 - ema_decay(step, self.decay)
        for mean, new in zip(self.module.parameters(), model.parameters(), strict=True):
            mean.lerp_(new, share)

    @torch.no_grad()
    def keep_buffers(self, model: nn.Module) -> None:
        """The model's buffers are good as they are."""
        for kept, now in zip(self._good, model.buffers(), strict=True):
            kept.copy_(now)

    @torch.no_grad()
    def restore_buffers(self, model: nn.Module) -> None:
        """The model's buffers as they were after its last good step."""
        for kept, now in zip(self._good, model.buffers(), strict=True):
            now.copy_(kept)
