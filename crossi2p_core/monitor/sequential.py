"""A sequential test over frames: has the camera moved, since when, and by how much?

A window-limited generalised likelihood ratio (Lai, "Sequential changepoint detection in quality control and dynamical
systems", 1995): for every candidate beginning, the mean deviation since then is measured in its own sigmas; the highest
counts. The mean is a robust one, begun at the median: no single frame, however wrong and sure, raises an alarm.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.pose_covariance import at_most
from .config import MonitorConfig
from .doubts import most_doubt, pages_sum
from .evidence import Evidence
from .places import number, since

Array = np.ndarray
FAR = 3.5  # sigmas of six numbers from the mean beyond which a frame's say shrinks (Huber)
ITERATIONS = 4  # of weighing the frames anew
LENGTHS = (3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 65, 80, 100, 130, 160, 200, 250, 320, 400, 500)


@dataclass(frozen=True)
class Reading:
    """The test after a frame.

    score: the highest squared deviation in sigmas, over all beginnings. since: how many usable frames ago that one is,
    0 without any. xi: (6,) mean deviation since then, covariance: (6, 6) of it, the floor in it. usable: frames in the
    window that tell something; places: from how many. bounds: (degrees, metres) within which the deviation over the
    whole window stays, 99 of 100 times; infinite without evidence. doubts: Page's sum of the doubts; doubted: usable
    frames since it was last 0.
    """

    score: float
    since: int
    xi: Array
    covariance: Array
    usable: int
    places: int
    bounds: tuple[float, float]
    doubts: float = 0.0
    doubted: int = 0

    @property
    def turned_deg(self) -> float:
        """By how much the camera has turned."""
        return float(np.degrees(np.linalg.norm(self.xi[:3])))

    @property
    def shifted_m(self) -> float:
        """By how much it has shifted."""
        return float(np.linalg.norm(self.xi[3:]))


class SequentialTest:
    """Takes in evidence frame by frame; what cannot tell is not taken in."""

    def __init__(self, config: MonitorConfig) -> None:
        self._lengths = [length for length in LENGTHS if length <= config.window]
        self._floor = np.diag([math.radians(config.floor_deg) ** 2] * 3 + [config.floor_m**2] * 3)
        self._alike, self._standing, self._least = config.alike, config.standing, config.least_frames
        self._most_doubt = most_doubt(config.false_alarms)
        self.doubts, self._doubted = 0.0, 0
        self._kept: deque[Evidence] = deque(maxlen=config.window)

    @property
    def kept(self) -> Sequence[Evidence]:
        """What the window holds, oldest first."""
        return tuple(self._kept)

    def forget(self) -> None:
        """Nothing from before counts: another calibration is in use."""
        self._kept.clear()
        self.doubts, self._doubted = 0.0, 0

    def observe(self, evidence: Evidence) -> Reading:
        """The test with one more frame."""
        self.take(evidence)
        return self.read()

    def take(self, evidence: Evidence) -> None:
        """Take a frame in, and say nothing."""
        if evidence.usable:
            seen = evidence.place is not None and evidence.place in {each.place for each in self._kept}
            self._kept.append(evidence)
            if not seen:  # a place doubts once
                self.doubts = pages_sum(self.doubts, evidence.doubt, self._most_doubt)
            self._doubted = self._doubted + 1 if self.doubts else 0

    def read(self) -> Reading:
        """The test as it stands."""
        count = len(self._kept)
        if not count:
            return Reading(0.0, 0, np.zeros(6), np.full((6, 6), np.inf), 0, 0, (math.inf, math.inf), self.doubts)
        xi, covariance = (np.array([part for part in parts]) for parts in zip(
            *((each.xi, each.covariance) for each in reversed(self._kept)), strict=True))
        place = number([each.place for each in reversed(self._kept)])
        # 1. the mean over the newest 3, 4, ... frames, and how far that is from nothing, in sigmas
        lengths = [length for length in self._lengths if length <= count] or [count]
        means = {length: self._mean(*told) for length in lengths
                 if (told := since(length, xi, covariance, place, self._standing, self._least)) is not None}
        scores = {length: float(mean @ np.linalg.solve(spread, mean)) for length, (mean, spread) in means.items()}
        # 2. the beginning that explains most, and what the whole window leaves possible
        best = max(scores, key=scores.__getitem__, default=0)
        mean, spread = means.get(best, (np.zeros(6), np.full((6, 6), np.inf)))
        whole = means.get(count)
        if whole is None and (told := since(count, xi, covariance, place, self._standing, 1)) is not None:
            whole = self._mean(*told)
        assert whole is not None  # any frame is of some place
        return Reading(scores.get(best, 0.0), best, mean, spread, count, len(np.unique(place)), _bounds(*whole),
                       self.doubts, min(self._doubted, count))

    def _mean(self, xi: Array, information: Array) -> tuple[Array, Array]:
        """(6,) robust mean of (n, 6) deviations with (n, 6, 6) information, and its (6, 6) covariance: they resemble
        their neighbours, and share a floor."""
        mean = np.median(xi, axis=0)
        for _ in range(ITERATIONS):
            apart = xi - mean
            far = np.sqrt(np.einsum("ni,nij,nj->n", apart, information, apart))
            weights = np.minimum(1.0, FAR / np.maximum(far, 1e-9))
            total = np.einsum("n,nij->ij", weights, information)
            mean = np.linalg.solve(total, np.einsum("n,nij,nj->i", weights, information, xi))
        return mean, np.linalg.inv(total) * _likeness(len(xi), self._alike) + self._floor


def _likeness(count: int, correlation: float) -> float:
    """How many times wider the mean of so many neighbours is than that of strangers: a first-order autoregression."""
    r = correlation
    return (1 + r) / (1 - r) - 2 * r * (1 - r**count) / (count * (1 - r) ** 2)


def _bounds(xi: Array, covariance: Array) -> tuple[float, float]:
    """Degrees and metres that the deviation stays below."""
    turn, shift = (at_most(float(np.linalg.norm(part)), block)
                   for part, block in ((xi[:3], covariance[:3, :3]), (xi[3:], covariance[3:, 3:])))
    return math.degrees(turn), shift
