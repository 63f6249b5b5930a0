"""Which frames are worth a joint registration: those that together tell most about every direction of the pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..motion.standing import STOOD_M, View, alike, view_of
from ..types import Sample
from .config import CalibrateConfig

Array = np.ndarray


@dataclass(frozen=True)
class Place:
    """Where and when a frame was taken, as far as known. position: (3,) m or None. stamp: s or None. view: what the
    scan sees, where the position is not known."""

    position: Array | None
    stamp: float | None
    view: View | None = None

    @classmethod
    def of(cls, sample: Sample, T_cam_lidar: Array) -> Place:
        """Of the scan; T_cam_lidar (4, 4) to some degrees."""
        if sample.T_world_lidar is not None:
            return cls(np.asarray(sample.T_world_lidar)[:3, 3], sample.stamp_cloud)
        return cls(None, sample.stamp_cloud, view_of(sample.cloud, sample.camera, T_cam_lidar))

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
    left, beside = list(range(len(information))), np.zeros(len(information))  # chosen ones beside each
    while left and len(chosen) < config.frames:
        gains = [np.linalg.slogdet(total + scaled[i] / (1 + beside[i]))[1] for i in left]
        best = left.pop(int(np.argmax(gains)))
        total = total + scaled[best] / (1 + beside[best])
        chosen.append(best)
        beside[left] += [places[i].is_beside(places[best], config) for i in left]
    return chosen


def apart(places: Sequence[Place], config: CalibrateConfig) -> int:
    """How many of the frames saw things of their own: those beside another one count once."""
    return len(_gathered(places, lambda one, other: one.is_beside(other, config)))


def stops(places: Sequence[Place]) -> list[int]:
    """How many frames were taken at each place where the robot stood; one where it drove."""
    return _gathered(places, Place.is_where)


def _gathered(places: Sequence[Place], same: Callable[[Place, Place], bool]) -> list[int]:
    firsts, counts = list[Place](), list[int]()
    for place in places:
        group = next((k for k, first in enumerate(firsts) if same(place, first)), None)
        if group is None:
            firsts.append(place)
            counts.append(1)
        else:
            counts[group] += 1
    return counts
