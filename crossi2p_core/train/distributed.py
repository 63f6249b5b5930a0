"""Several processes that train one model: `torchrun` starts them, here they find each other and agree.

Every process works on its own part of each batch. gloo carries the numbers between CPUs, nccl between GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError

LONGEST_WAIT = timedelta(hours=6)  # of a process for the others: hosts are not equally fast


@dataclass(frozen=True)
class World:
    """This process among all: its number, how many there are, and where it computes."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """The one that writes files and talks to people."""
        return self.rank == 0


@contextmanager
def joined_world(device: str = "auto") -> Iterator[World]:
    """The world that torchrun's environment describes; alone where there is none. device: auto, cpu or cuda[:n].

    Raises InputError for a device that is not there.

    Leaving it ends gloo's threads: one that still lets go of a tensor while the interpreter ends aborts the process
    (pytorch issue 190489). They end with the last reference to the group.
    """
    size, rank, local = (int(os.environ.get(name, default)) for name, default in (
        ("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")))
    chosen = _device(device, local)
    if size == 1:
        yield World(0, 1, chosen)
        return
    # DDP imports this, and its functions' default is the group of that moment: imported later, it would keep ours.
    from torch.distributed.nn import functional  # noqa: F401

    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    on_gpu = chosen.type == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo", rank=rank, world_size=size, timeout=LONGEST_WAIT,
                                   device_id=chosen if on_gpu else None)  # else a barrier would guess which GPU
    try:
        yield World(rank, size, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str, local: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"there is no device '{name}'; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"nothing is trained on the device '{name}'; use auto, cpu or cuda")
    if device.type == "cuda":
        index = local if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise InputError(f"process {local} has no GPU {index} here ({torch.cuda.device_count()} found); "
                             "use --device cpu, or start fewer processes")
        return torch.device("cuda", index)
    return device


def wrap(model: nn.Module, world: World) -> nn.Module:
    """The model, its gradients averaged over the world at every backward pass, and equal everywhere at the start."""
    if world.size == 1:
        return model
    device_ids = None
    if world.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # one batch's statistics, not as many as there are GPUs
        device_ids = [world.device.index]
    # The pose loss enters late: until then, what serves it alone has no gradient.
    return DistributedDataParallel(model, device_ids=device_ids, find_unused_parameters=True)


def mean_over(world: World, values: Tensor) -> Tensor:
    """Element-wise mean of `values` over all processes, the same on each; NaN on one is NaN on all."""
    if world.size > 1:
        distributed.all_reduce(values)
        values /= world.size
    return values


def all_of(world: World, values: list[float]) -> list[float]:
    """The numbers of all processes, however many each has, in the order of processes; the same on each."""
    if world.size == 1:
        return values
    parts: list[list[float]] = [[] for _ in range(world.size)]
    distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def check_agreement(world: World, number: int, what: str) -> None:
    """Raises InputError, on every process, unless all have the same number."""
    if world.size == 1:
        return
    both = torch.tensor([number, -number], device=world.device)
    distributed.all_reduce(both, op=distributed.ReduceOp.MAX)
    if int(both[0]) != -int(both[1]):
        raise InputError(f"the processes do not agree on {what} (from {-int(both[1])} to {int(both[0])}); "
                         "give all hosts one folder that each of them sees")


def seed_step(seed: int, step: int, rank: int) -> None:
    """Every draw of torch's generators in this step follows from these numbers alone.

    So nothing of them has to be kept, validation cannot disturb training, and a run that is resumed, on whatever number
    of processes, draws what it would have drawn.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1)))
