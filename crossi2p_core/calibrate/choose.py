"""Which frames are worth a joint registration: those that together tell most about every direction of the pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..motion.standing import View, alike, view_of
from ..types import Sample
from .config import CalibrateConfig

Array = np.ndarray
STOOD_M = 0.1  # positions nearer than this are one stop


@dataclass(frozen=True)
class Place:
    """Where and when a frame was taken, as far as known. position: (3,) m or None. stamp: s or None. view: what the
    scan sees, where the position is not known."""

    position: Array | None
    stamp: float | None
    view: View | None = None

    @classmethod
    def of(cls, sample: Sample) -> Place:
        """Of the scan."""
        if sample.T_world_lidar is not None:
            return cls(np.asarray(sample.T_world_lidar)[:3, 3], sample.stamp_cloud)
        return cls(None, sample.stamp_cloud, view_of(sample.cloud))

    def is_beside(self, other: Place, config: CalibrateConfig) -> bool:
        """So near in place, or, where that is not known, in time, that both saw the same things."""
        if self.position is not None and other.position is not None:
            return bool(np.linalg.norm(self.position - other.position) < config.apart_m)
        soon = self.stamp is not None and other.stamp is not None and abs(self.stamp - other.stamp) < config.apart_s
        return soon or self.is_where(other)

    def is_where(self, other: Place) -> bool:
        """The robot had not moved in between."""
        if self.position is not None and other.position is not None:
            return bool(np.linalg.norm(self.position - other.position) < STOOD_M)
        return self.view is not None and other.view is not None and alike(self.view, other.view)


def choose(information: Array, places: Sequence[Place], config: CalibrateConfig) -> list[int]:
    """Up to `config.frames` of n frames, the most telling first, by (n, 6, 6) what each knows of the pose.

    Greedy by the determinant of the sum (D-optimal design: Fedorov, "Theory of Optimal Experiments", 1972), which grows
    most where a frame knows what the others do not. A frame that was taken beside m chosen ones counts 1 / (m + 1): it
    sees the same things, errors included.
    """
    scale = 1.0 / np.sqrt(np.einsum("nii->i", information).clip(min=1e-300))  # units drop out
    scaled = information * scale[:, None] * scale[None, :] * len(information)
    total, chosen = 1e-3 * np.eye(6), list[int]()
    left = list(range(len(information)))
    while left and len(chosen) < config.frames:
        gains = [np.linalg.slogdet(total + scaled[i] / (1 + _beside(i, chosen, places, config)))[1] for i in left]
        best = left.pop(int(np.argmax(gains)))
        total = total + scaled[best] / (1 + _beside(best, chosen, places, config))
        chosen.append(best)
    return chosen


def apart(places: Sequence[Place], config: CalibrateConfig) -> int:
    """How many of the frames saw things of their own: those beside another one count once."""
    return _counted(places, lambda one, other: one.is_beside(other, config))


def stops(places: Sequence[Place]) -> int:
    """How many there are when all frames of a robot that stands still count as one."""
    return _counted(places, Place.is_where)


def _counted(places: Sequence[Place], same: Callable[[Place, Place], bool]) -> int:
    counted = list[Place]()
    for place in places:
        if not any(same(place, other) for other in counted):
            counted.append(place)
    return len(counted)


def _beside(frame: int, chosen: Sequence[int], places: Sequence[Place], config: CalibrateConfig) -> int:
    """How many of the chosen frames were taken beside a frame."""
    return sum(places[frame].is_beside(places[i], config) for i in chosen)
