"""Fit a pose to matches through the full lens model: robust Levenberg-Marquardt, with a covariance to trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..geometry import se3
from ..types import Camera
from .projection_jacobian import pixel_by_pose

Array = np.ndarray
Loss = Literal["cauchy", "huber"]

PRIOR_DEGREES_OF_FREEDOM = 2.0  # weight of the expected noise against the measured one; matters below ~10 matches only


@dataclass(frozen=True)
class PoseFit:
    """A fitted pose.

    T_cam_lidar: (4, 4). covariance: (6, 6) of the left perturbation exp(xi) T_cam_lidar, xi = (rotation rad,
    translation m) in the camera frame. sigma_px: noise of one pixel coordinate. cost: sum of the robust loss in px^2.
    reason: empty, or why the matches do not determine a pose.
    """

    T_cam_lidar: Array
    covariance: Array
    sigma_px: float
    cost: float
    iterations: int
    reason: str = ""


def unknown_covariance() -> Array:
    """(6, 6): nothing is known about the pose."""
    return np.diag(np.full(6, np.inf))


def reprojection(T_cam_lidar: Array, points: Array, uv: Array, camera: Camera) -> tuple[Array, Array]:
    """Residuals (N, 2) px, predicted minus measured, and which of them exist (N,) bool.

    A residual exists where the point lies in front of the camera and inside the range of its lens model; it may fall
    outside the image by up to half its size, as the noisy neighbour of a match at the border does.
    """
    margin = max(camera.width, camera.height) // 2
    wide = camera.crop(-margin, -margin, camera.width + 2 * margin, camera.height + 2 * margin)
    predicted, exists = wide.project(se3.transform(T_cam_lidar, points))
    return predicted - (uv + margin), exists


def fit_pose(
    T_start: Array, points: Array, uv: Array, camera: Camera, *, scale_px: float, expected_px: float = 1.0,
    loss: Loss = "cauchy", max_iterations: int = 50,
) -> PoseFit:
    """The pose near `T_start` (4, 4) that best explains pixels uv (N, 2) by LiDAR points (N, 3).

    scale_px: residual at which the robust loss begins to let go. expected_px: what the noise is assumed to be before
    the residuals say better. The update is exp(xi) T. Matches that the start sees behind the camera take no part;
    a step that would lose another one is refused.
    """
    _, used = reprojection(T_start, points, uv, camera)
    points, uv = points[used].astype(np.float64), uv[used].astype(np.float64)
    T, damping, iterations = np.asarray(T_start, dtype=np.float64), 1e-4, 0
    if len(points) < 4:
        return PoseFit(T, unknown_covariance(), np.inf, np.inf, 0, "fewer than 4 matches lie in front of the camera")
    cost = _cost(T, points, uv, camera, scale_px, loss)
    while iterations < max_iterations and damping < 1e8:
        iterations += 1
        information, gradient = _normal_equations(T, points, uv, camera, scale_px, loss)
        xi = _step(information, gradient, damping)
        T_new = se3.exp_se3(xi) @ T
        cost_new = _cost(T_new, points, uv, camera, scale_px, loss)
        if not cost_new <= cost:
            damping *= 8
            continue
        settled = cost - cost_new <= 1e-10 * cost and np.abs(xi).max() < 1e-7
        T, cost, damping = T_new, cost_new, max(damping / 10, 1e-12)
        if settled:
            break
    covariance, sigma, reason = _covariance(T, points, uv, camera, scale_px, expected_px, loss)
    return PoseFit(T, covariance, sigma, cost, iterations, reason)


def _robust(square: Array, scale: float, loss: Loss) -> tuple[Array, Array, Array]:
    """Loss, weight and curvature of squared residual lengths.

    With w = rho'(s), s = |r|^2, the influence is psi = w r; its derivative averaged over the two directions of r
    is w + s dw/ds: the curvature.
    """
    c2 = scale * scale
    if loss == "cauchy":
        w = 1 / (1 + square / c2)
        return c2 * np.log1p(square / c2), w, w * w
    inside = square <= c2
    length = np.sqrt(np.where(inside, c2, square))
    w = np.where(inside, 1.0, scale / length)
    return np.where(inside, square, 2 * scale * length - c2), w, np.where(inside, 1.0, 0.5 * w)


def _cost(T: Array, points: Array, uv: Array, camera: Camera, scale: float, loss: Loss) -> float:
    residual, exists = reprojection(T, points, uv, camera)
    return float(_robust((residual**2).sum(axis=1), scale, loss)[0].sum()) if exists.all() else np.inf


def _normal_equations(
    T: Array, points: Array, uv: Array, camera: Camera, scale: float, loss: Loss,
) -> tuple[Array, Array]:
    """J^T W J (6, 6) and J^T W r (6,): half the gradient of the cost."""
    residual, _ = reprojection(T, points, uv, camera)
    J = pixel_by_pose(se3.transform(T, points), camera)  # (N, 2, 6)
    w = _robust((residual**2).sum(axis=1), scale, loss)[1]
    JW = J * w[:, None, None]
    return np.einsum("nij,nik->jk", JW, J), np.einsum("nij,ni->j", JW, residual)


def _step(information: Array, gradient: Array, damping: float) -> Array:
    """Marquardt's step; the diagonal makes radians and metres comparable."""
    diagonal = np.maximum(np.diag(information), 1e-12)
    return -np.linalg.lstsq(information + damping * np.diag(diagonal), gradient, rcond=None)[0]


def _covariance(
    T: Array, points: Array, uv: Array, camera: Camera, scale: float, expected_px: float, loss: Loss,
) -> tuple[Array, float, str]:
    """Covariance (6, 6), noise of a pixel coordinate, and a reason where the matches leave a direction open.

    Huber's covariance of a robust fit ("Robust Statistics", 1981, section 7.6): the variance of the influence over the
    squared mean curvature, times (J^T J)^-1. For residuals well inside the scale it is sigma^2 (J^T J)^-1.
    """
    residual, _ = reprojection(T, points, uv, camera)
    J = pixel_by_pose(se3.transform(T, points), camera)
    _, w, curvature = _robust((residual**2).sum(axis=1), scale, loss)
    freedom = 2 * len(points) - 6
    influence = float(((w[:, None] * residual) ** 2).sum())
    sigma2 = (influence / curvature.mean() ** 2 + PRIOR_DEGREES_OF_FREEDOM * expected_px**2) / (
        freedom + PRIOR_DEGREES_OF_FREEDOM)
    information = np.einsum("nij,nik->jk", J, J)
    size = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if not np.isfinite(values).all() or values[0] < 1e-10 * values[-1]:
        return unknown_covariance(), float(np.sqrt(sigma2)), "the matches leave part of the pose open"
    inverse = (vectors / values) @ vectors.T / np.outer(size, size)
    return sigma2 * inverse, float(np.sqrt(sigma2)), ""
