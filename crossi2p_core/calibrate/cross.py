"""How sure a calibration is: the same again and again with a part of the frames left out, and what they all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import se3
from ..geometry.pose_covariance import covariance_from_ros
from ..types import Camera

Array = np.ndarray
SURE = 0.99  # share of the answers that are to lie within the ellipsoid of that share
_FEWEST = 5  # places; fewer widen no further, for then a frame's own covariance is all that is known
_DEPTH_M = 10.0  # where a pixel's error and a shift look alike; about half of what drives show is nearer


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


def few_places(places: int) -> float:
    """By how much a covariance from frames of so many places is to be widened, so that `SURE` of six-dimensional errors
    stay within its ellipsoid.

    How much frames err is known from as many, so that what n of them agree on errs like Student's t with n - 1 degrees
    of freedom (the six numbers of a frame go astray together and count once), not like the normal distribution: an F
    quantile takes the place of the chi-square one. 5 places: 5.4, 10: 2.1, 20: 1.4. docs/calibration.md has what was
    measured.
    """
    from scipy.special import chdtri, fdtri  # the command line starts without scipy

    freedom = max(_FEWEST, places) - 1
    return float(6 * fdtri(6, freedom, SURE) / chdtri(6, 1 - SURE))


def shared_error(camera: Camera, T_cam_lidar: Array, pixels: float) -> Array:
    """(6, 6) covariance of errors that every frame has alike: `pixels` of standard deviation about each axis, and as
    much of a shift at ten metres.

    Where edges of clouds lie between rows, how blurred an image is and what its intrinsics leave do not change from
    frame to frame; leaving frames out never shows it. docs/calibration.md has what was measured.
    """
    angle = pixels / float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    return covariance_from_ros(np.diag([(angle * _DEPTH_M)**2] * 3 + [angle**2] * 3), np.asarray(T_cam_lidar))
