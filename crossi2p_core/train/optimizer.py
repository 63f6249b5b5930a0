"""The optimizer, and its moments by the names of the parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError
from .config import TrainConfig
from .muon import Muon

_MOMENTS = {torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"), Muon: ("momentum",)}  # kept of each parameter


class Optimizer:
    """AdamW, or Muon for all weights that are matrices and AdamW for the others, as `config.optimizer` says.

    Biases and the scales of norms are not decayed. One learning rate suits both: their steps are of one size.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices, others = [p for p in trained if p.dim() > 1], [p for p in trained if p.dim() <= 1]
        adam = [{"params": others, "weight_decay": 0.0}]
        self.parts: list[torch.optim.Optimizer] = []
        if config.optimizer == "adamw":
            adam.append({"params": matrices, "weight_decay": config.weight_decay})
        elif matrices:
            self.parts.append(Muon(matrices, config.lr, config.weight_decay))
        self.parts.append(torch.optim.AdamW(adam, lr=config.lr, betas=(0.9, 0.98)))

    def step(self, lr: float) -> None:
        """Change the weights, at this learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()

    def forget_gradients(self) -> None:
        """Before the next ones."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """NAME.MOMENT of every parameter that was stepped at least once."""
        return {f"{name}.{moment}": part.state[parameter][moment] for name, parameter in model.named_parameters()
                for part in self.parts for moment in _MOMENTS[type(part)] if moment in part.state.get(parameter, {})}

    def restore(self, model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
        """Go on from `tensors()`. Raises InputError where they do not fit the model's parameters."""
        left = dict(tensors)
        for name, parameter in model.named_parameters():
            for part in self.parts:
                if any(parameter is own for group in part.param_groups for own in group["params"]):
                    _restore(part, name, parameter, left, where)
        if left:
            raise InputError(f"{where}: the optimizer has moments {next(iter(left))}, which this one lacks; use the "
                             "network and the optimizer that it was trained with, or give it as weights of a new run")


def _restore(part: torch.optim.Optimizer, name: str, parameter: nn.Parameter, left: dict[str, Tensor],
             where: str) -> None:
    """Take the moments of one parameter out of those that are `left`."""
    wanted = _MOMENTS[type(part)]
    moments = {moment: left.pop(f"{name}.{moment}") for moment in wanted if f"{name}.{moment}" in left}
    if not moments:
        return  # never stepped
    if len(moments) < len(wanted) or any(
            moments[m].shape != (() if m == "step" else parameter.shape) for m in wanted):
        raise InputError(f"{where}: the optimizer's moments of {name} do not fit; use another checkpoint")
    part.state[parameter] = {
        moment: tensor.float().clone() if moment == "step" else tensor.to(parameter.device, parameter.dtype)
        for moment, tensor in moments.items()}
