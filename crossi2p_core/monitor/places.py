"""What frames say place by place: those of a robot that stands still see the same things and err alike.

An error of which a share `common` belongs to the place is modelled as a random effect of that place (Laird and Ware,
"Random-effects models for longitudinal data", 1982): no number of frames from there averages it out, but what they said
before a move tells it. So a robot that is parked for an hour raises no alarm by it, and one that is knocked there does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
Observations = tuple[Array, Array]
"""(p, 6) deviations, and the information (p, 6, 6) of each."""

LEAST_AFTER = 10  # frames of too few places since a move, that are believed because they said something else before it


def number(places: Sequence[int | None]) -> Array:
    """(n,) one number for each place; a frame of which nobody knows where it was taken is a place of its own."""
    known: dict[int, int] = {}
    return np.array([i if place is None else known.setdefault(place, i) for i, place in enumerate(places)], dtype=int)


def since(length: int, xi: Array, information: Array, place: Array, common: float, least: int) -> Observations | None:
    """What the newest `length` of n frames say of a move right before them, an observation for each place.

    xi: (n, 6) deviations, newest first; information: (n, 6, 6) of each; place: (n,) numbers; common: see above. Fewer
    places than `least` say nothing by themselves: what is wrong with one is no move. None where nothing is said.
    """
    if len(np.unique(place)) == len(place):  # a robot that drives: every frame speaks for itself
        return (xi[:length], information[:length]) if length >= least else None
    told = [_of_place(np.flatnonzero(place == each), length, xi, information, common)
            for each in dict.fromkeys(place[:length].tolist())]
    if len(told) < least:
        told = [each for each in told if each[2]]
        if not told or length < LEAST_AFTER:
            return None
    return np.array([each[0] for each in told]), np.array([each[1] for each in told])


def _of_place(frames: Array, length: int, xi: Array, information: Array, common: float) -> tuple[Array, Array, bool]:
    """Deviation (6,) and information (6, 6) by the frames of one place, and whether some of them are from before."""
    after, before = frames[frames < length], frames[frames >= length]
    deviation, of_place = np.median(xi[after], axis=0), common
    if len(before):
        known = common / (common + (1 - common) * _of_median(len(before)))  # of the place's error, from before
        deviation = deviation - known * np.median(xi[before], axis=0)
        of_place = common * (1 - known)
    variance = of_place + (1 - common) * _of_median(len(after))
    return deviation, information[frames].mean(axis=0) / variance, bool(len(before))


def _of_median(count: int) -> float:
    """Variance of the median of so many, of one each; of few it is a little less than this limit of many."""
    return (1.0 if count < 3 else 0.5 * np.pi) / count
