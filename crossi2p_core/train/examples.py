"""Examples for the network: frames, augmented and brought into its form, by as many processes as are wanted.

The example at a position, counted from the start of the run, depends on nothing but the seed and that position: not on
the number of processes, hosts or workers. So a run can be resumed exactly, and two processes see what one would have
seen with twice the batch.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import InputError
from ..model.batch import Batch, Lesson, collate
from ..model.config import FlowConfig, NetworkConfig
from ..model.flow_inputs import make_flow_batch
from ..model.inputs import make_batch
from ..types import Sample
from .augment import at_position, augment
from .augment_view import fitted
from .config import AugmentConfig, StartsConfig, TrainConfig
from .distributed import World
from .frames import Frames

MakeBatch = Callable[[Sample, np.random.Generator], Batch | Lesson]


@dataclass(frozen=True)
class Example:
    """What the loop gets: a batch, and sentences on frames that were passed over for it."""

    batch: Any  # Batch, or Lesson where there is a teacher
    left_out: tuple[str, ...] = ()

    def pin_memory(self) -> Example:
        """In page-locked memory; what a DataLoader calls."""
        return replace(self, batch=self.batch.pin_memory())


class Examples(Dataset[Example | InputError]):
    """Example by position. make_batch: Sample -> Batch of one, see `model.inputs`. changes None: no augmentation.

    unlabelled: nobody looks at the recorded extrinsics, and there may be none. control: batches also carry a wrong
    image.
    """

    def __init__(self, frames: Frames, make_batch: MakeBatch, size: tuple[int, int],
                 changes: AugmentConfig | None, unlabelled: bool = False, control: bool = False) -> None:
        self.frames, self.make_batch, self.size, self.changes = frames, make_batch, size, changes
        self.unlabelled, self.control = unlabelled, control

    def __getitem__(self, position: int) -> Example | InputError:
        """An InputError where no frame at all can be used: raised in a worker, it would drown in a traceback."""
        left_out: list[str] = []
        reason = ""
        for where in self.frames.candidates(position):
            try:
                sample = self._read(where)
            except InputError as error:
                reason = str(error)
                news = self.frames.call_bad(where, reason)
                left_out += [news] if news else []
                continue
            try:
                batch = self._prepared(sample, position)
                if self.control and isinstance(batch, Batch):
                    batch = self._with_control(batch, where, position)
                return Example(batch, tuple(left_out))
            except InputError as error:  # as it was changed for this position; the frame itself may be good
                reason = str(error)
                left_out.append(f"passed over for position {position}: {reason}")
        return InputError(f"none of the {self.frames.epoch_length} frames can be used; the last one: {reason}")

    def _read(self, where: tuple[int, int]) -> Sample:
        """A frame as far as anyone may look at it. Raises InputError where it can never be an example."""
        sample = self.frames.read(where)
        if self.unlabelled:
            return replace(sample, T_cam_lidar=None)
        if sample.T_cam_lidar is None:
            raise InputError(f"{sample.name} has no recorded extrinsic (T_cam_lidar) to learn from")
        return sample

    def _with_control(self, batch: Batch, where: tuple[int, int], position: int) -> Batch:
        """With another frame's image as the same camera would have seen it: all that is drawn follows from the
        position. The frame comes half of all others later; its own, mirrored, where there is none that can be read."""
        half = position + self.frames.epoch_length // 2
        other = next((each for each in self.frames.candidates(half) if each != where), None)
        try:
            image = None if other is None else self.frames.read(other).image
        except InputError:
            image = None
        if image is None:
            return replace(batch, wrong=batch.image.flip(-1) * batch.inside[:, None])
        sample = self._read(where)
        wrong = self._prepared(replace(sample, image=fitted(image, sample.camera)), position)
        assert isinstance(wrong, Batch)
        return replace(batch, wrong=wrong.image)

    def _prepared(self, sample: Sample, position: int) -> Batch | Lesson:
        """The batch of one that the network learns from."""
        rng = np.random.default_rng([self.frames.seed, 2, position])
        inside = None
        if self.changes is not None:
            sample, inside = augment(sample, at_position(self.changes, position), self.size, rng)
        batch = self.make_batch(sample, rng)
        return batch if inside is None else with_inside(batch, inside, sample.camera.K)


class NetworkInput:
    """`model.inputs.make_batch` for one network, or for it and its teacher; an object, since worker processes are sent
    it."""

    def __init__(self, config: NetworkConfig, teacher: NetworkConfig | None = None) -> None:
        self.config, self.teacher = config, teacher

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch | Lesson:
        """A batch of one."""
        own = make_batch(sample, self.config, rng=rng)
        return own if self.teacher is None else Lesson(own, make_batch(sample, self.teacher, rng=rng))


class FlowInput:
    """`model.flow_inputs.make_flow_batch` for one flow network, around the true pose as far as `starts` lead."""

    def __init__(self, config: FlowConfig, starts: StartsConfig | None = None) -> None:
        starts = StartsConfig() if starts is None else starts
        self.config, self.off = config, (math.radians(starts.deg), starts.m)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """A batch of one."""
        return make_flow_batch(sample, self.config, rng=rng, off=self.off)


def with_inside(batch: Batch | Lesson, inside: np.ndarray, K: np.ndarray) -> Batch | Lesson:
    """A batch of one whose pixels also have to be `inside` (h, w) the image that it was made from, of intrinsics K."""
    if isinstance(batch, Lesson):
        return Lesson(_reaching(batch.own, inside, K), _reaching(batch.teachers, inside, K))
    return _reaching(batch, inside, K)


def _reaching(batch: Batch, inside: np.ndarray, K: np.ndarray) -> Batch:
    v, u = np.mgrid[0:batch.inside.shape[1], 0:batch.inside.shape[2]].astype(np.float64)
    back = K @ np.linalg.inv(batch.K[0].double().numpy())  # pixels of the batch -> of the image; both are pinholes
    u, v, w = np.einsum("ij,jyx->iyx", back, np.stack([u, v, np.ones_like(u)]))
    column, row = np.rint(u / w).astype(int), np.rint(v / w).astype(int)
    reached = (column >= 0) & (column < inside.shape[1]) & (row >= 0) & (row < inside.shape[0])
    reached &= inside[row.clip(0, inside.shape[0] - 1), column.clip(0, inside.shape[1] - 1)]
    seen = batch.inside & torch.from_numpy(reached)[None]
    return replace(batch, inside=seen, image=batch.image * seen[:, None])


def join(examples: Sequence[Example | InputError]) -> Example | InputError:
    """One example of several, or the error among them."""
    good = []
    for example in examples:
        if isinstance(example, InputError):
            return example
        good.append(example)
    return Example(collate([example.batch for example in good]),
                   tuple(sentence for example in good for sentence in example.left_out))


@dataclass(frozen=True)
class Positions:
    """The positions of this process from `start` on: of every `size` x `batch` in a row, its own `batch`; endless."""

    start: int
    batch: int
    world: World

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.world.rank * self.batch
        while True:
            yield list(range(first, first + self.batch))
            first += self.world.size * self.batch


def stream(examples: Dataset[Example | InputError], config: TrainConfig, world: World,
           start: int) -> Iterator[Example]:
    """Endless batches of this process, on its device; `start`: examples that the run has seen, of all processes.

    Raises InputError where no frame at all can be used.
    """
    workers: dict[str, Any] = {"num_workers": config.workers, "pin_memory": world.device.type == "cuda"}
    if config.workers:
        workers |= {"prefetch_factor": 4, "worker_init_fn": begin_worker}
    # A generator of its own: a loader draws from torch's when it begins, which a run that is resumed does once more.
    loader = DataLoader(examples, batch_sampler=Positions(start, config.batch, world), collate_fn=join,
                        generator=torch.Generator(), **workers)
    for example in loader:
        if isinstance(example, InputError):
            raise example
        yield replace(example, batch=example.batch.to(world.device, non_blocking=True))


def begin_worker(_: int) -> None:
    """Workers are many: none of them needs threads of its own. Ctrl-C, and SIGTERM to all of a group, are the loop's to
    answer, not theirs; it ends them when it ends."""
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
