"""Cross-validation: the same calibration with a part of the frames left out, again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import se3

Array = np.ndarray


@dataclass(frozen=True)
class CrossValidation:
    """T: (g, 4, 4) without each of g groups of frames. covariance: (6, 6) that their scatter tells of the whole, see
    `jackknife`. moved_deg, moved_m: (g,) by how much the answer moved."""

    T: Array
    covariance: Array
    moved_deg: Array
    moved_m: Array


def leave_out(frames: int, folds: int) -> list[list[int]]:
    """Which of n frames stay, for each of up to `folds` groups that are left out in turn; none below three frames."""
    groups = min(folds, frames)
    if frames < 3 or groups < 2:
        return []
    return [[i for i in range(frames) if i % groups != group] for group in range(groups)]


def cross_validate(T: Array, stays: Sequence[Sequence[int]],
                   again: Callable[[Sequence[int]], Array]) -> CrossValidation:
    """again: the pose (4, 4) from some of the frames. T: (4, 4) from all."""
    found = np.array([again(kept) for kept in stays])
    moved = np.array([(float(se3.rotation_error_deg(one, T)), float(se3.translation_error_m(one, T)))
                      for one in found])
    return CrossValidation(found, jackknife(T, found), moved[:, 0], moved[:, 1])


def jackknife(T: Array, without: Array) -> Array:
    """(6, 6) covariance of a pose T (4, 4), as a left perturbation, from what it becomes without each group (g, 4, 4).

    The delete-a-group jackknife (Kott, "The Delete-a-Group Jackknife", 2001): (g - 1) / g times the sum of squares.
    """
    errors = se3.log_se3(without @ se3.inverse(T))
    errors = errors - errors.mean(axis=0)
    return (len(without) - 1) / len(without) * errors.T @ errors


def widened(covariance: Array, seen: Array) -> Array:
    """`covariance` (6, 6), as much wider in all as the scatter `seen` (6, 6) is wider than it says, never narrower.

    A few groups tell a size but no shape, so one factor is all that is taken from them.
    """
    values, axes = np.linalg.eigh(covariance)
    whiten = (axes / np.sqrt(values.clip(min=1e-300))).T
    factor = float(np.trace(whiten @ seen @ whiten.T)) / 6.0
    return covariance * max(1.0, factor)
