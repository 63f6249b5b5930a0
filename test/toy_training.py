"""A small model and a task with three losses, for the training machinery: seconds instead of hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from crossi2p_core.config import load_config
from crossi2p_core.model.batch import Batch, PointPyramid
from crossi2p_core.train.config import TrainConfig
from crossi2p_core.train.examples import Example
from crossi2p_core.train.task import Terms


def toy_config(out: object, **values: Any) -> TrainConfig:
    """Settings of a run of seconds."""
    few = {"out": str(out), "steps": 12, "batch": 4, "warm_up": 2, "lr": 1e-2, "workers": 0, "checkpoint_every": 6,
           "validate_every": 6, "ema": 0.9, "gradnorm": {"pose_from_step": 4}}
    return load_config(TrainConfig, few | values)


class ToyExamples(Dataset[Example]):
    """An image of four grey bars per position; `broken` positions hold NaN."""

    def __init__(self, broken: Sequence[int] = ()) -> None:
        self.broken = set(broken)

    def __getitem__(self, position: int) -> Example:
        image = torch.rand(1, 1, 4, 1, generator=torch.Generator().manual_seed(position)).repeat(1, 3, 1, 4)
        if position in self.broken:
            image[0, 0, 0, 0] = torch.nan
        return Example(toy_batch(image))


def toy_batch(image: Tensor) -> Batch:
    """A batch around images (1, 3, h, w), with a cloud of one point."""
    point, index = torch.zeros(1, 1, 3), torch.zeros(1, 1, 1, dtype=torch.int64)
    cloud = PointPyramid((point,), (torch.ones(1, 1, dtype=torch.bool),), (index,), (), (), torch.zeros(1, 1, 1))
    return Batch(image, torch.eye(3)[None], torch.ones(1, *image.shape[2:], dtype=torch.bool), cloud)


class ToyModel(nn.Module):
    """Something shared, then a head for each loss; `dropout` draws from torch's generator."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body, self.shared = nn.Linear(48, 16), nn.Linear(16, 8)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(8, 4) for name in ToyTask.loss_names})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """(B, 4) for each loss."""
        hidden = self.shared(self.dropout(torch.tanh(self.body(batch.image.flatten(1)))))
        return {name: head(torch.tanh(hidden)) for name, head in self.heads.items()}


class ToyTask:
    """Each head is to tell how bright the four bars are, on a scale of its own."""

    loss_names = ("alignment", "correspondence", "pose")
    scales = (1.0, 3.0, 0.3)

    def terms(self, model: nn.Module, batch: Batch, active: Sequence[str]) -> Terms:
        wanted = batch.image.mean(dim=(1, 3))  # (B, 4)
        told = model(batch)
        losses = {name: (told[name] - scale * wanted).square().mean()
                  for name, scale in zip(self.loss_names, self.scales, strict=True) if name in active}
        return Terms(losses, {"coarse_recall": torch.tensor(0.5)})

    def shared_layers(self, model: nn.Module) -> list[nn.Parameter]:
        return list(model.shared.parameters())


def toy_model(dropout: float = 0.0) -> ToyModel:
    """Always the same weights."""
    torch.manual_seed(7)
    return ToyModel(dropout)
