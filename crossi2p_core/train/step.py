"""One step of training up to the point where weights would change: gradients, and the numbers that describe them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .config import TrainConfig
from .distributed import World, mean_over
from .examples import Example
from .gradnorm import gradient_norms
from .task import Task, total


@dataclass(frozen=True)
class Numbers:
    """Of one step, means over its batches and all processes: floats by name."""

    losses: dict[str, float]
    norms: dict[str, float]  # of the unweighted gradients at the shared layers; empty where nobody looked
    metrics: dict[str, float]
    gradient: float  # norm of the whole gradient before it was clipped
    stop: float  # above 0 where any process was asked to stop

    @property
    def finite(self) -> bool:
        """Whether the weights may take this step."""
        return all(math.isfinite(x) for x in (*self.losses.values(), *self.norms.values(), self.gradient))


def gradients(model: nn.Module, task: Task, stream: Iterator[Example], weights: dict[str, float],
              config: TrainConfig, world: World, look: bool, stop: bool) -> tuple[Numbers, list[str]]:
    """Leaves in the model the clipped gradient of a step, and returns what describes it, and notes on frames left out.

    weights: of the active losses. look: measure GradNorm's gradient norms, which are those of the last batch. One copy
    from the device.
    """
    parts: list[dict[str, Tensor]] = []
    notes: list[str] = []
    for number in range(config.accumulate):
        example = next(stream)
        notes += example.left_out
        last = number == config.accumulate - 1
        with contextlib.nullcontext() if last else _without_exchange(model):
            parts.append(_backward(model, task, example.batch, weights, config, world, look and last))
    means = {name: torch.stack([part[name] for part in parts if name in part]).mean() for name in parts[-1]}
    means["gradient"] = nn.utils.clip_grad_norm_(model.parameters(), config.clip).detach()
    means["stop"] = torch.tensor(float(stop), device=world.device)
    return _numbers(_to_floats(means, world)), notes


def _backward(model: nn.Module, task: Task, batch: Any, weights: dict[str, float], config: TrainConfig, world: World,
              look: bool) -> dict[str, Tensor]:
    """Adds the gradient of one batch; returns its numbers, still on the device."""
    with autocast(config, world):
        terms = task.terms(model, batch, tuple(weights))
    found = {f"loss {name}": loss for name, loss in terms.losses.items()}
    found |= {f"metric {name}": value for name, value in terms.metrics.items()}
    if look:
        norms = gradient_norms(terms.losses, task.shared_layers(bare(model)))
        found |= {f"norm {name}": norm for name, norm in norms.items()}
    (total(terms.losses, weights) / config.accumulate).backward()
    return {name: value.detach().float() for name, value in found.items()}


def autocast(config: TrainConfig, world: World) -> AbstractContextManager[None]:
    """bfloat16 where its range and precision suffice; its range is float32's, so that no loss needs scaling."""
    return torch.autocast(world.device.type, torch.bfloat16, enabled=config.precision == "bf16")


def bare(model: nn.Module) -> nn.Module:
    """The model itself, without what spreads it over processes."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def _without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """Gradients are exchanged once per step, not once per batch."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else contextlib.nullcontext()


def _to_floats(means: dict[str, Tensor], world: World) -> dict[str, float]:
    """Means over all processes, brought over in one piece."""
    values = mean_over(world, torch.stack([means[name] for name in sorted(means)]))
    return dict(zip(sorted(means), values.tolist(), strict=True))


def _numbers(found: Mapping[str, float]) -> Numbers:
    def of(kind: str) -> dict[str, float]:
        return {name.removeprefix(kind): value for name, value in found.items() if name.startswith(kind)}

    return Numbers(of("loss "), of("norm "), of("metric "), found["gradient"], found["stop"])
