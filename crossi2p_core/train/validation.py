"""How good the averaged model is on frames that it does not learn from, with transforms that never change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from ..errors import InputError
from ..model.batch import Batch
from .config import TrainConfig
from .distributed import World, all_of, mean_over
from .examples import Examples, begin_worker, join
from .step import autocast

Judge = Callable[[nn.Module, Batch], dict[str, Tensor]]
MEDIANS = ("rre_deg", "rte_m")  # how the names of such errors begin


class Validation:
    """Metrics of `judge` over the first `config.validation_frames` examples, shared by all processes.

    Means; of errors that are told for each pair (MEDIANS), medians. Raises InputError where there are fewer frames than
    processes.
    """

    def __init__(self, examples: Examples, judge: Judge, config: TrainConfig, world: World) -> None:
        self.judge, self.config, self.world = judge, config, world
        count = min(config.validation_frames, examples.frames.epoch_length)
        if count < world.size:
            raise InputError(f"{world.size} processes need at least as many frames of validation, not {count}; give "
                             "more")
        self.share = Subset(examples, range(world.rank, count, world.size))

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Raises InputError where no frame can be used."""
        sums: dict[str, Tensor] = {}
        errors: dict[str, list[float]] = {}
        for batch in self._batches():
            with autocast(self.config, self.world):
                found = self.judge(model, batch)
            for name, value in found.items():
                if name.startswith(MEDIANS):
                    errors.setdefault(name, []).extend(value.tolist())
                    continue
                weighted = value.detach().double().mean() * len(batch)
                sums[name] = sums[name] + weighted if name in sums else weighted
        total = torch.stack([*(sums[name] for name in sorted(sums)), torch.tensor(
            float(len(self.share)), dtype=torch.float64, device=self.world.device)])
        values = mean_over(self.world, total).tolist()
        means = {name: value / values[-1] for name, value in zip(sorted(sums), values[:-1], strict=True)}
        return means | {f"{name}_median": float(np.median(all_of(self.world, errors[name]))) for name in sorted(errors)}

    def _batches(self) -> Iterator[Batch]:
        loader = DataLoader(self.share, batch_size=self.config.batch, collate_fn=join, num_workers=self.config.workers,
                            worker_init_fn=begin_worker)
        for example in loader:
            if isinstance(example, InputError):
                raise example
            yield example.batch.to(self.world.device)
