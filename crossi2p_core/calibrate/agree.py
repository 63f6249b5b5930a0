"""What estimates of one pose agree on: a weighted mean on SE(3) that outliers hardly move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..geometry import se3

Array = np.ndarray
TAIL = 3.0  # degrees of freedom of Student's t: single frames end in wrong basins now and then
ITERATIONS = 30
CONVERGED = 1e-10  # of a step, squared length
APART = 16.0  # squared distance in sigmas at which two estimates do not speak for each other any more


@dataclass(frozen=True)
class Agreement:
    """Of n estimates. T: (4, 4). covariance: (6, 6) of the left perturbation, as in `Registration`. distances: (n,) of
    each estimate from T, in its own sigmas (about sqrt 6 where the sigmas are honest). weights: (n,) 0..1, what each
    counted; an outlier's is near 0."""

    T: Array
    covariance: Array
    distances: Array
    weights: Array


def agree(T: Array, covariance: Array) -> Agreement:
    """The pose that estimates T (n, 4, 4) with left-perturbation covariances (n, 6, 6) agree on.

    The most probable pose under Student's t around each estimate, by iterated reweighting (Lange, Little and Taylor,
    "Robust Statistical Modeling Using the t Distribution", 1989), begun at the estimate that most others support.
    Raises InputError where there is none, or where a covariance is no covariance.
    """
    if not len(T):
        raise InputError("no estimate to agree on; use frames that can be registered")
    information = _information(covariance)
    mean = T[_most_supported(T, information)]
    for _ in range(ITERATIONS):
        errors, squared = _errors(T, mean, information)
        weights = (TAIL + 6) / (TAIL + squared)
        H = np.einsum("n,nij->ij", weights, information)
        step = np.linalg.solve(H, np.einsum("n,nij,nj->i", weights, information, errors))
        mean = se3.exp_se3(step) @ mean
        if step @ step < CONVERGED:
            break
    errors, squared = _errors(T, mean, information)
    weights = (TAIL + 6) / (TAIL + squared)
    return Agreement(mean, _spread(weights, information, errors), np.sqrt(squared), np.minimum(1.0, weights))


def _information(covariance: Array) -> Array:
    """(n, 6, 6) inverses."""
    if not np.isfinite(covariance).all():
        raise InputError("an estimate's covariance is not finite; leave out frames that failed")
    values, axes = np.linalg.eigh(0.5 * (covariance + covariance.swapaxes(-1, -2)))
    if (values <= 0).any():
        raise InputError("an estimate's covariance is not positive; leave out frames that failed")
    return axes @ (axes / values[:, None, :]).swapaxes(-1, -2)


def _most_supported(T: Array, information: Array) -> int:
    """The estimate that is nearest to the others, those far away counting alike."""
    support = np.zeros(len(T))
    for i, each in enumerate(T):
        support[i] = np.minimum(_errors(T, each, information)[1], APART).sum()
    return int(np.argmin(support))


def _errors(T: Array, mean: Array, information: Array) -> tuple[Array, Array]:
    """(n, 6) twists from the mean to each estimate, and their squared lengths (n,) in sigmas."""
    errors = se3.log_se3(T @ se3.inverse(mean))
    return errors, np.einsum("ni,nij,nj->n", errors, information, errors)


def _spread(weights: Array, information: Array, errors: Array) -> Array:
    """(6, 6): the inverse information, as much wider as the estimates scatter more than their sigmas say."""
    H = np.einsum("n,nij->ij", np.minimum(1.0, weights), information)
    squared = np.einsum("ni,nij,nj->n", errors, information, errors)
    freedom = 6.0 * max(1, len(weights) - 1)
    excess = float((np.minimum(1.0, weights) * squared).sum()) / freedom
    return np.linalg.inv(H) * max(1.0, excess)
