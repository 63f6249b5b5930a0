"""What the network takes: images with their intrinsics, clouds as pyramids of neighbourhoods, in batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class PointPyramid:
    """A thinned cloud at three levels, finest first; superpoints are the last. B clouds of N_l points at level l.

    Rows beyond what a cloud has repeat earlier rows and are not `valid`; indices never point at them.
    """

    xyz: tuple[Tensor, ...]  # (B, N_l, 3) float32 m, LiDAR frame
    valid: tuple[Tensor, ...]  # (B, N_l) bool
    neighbours: tuple[Tensor, ...]  # (B, N_l, k) int64, nearest points of the same level, itself first
    down: tuple[Tensor, ...]  # (B, N_{l+1}, k) int64, points of level l around each of level l + 1; not for the last
    up: tuple[Tensor, ...]  # (B, N_l) int64, the point of level l + 1 nearest to each of level l; not for the last
    features: Tensor  # (B, N_0, F) float32, what yaw does not change: see point_features.py


M = TypeVar("M", bound="Movable")


class Movable:
    """Tensors by name, of B pairs, that go together."""

    def first(self: M, count: int) -> M:
        """The first `count` pairs."""
        return _map(self, lambda tensor: tensor[:count])

    def only(self: M, index: int) -> M:
        """The pair at an index, as a batch of one."""
        return _map(self, lambda tensor: tensor[index:index + 1])

    def to(self: M, device: torch.device | str, non_blocking: bool = False) -> M:
        """The same on another device."""
        return _map(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: M) -> M:
        """The same in page-locked memory, from where a GPU can fetch it while others compute."""
        return _map(self, lambda tensor: tensor.pin_memory())


@dataclass(frozen=True)
class Batch(Movable):
    """B pairs of image and cloud."""

    image: Tensor  # (B, C, H, W) float32 in 0..1, undistorted; zeros where the recording does not reach
    K: Tensor  # (B, 3, 3) float32, pixels of that image; the centre of the top-left pixel is (0, 0)
    inside: Tensor  # (B, H, W) bool, where the recording reaches
    cloud: PointPyramid
    T_cam_lidar: Tensor | None = None  # (B, 4, 4) float32, the truth where it is known
    wrong: Tensor | None = None  # (B, C, H, W) as image: another frame's in the same window, for the control

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Lesson(Movable):
    """The same B pairs as two networks take them: `own`, the one that learns, and `teachers`."""

    own: Batch
    teachers: Batch

    def __len__(self) -> int:
        return len(self.own)


AnyBatch = TypeVar("AnyBatch", Batch, Lesson)


def collate(examples: Sequence[AnyBatch]) -> AnyBatch:
    """One batch of several; all of one size."""
    return _merge(list(examples))


def _map(part: Any, change: Any) -> Any:
    """`change` applied to every tensor within."""
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, tuple):
        return tuple(_map(item, change) for item in part)
    if part is None:
        return None
    return replace(part, **{f.name: _map(getattr(part, f.name), change) for f in fields(part)})


def _merge(parts: list[Any]) -> Any:
    """Tensors joined along the batch."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, tuple):
        return tuple(_merge(list(items)) for items in zip(*parts, strict=True))
    if first is None:
        return None
    return replace(first, **{f.name: _merge([getattr(part, f.name) for part in parts]) for f in fields(first)})
