"""Do these matches say anything? Degenerate sets and agreement by accident, in words."""

from __future__ import annotations

from math import pi

import numpy as np
from scipy.special import gammaln

Array = np.ndarray

MAX_ACCIDENTS = 1e-2  # how many poses as good as ours wrong matches alone may be expected to bring forth
_MINIMAL = 3  # matches that fix a pose
_SOLUTIONS = 4  # poses that three matches allow at most


def degenerate(points: Array, uv: Array) -> str:
    """Why LiDAR points (N, 3) and their pixels (N, 2) cannot determine a pose, or an empty string."""
    if len(points) < 4:
        return f"{len(points)} matches; a pose needs at least 4"
    if len(np.unique(points, axis=0)) < 4:
        return "fewer than 4 different points are matched; three allow several poses"
    if len(np.unique(uv, axis=0)) < 4:
        return "fewer than 4 different pixels are matched"
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < 1e-4 * spread[0]:
        return "the matched points lie on one line; the turn about it stays open"
    return ""


def expected_accidents(error: Array, uv: Array) -> float:
    """How many poses with a fit this good are to be expected if every match were wrong: far below 1 means not chance.

    error: (N,) reprojection errors px, infinite where a point is not seen. Moisan and Stival's a-contrario criterion
    ("A probabilistic criterion to detect rigid point matches", IJCV 2004): a wrong match falls within r pixels of its
    point's image with probability pi r^2 / area, where the area is what the matched pixels span. The number of ways to
    choose k inliers and 3 of them is multiplied in, and the best k counts.
    """
    n = len(error)
    area = max(float(np.prod(np.ptp(uv, axis=0) + 1.0)), 1.0)
    k = np.arange(_MINIMAL + 1, n + 1)
    r = np.sort(error)[_MINIMAL:]
    with np.errstate(over="ignore"):
        chance = np.clip(pi * np.maximum(r, 1e-3) ** 2 / area, None, 1.0)
    ways = (np.log(_SOLUTIONS * (n - _MINIMAL)) + _log_choose(n, k) + _log_choose(k, np.full(len(k), _MINIMAL)))
    return float(np.exp(np.clip((ways + (k - _MINIMAL) * np.log(chance)).min(), -700, 700)))


def _log_choose(n: int | Array, k: Array) -> Array:
    return gammaln(np.asarray(n) + 1.0) - gammaln(k + 1.0) - gammaln(np.asarray(n) - k + 1.0)
