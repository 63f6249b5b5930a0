"""What frames say place by place: those of a robot that stands still see the same things and err alike.

An error of which a share `common` belongs to the place is modelled as a random effect of that place (Laird and Ware,
"Random-effects models for longitudinal data", 1982): no number of frames from there averages it out, but what they said
before a move tells it. So a robot that is parked for an hour raises no alarm by it, and one that is knocked there does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Observations = tuple[Array, Array]
"""(p, 6) deviations, and the information (p, 6, 6) of each."""

LEAST_AFTER = 10  # frames of one place since a move, that are believed because they said something else before it


def number(places: Sequence[int | None]) -> Array:
    """(n,) one number for each place; a frame of which nobody knows where it was taken is a place of its own."""
    known: dict[int, int] = {}
    return np.array([i if place is None else known.setdefault(place, i) for i, place in enumerate(places)], dtype=int)


def since(length: int, xi: Array, covariance: Array, place: Array, common: float, least: int) -> Observations | None:
    """What the newest `length` of n frames say of a move right before them, an observation for each place.

    xi: (n, 6) deviations, newest first; covariance: (n, 6, 6) of each; place: (n,) numbers; common: see above. Fewer
    places than `least` say nothing by themselves: what is wrong with one is no move. None where nothing is said.
    """
    if len(np.unique(place)) == len(place):  # a robot that drives: every frame speaks for itself
        return (xi[:length], np.linalg.inv(covariance[:length])) if length >= least else None
    told = [_of_place(np.flatnonzero(place == each), length, xi, covariance, common)
            for each in dict.fromkeys(place[:length].tolist())]
    if len(told) < least and not any(each.before and each.after >= LEAST_AFTER for each in told):
        return None
    return np.array([each.deviation for each in told]), np.array([each.information for each in told])


@dataclass(frozen=True)
class _Told:
    """By one place. after, before: how many of its frames are from after and from before the move."""

    deviation: Array
    information: Array
    after: int
    before: int


def _of_place(frames: Array, length: int, xi: Array, covariance: Array, common: float) -> _Told:
    """What the frames of one place tell of the move, its own error taken off as far as those from before know it."""
    after, before = frames[frames < length], frames[frames >= length]
    of_place = common * covariance[frames].mean(axis=0)
    deviation, spread = _middle(xi[after], covariance[after], 1 - common)
    if len(before):
        error, doubt = _middle(xi[before], covariance[before], 1 - common)
        known = np.linalg.solve(of_place + doubt, of_place).T
        deviation, of_place = deviation - known @ error, of_place - known @ of_place
    return _Told(deviation, np.linalg.inv(of_place + spread), len(after), len(before))


def _middle(xi: Array, covariance: Array, own: float) -> tuple[Array, Array]:
    """Median (6,) of frames of one place, taken where their mean covariance is round, and the covariance (6, 6) that is
    left of each frame's own share; of few the variance of a median is a little less than this limit of many."""
    mean = covariance.mean(axis=0)
    shape = np.linalg.cholesky(mean)
    median = shape @ np.median(np.linalg.solve(shape, xi.T), axis=1)
    return median, own * mean * (1.0 if len(xi) < 3 else 0.5 * np.pi) / len(xi)
