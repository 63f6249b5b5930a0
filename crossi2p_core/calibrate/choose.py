"""Which frames are worth a joint registration: those that together tell most about every direction of the pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Sample
from .config import CalibrateConfig

Array = np.ndarray


@dataclass(frozen=True)
class Place:
    """Where and when a frame was taken, as far as known. position: (3,) m or None. stamp: s or None."""

    position: Array | None
    stamp: float | None

    @classmethod
    def of(cls, sample: Sample) -> Place:
        """Of the scan."""
        T = sample.T_world_lidar
        return cls(None if T is None else np.asarray(T)[:3, 3], sample.stamp_cloud)


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
    counted = list[int]()
    for i in range(len(places)):
        if not _beside(i, counted, places, config):
            counted.append(i)
    return len(counted)


def _beside(frame: int, chosen: Sequence[int], places: Sequence[Place], config: CalibrateConfig) -> int:
    """How many of the chosen frames were taken at the same place, or, where places are not known, time."""
    here, count = places[frame], 0
    for other in (places[i] for i in chosen):
        if here.position is not None and other.position is not None:
            count += bool(np.linalg.norm(here.position - other.position) < config.apart_m)
        elif here.stamp is not None and other.stamp is not None:
            count += abs(here.stamp - other.stamp) < config.apart_s
    return count
