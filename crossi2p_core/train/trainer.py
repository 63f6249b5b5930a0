"""The loop. What it needs comes from the rooms beside it; here is only their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from .. import atomic
from ..config import dump_config
from ..errors import InputError
from ..model.compiled import compile_forward
from . import checkpoint
from .checkpoint import Checkpoint
from .config import TrainConfig
from .distributed import World, check_agreement, seed_step, wrap
from .ema import AveragedModel
from .examples import stream
from .gradnorm import GradNorm
from .interruption import Interruption
from .log import RunLog
from .monitor import Monitor
from .optimizer import Optimizer
from .resume import plain_config, say_differences
from .schedule import learning_rate
from .step import Numbers, gradients
from .task import Task

Validate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. finished: all steps are done; else the signal that stopped it. best: the checkpoint to use."""

    step: int
    finished: bool
    signal: int | None
    best: Path | None
    metrics: dict[str, float]


class Trainer:
    """Trains `model` on `examples` as `config` says, in `config.out`; goes on where a checkpoint is.

    validate: called on every process with the averaged model in evaluation mode; the first one's metrics are kept, and
    `config.best_by` among them decides which checkpoint is the best. fingerprint: of the data.
    Raises InputError for a checkpoint that does not fit, and where losses stay non-finite.
    """

    def __init__(self, config: TrainConfig, model: nn.Module, task: Task, examples: Dataset[Any],
                 world: World | None = None, validate: Validate | None = None, fingerprint: str = "") -> None:
        self.config, self.task, self.examples = config, task, examples
        self.world = world or World()
        self.validate, self.fingerprint = validate, fingerprint
        self.model = model.to(self.world.device)
        self.optimizer = Optimizer(self.model, config)
        self.average = AveragedModel(self.model, config.ema)
        self.gradnorm = GradNorm(config.gradnorm, task.loss_names)
        self.monitor = Monitor()
        self.folder = Path(config.out) / "checkpoints"
        self.step = 0  # the next to be done
        self.seen = 0  # examples, of all processes
        self.skipped = 0  # steps in a row without finite losses
        self.metrics: dict[str, float] = {}
        self._notes: list[str] = []

    def run(self) -> Outcome:
        """All steps that are left, or as many as there is time for until SIGINT or SIGTERM."""
        self._resume()
        if self.config.compile:
            compile_forward(self.model, lambda sentence: self._notes.append(sentence))
        model = wrap(self.model, self.world)
        data = stream(self.examples, self.config, self.world, self.seen)
        with self._log() as log, Interruption() as interruption:
            while self.step < self.config.steps:
                begin = time.perf_counter()
                # 1. everything random in this step follows from its number
                seed_step(self.config.seed, self.step, self.world.rank)
                lr = learning_rate(self.step, self.config.lr, self.config.warm_up, self.config.steps,
                                   self.config.lr_floor, self.config.lr_fall)
                # 2. gradients of all processes, and the numbers that describe them
                weights = self.gradnorm.weights_at(self.step)
                model.train()
                numbers, notes = gradients(model, self.task, data, weights, self.config, self.world,
                                           self.step % self.config.gradnorm.every == 0, interruption.signal is not None)
                # 3. weights, their average, the balance of the losses
                self._apply(numbers, lr)
                # 4. what the log and the monitor want to know
                self._tell(log, numbers, weights, lr, time.perf_counter() - begin, notes)
                # 5. how good it is by now, and what to keep of it
                self.step += 1
                judged = numbers.stop == 0 and self._validate(log)
                self._keep(judged, due=judged or numbers.stop > 0)
                if numbers.stop > 0:
                    break
        best = checkpoint.best(self.folder) if self.world.is_first else None
        finished = self.step >= self.config.steps
        return Outcome(self.step, finished, None if finished else interruption.signal, best, self.metrics)

    def _apply(self, numbers: Numbers, lr: float) -> None:
        """Take the step, unless anything in it is not finite; too many of these in a row end the run."""
        self.seen += self.config.accumulate * self.config.batch * self.world.size
        if numbers.finite:
            self.optimizer.step(lr)
            self.average.update(self.model, self.step)
            self.gradnorm.update(self.step, numbers.losses, numbers.norms)
            self.skipped = 0
        else:
            self.skipped += 1
            self.average.restore_buffers(self.model)  # running statistics have seen what is not finite
            odd = ", ".join(f"{name} {loss:g}" for name, loss in numbers.losses.items())
            if self.skipped >= self.config.bad_steps:
                raise InputError(f"{self.skipped} steps in a row up to step {self.step} had no finite losses ({odd}; "
                                 f"gradient {numbers.gradient:g}); lower lr, or train with precision=fp32, and go on "
                                 f"from the last checkpoint in {self.folder}")
            self._notes = [f"skipped, since its losses or gradients are not finite ({odd})"]
        self.optimizer.forget_gradients()

    def _tell(self, log: RunLog | _Silent, numbers: Numbers, weights: Mapping[str, float], lr: float,
              seconds: float, notes: list[str]) -> None:
        """One line of numbers, and whatever a person should read."""
        told = {f"loss.{name}": loss for name, loss in numbers.losses.items()} | numbers.metrics
        told |= {f"weight.{name}": weight for name, weight in weights.items()}
        weighted = {f"gradient.{name}": weights[name] * norm for name, norm in numbers.norms.items()}
        told |= weighted | {"gradient": numbers.gradient, "lr": lr, "seconds": seconds}
        log.step(self.step, told)
        warnings = self.monitor.observe(numbers.losses | numbers.metrics | weighted)
        for sentence in (*self._notes, *notes, *warnings):
            log.say(self.step, sentence)
        self._notes = []

    def _validate(self, log: RunLog | _Silent) -> bool:
        """Judge the averaged model where that is due; not when asked to stop, which must be quick."""
        last = self.step == self.config.steps
        if self.validate is None or not (last or self.step % self.config.validate_every == 0):
            return False
        self.average.module.eval()
        with torch.no_grad():
            self.metrics = {name: float(value) for name, value in self.validate(self.average.module).items()}
        self.average.module.train()
        told = ", ".join(f"{name} {value:.3g}" for name, value in self.metrics.items())
        log.say(self.step - 1, f"validation: {told}")
        if self.config.best_by not in self.metrics:
            log.say(self.step - 1, f"no checkpoint can be the best: there is no {self.config.best_by} to compare; set "
                                   f"best_by to one of {', '.join(self.metrics)}")
        return True

    def _keep(self, judged: bool, due: bool) -> None:
        """Write a checkpoint where one is due; it has a score only where it was itself judged."""
        due = due or self.step == self.config.steps or self.step % self.config.checkpoint_every == 0
        if not self.world.is_first or not due:
            return
        value = self.metrics.get(self.config.best_by) if judged else None
        score = value if value is None or self.config.best_is == "high" else -value
        training = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        training |= {f"optimizer.{name}": tensor
                     for name, tensor in self.optimizer.tensors(self.model).items()}
        state = {"seen": self.seen, "skipped": self.skipped, "gradnorm": self.gradnorm.state(),
                 "monitor": self.monitor.state()}
        checkpoint.save(self.folder, Checkpoint(
            self.step, plain_config(self.config), self.metrics, self.fingerprint, self.average.module.state_dict(),
            training, state, score), self.config.keep)

    def _resume(self) -> None:
        """Go on from the latest checkpoint of the folder, exactly; without one, from the start."""
        path = checkpoint.latest(self.folder)
        found = None if path is None else checkpoint.load(path)
        check_agreement(self.world, -1 if found is None else found.step, f"the checkpoint in {self.folder}")
        if found is None:
            return
        self._notes = say_differences(found, self.config, self.fingerprint, str(path))
        checkpoint.load_weights(self.model, _below(found.training, "model."), str(path))
        if self.average.module is not self.model:
            checkpoint.load_weights(self.average.module, found.weights, str(path))
        self.average.keep_buffers(self.model)
        self.optimizer.restore(self.model, _below(found.training, "optimizer."), str(path))
        self.gradnorm.restore(found.state.get("gradnorm"), str(path))
        self.monitor.restore(found.state.get("monitor"), str(path))
        self.step, self.metrics = found.step, dict(found.metrics)
        self.seen, self.skipped = (int(found.state.get(name, 0)) for name in ("seen", "skipped"))

    def _log(self) -> RunLog | _Silent:
        """The log of the run, which only the first process writes; with it, the settings in full."""
        if not self.world.is_first:
            return _Silent()
        atomic.write_text(Path(self.config.out) / "config.yaml", dump_config(self.config))
        return RunLog(Path(self.config.out), self.step, self.config.steps)


class _Silent:
    """The log of a process that is not the first."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def step(self, step: int, numbers: Mapping[str, float]) -> None:
        """Nothing."""

    def say(self, step: int, sentence: str) -> None:
        """Nothing."""


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
