"""GradNorm (Chen et al., ICML 2018): weights of the losses under which all of them train at a like pace.

At every step t, with g_i the norm of the gradient of loss i at the last shared layer W, and G_i = w_i g_i:

    r_i    = (L_i(t) / L_i(0)) / mean of these              relative inverse training rate
    target = mean(G) r_i^alpha                              a constant for the gradient
    L_grad = sum |G_i - target_i|, so dL_grad/dw_i = sign(G_i - target_i) g_i

The weights take one step of Adam down this gradient and are then scaled to sum to the number of losses. All of it is
arithmetic on a few numbers that the loop has at hand anyway; the gradient in w is exact without a second backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .config import GradNormConfig

LEAST_WEIGHT = 1e-3  # the published rule lets a weight step below zero, where it means nothing
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's usual ones


class GradNorm:
    """The weights of the losses, and what they follow from. A loss takes part from the step at which it enters."""

    def __init__(self, config: GradNormConfig, names: Sequence[str]) -> None:
        self.config = config
        self.names = tuple(names)
        self.enters = {name: config.pose_from_step if name == "pose" else 0 for name in self.names}
        self.weights: dict[str, float] = {}
        self.initial: dict[str, float] = {}
        self._moments: dict[str, list[float]] = {}  # of Adam: first, second, number of steps

    def active(self, step: int) -> tuple[str, ...]:
        """Names of the losses that count at a step, counted from 0."""
        return tuple(name for name in self.names if step >= self.enters[name])

    def weights_at(self, step: int) -> dict[str, float]:
        """The weight of every active loss. One that enters weighs as much as the mean; the sum stays their number."""
        active = self.active(step)
        if self.config.mode != "on":
            given = self.config.weights if self.config.mode == "fixed" else {}
            return {name: given.get(name, 1.0) for name in active}
        for name in active:
            self.weights.setdefault(name, 1.0)  # the others sum to their number already
        return {name: self.weights[name] for name in active}

    def update(self, step: int, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """One step of the weights. losses: unweighted; norms: of their unweighted gradients at the shared layer.

        Both finite, of every active loss; without norms the weights stay. The first value of a loss is its L(0), but
        for an exact zero: there was nothing in the batch that it counts.
        """
        active = self.active(step)
        for name in active:
            if losses[name] != 0:
                self.initial.setdefault(name, losses[name])
        if self.config.mode != "on" or not norms:
            return
        weights = self.weights_at(step)
        gradient = weight_gradient(weights, norms, self.rates(losses), self.config.alpha)
        for name in active:
            self.weights[name] = max(LEAST_WEIGHT, weights[name] - self._adam(name, gradient[name]))
        scale = len(active) / sum(self.weights[name] for name in active)
        self.weights.update({name: self.weights[name] * scale for name in active})

    def rates(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Relative inverse training rates of the losses given; a loss that is not positive counts as average."""
        ratio = {name: loss / self.initial[name] for name, loss in losses.items()
                 if name in self.initial and loss > 0 and self.initial[name] > 0}
        mean = sum(ratio.values()) / len(ratio) if ratio else 1.0
        return {name: ratio[name] / mean if name in ratio else 1.0 for name in losses}

    def _adam(self, name: str, gradient: float) -> float:
        """How far the weight moves."""
        first, second, count = self._moments.setdefault(name, [0.0, 0.0, 0.0])
        first, second = (_BETA1 * first + (1 - _BETA1) * gradient, _BETA2 * second + (1 - _BETA2) * gradient**2)
        count += 1
        self._moments[name] = [first, second, count]
        return (self.config.lr * first / (1 - _BETA1**count)
                / (math.sqrt(second / (1 - _BETA2**count)) + _EPSILON))

    def state(self) -> dict[str, Any]:
        """Everything that has been learned, ready for JSON."""
        return {"weights": dict(self.weights), "initial": dict(self.initial),
                "moments": {name: list(values) for name, values in self._moments.items()}}

    def restore(self, state: Any, where: str) -> None:
        """Go on from `state()`. Raises InputError where `where` holds something else."""
        try:
            weights, initial = ({str(k): _finite(v) for k, v in state[part].items()} for part in ("weights", "initial"))
            moments = {str(k): [_finite(v) for v in values] for k, values in state["moments"].items()}
            strange = (weights.keys() | initial.keys() | moments.keys()) - set(self.names)
            if strange or min(weights.values(), default=1) <= 0 or any(len(m) != 3 for m in moments.values()):
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: the state of GradNorm is damaged; use an earlier checkpoint") from error
        self.weights, self.initial, self._moments = weights, initial, moments


def weight_gradient(weights: Mapping[str, float], norms: Mapping[str, float], rates: Mapping[str, float],
                    alpha: float) -> dict[str, float]:
    """dL_grad/dw of every weight, the target held constant."""
    weighted = {name: weight * norms[name] for name, weight in weights.items()}
    mean = sum(weighted.values()) / len(weighted)
    apart = {name: weighted[name] - mean * rates[name] ** alpha for name in weights}
    return {name: norms[name] * ((value > 0) - (value < 0)) for name, value in apart.items()}


def gradient_norms(losses: Mapping[str, Tensor], shared: Sequence[Tensor]) -> dict[str, Tensor]:
    """Norm of the gradient of each loss with respect to the shared weights, a scalar each; 0 where it has none.

    None at all where no weights are shared. The graph is kept for the backward pass that follows.
    """
    if not shared:
        return {}
    return {name: _norm(torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True), loss)
            if loss.requires_grad else torch.zeros_like(loss) for name, loss in losses.items()}


def _norm(gradients: Sequence[Tensor | None], loss: Tensor) -> Tensor:
    parts = [gradient.float().norm() for gradient in gradients if gradient is not None]
    return torch.stack(parts).norm() if parts else torch.zeros_like(loss)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError
    return float(value)
