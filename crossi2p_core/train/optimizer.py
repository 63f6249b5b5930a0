"""The optimizer, and its moments by the names of the parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each parameter


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW; biases and the scales of norms are not decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW([
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0}], lr=lr, betas=(0.9, 0.98))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The same for all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """NAME.MOMENT of every parameter that was stepped at least once."""
    return {f"{name}.{moment}": optimizer.state[parameter][moment] for name, parameter in model.named_parameters()
            for moment in _MOMENTS if moment in optimizer.state.get(parameter, {})}


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor],
                      where: str) -> None:
    """Go on from `optimizer_tensors`. Raises InputError where they do not fit the model's parameters."""
    left = dict(tensors)
    for name, parameter in model.named_parameters():
        moments = {moment: left.pop(f"{name}.{moment}") for moment in _MOMENTS if f"{name}.{moment}" in left}
        if not moments:
            continue  # never stepped
        if len(moments) < len(_MOMENTS) or any(
                moments[m].shape != (() if m == "step" else parameter.shape) for m in _MOMENTS):
            raise InputError(f"{where}: the optimizer's moments of {name} do not fit; use another checkpoint")
        optimizer.state[parameter] = {
            moment: tensor.float().clone() if moment == "step" else tensor.to(parameter.device, parameter.dtype)
            for moment, tensor in moments.items()}
    if left:
        raise InputError(f"{where}: the optimizer has moments of {next(iter(left))}, which the network lacks; use the "
                         "configuration that it was trained with")
