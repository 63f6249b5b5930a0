"""Groups of neighbouring points, so that rays that start at them can be culled together (for shadows).

Pixels that are neighbours in the image may be far apart in the world; here points are sorted along a space-filling
curve (Morton order) and cut into groups of equal size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bundles import perpendicular

_CELL = 0.05  # m, the finest that the curve tells apart


@dataclass(frozen=True)
class Groups:
    """member: (B * T, R) index of points; T is the same for all worlds, spare places repeat a member of that group."""

    member: Tensor


def group_across(points: Tensor, of_world: Tensor, direction: Tensor) -> Groups:
    """Groups for long parallel rays: neighbours across `direction` (B, 3), at any place along it. points: (n, 3)."""
    side, up = perpendicular(direction)
    across = [(points * axis[of_world]).sum(-1) for axis in (side, up)]
    return _groups(_interleaved(across, 15), of_world, len(direction), 64)


def group_nearby(points: Tensor, of_world: Tensor, worlds: int) -> Groups:
    """Groups for short rays: neighbours in space. points: (n, 3)."""
    return _groups(_interleaved([points[:, i] for i in range(3)], 12), of_world, worlds, 16)


def _interleaved(coordinates: list[Tensor], bits: int) -> Tensor:
    """(n,) place on the space-filling curve."""
    key = torch.zeros_like(coordinates[0], dtype=torch.int64)
    cells = [((c - c.min()) / _CELL).long().clamp(max=(1 << bits) - 1) for c in coordinates]
    for bit in range(bits):
        for k, cell in enumerate(cells):
            key |= ((cell >> bit) & 1) << (bit * len(cells) + k)
    return key


def _groups(key: Tensor, of_world: Tensor, worlds: int, size: int) -> Groups:
    order = (key + (of_world << 40)).argsort()
    count = torch.bincount(of_world, minlength=worlds)
    first = count.cumsum(0) - count
    groups = -(-int(count.max()) // size)
    place = torch.arange(groups * size, device=key.device).view(1, groups, size)
    last = torch.minimum(place[..., :1] + size, count[:, None, None]) - 1  # of the group, or of the world before it
    index = first[:, None, None] + torch.minimum(place, last).clamp(min=0)
    return Groups(order[index.clamp(max=len(order) - 1).view(-1, size)])
