"""From matches of points and pixels to a judged pose: search, polish through the full lens model, accept or refuse."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Camera
from .backends import SearchOptions, searches
from .consensus import MAX_ACCIDENTS, degenerate, expected_accidents
from .nonlinear import PoseFit, fit_pose, reprojection, unknown_covariance

Array = np.ndarray

# The search works on a flat image plane, where pixels far off the axis are blown up; wider rays join in the polishing.
_WIDEST_SEARCHED = np.cos(np.radians(75.0))


@dataclass(frozen=True)
class PnPResult:
    """The pose that a set of matches supports.

    T_cam_lidar: (4, 4); when failed the prior is handed on, or None where there was none. inliers: (N,) bool of the
    matches given. covariance: (6, 6) of the left perturbation exp(xi) T_cam_lidar, xi = (rotation rad, translation m)
    in the camera frame; infinite when failed. reprojection_px: median over the inliers. status: ok | failed, with the
    reason in words.
    """

    T_cam_lidar: Array | None
    inliers: Array
    covariance: Array = field(default_factory=unknown_covariance)
    reprojection_px: float = float("nan")
    status: str = "failed"
    reason: str = ""


def solve_pnp(
    points: Array, uv: Array, camera: Camera, backend: str = "auto", threshold_px: float = 4.0,
    confidence: float = 0.9999, max_iterations: int = 10_000, seed: int = 0, prior: Array | None = None,
) -> PnPResult:
    """Pose of the camera from LiDAR points (N, 3) m and the distorted pixels (N, 2) they were matched to.

    backend: auto | magsac | poselib. threshold_px: reprojection error up to which a match is an inlier. The same seed
    gives the same answer. prior: (4, 4) guess of T_cam_lidar, tried beside the search, handed on when that fails.
    Too few, degenerate or contradictory matches are a failed result; InputError is for arguments that make no sense.
    """
    points, uv = _checked(points, uv, threshold_px, confidence, max_iterations)
    prior = None if prior is None else se3.check_transform(prior, "the prior of T_cam_lidar")
    methods = searches(backend)
    finite = np.isfinite(points).all(axis=1) & np.isfinite(uv).all(axis=1)
    note = "" if finite.all() else f" ({len(finite) - finite.sum()} matches with NaN or Inf left out)"
    problem = degenerate(points[finite], uv[finite])
    if problem:
        return PnPResult(prior, np.zeros(len(finite), dtype=bool), reason=problem + note)

    usable, pixels = points[finite], uv[finite]
    options = SearchOptions(threshold_px, confidence, max_iterations, seed)
    rays = camera.unproject(pixels)
    narrow = rays[:, 2] > _WIDEST_SEARCHED
    flat = rays[narrow, :2] / rays[narrow, 2:]
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    searchable = narrow.sum() >= 4
    best = _Pose(None, np.zeros(len(usable), dtype=bool), np.inf, np.inf, "no consensus: the search found no pose" if
                 searchable else f"only {narrow.sum()} matches lie within 75 degrees of the optical axis")
    if prior is not None:
        best = _polish(prior, usable, pixels, camera, threshold_px)
    for search in methods if searchable else []:
        T = search(usable[narrow], flat, focal, options)
        if T is not None:
            best = min(best, _polish(T, usable, pixels, camera, threshold_px), key=lambda pose: pose.cost)
        if best.supported:
            break
    return _judge(best, prior, pixels, finite, note)


@dataclass(frozen=True)
class _Pose:
    """A polished candidate. cost: sum of squared errors, each capped at the threshold, over all matches, px^2."""

    fit: PoseFit | None
    inliers: Array
    cost: float
    accidents: float  # `expected_accidents`
    problem: str = ""
    reprojection_px: float = float("nan")

    @property
    def supported(self) -> bool:
        return not self.problem and self.accidents < MAX_ACCIDENTS


def _polish(T: Array, points: Array, uv: Array, camera: Camera, threshold_px: float) -> _Pose:
    """Fit to the inliers of `T`, look for inliers again, until the set stays the same."""
    fit, inliers = None, _errors(T, points, uv, camera) <= threshold_px
    for _ in range(8):
        if degenerate(points[inliers], uv[inliers]):
            break
        noise = float(np.median(_errors(T, points[inliers], uv[inliers], camera))) / 1.18  # median of a 2-D Gaussian
        # 2.4 sigma: the Cauchy loss keeps 95 % of the information of clean matches
        scale = float(np.clip(2.4 * noise, 0.05 * threshold_px, threshold_px))
        fit = fit_pose(T, points[inliers], uv[inliers], camera, scale_px=scale, expected_px=threshold_px / 3)
        T, former = fit.T_cam_lidar, inliers
        inliers = _errors(T, points, uv, camera) <= threshold_px
        if (inliers == former).all():
            break
    error = _errors(T, points, uv, camera)
    cost = float((np.minimum(error, threshold_px) ** 2).sum())
    accidents = expected_accidents(np.where(inliers, error, np.inf), uv)
    problem = degenerate(points[inliers], uv[inliers])
    problem = f"no consensus among the matches; those that agree: {problem}" if problem else fit.reason if fit else ""
    return _Pose(fit, inliers, cost, accidents, problem, float(np.median(error[inliers])) if inliers.any() else np.nan)


def _errors(T: Array, points: Array, uv: Array, camera: Camera) -> Array:
    """Reprojection errors (N,) px; infinite where the point is not seen."""
    residual, exists = reprojection(T, points, uv, camera)
    return np.where(exists, np.linalg.norm(residual, axis=1), np.inf)


def _judge(pose: _Pose, prior: Array | None, uv: Array, finite: Array, note: str) -> PnPResult:
    """The result that a caller sees, with inliers among all the matches that were given."""
    inliers = np.zeros(len(finite), dtype=bool)
    inliers[finite] = pose.inliers
    if pose.fit is None or not pose.supported:
        agree = f"no consensus: {pose.inliers.sum()} of {len(uv)} matches agree, which wrong matches reach by accident"
        return PnPResult(prior, np.zeros_like(inliers), reason=(pose.problem or agree) + note)
    words = f"{pose.inliers.sum()} of {len(uv)} matches agree within {pose.reprojection_px:.2g} px (median)"
    return PnPResult(pose.fit.T_cam_lidar, inliers, pose.fit.covariance, pose.reprojection_px, "ok", words + note)


def _checked(
    points: Array, uv: Array, threshold_px: float, confidence: float, max_iterations: int,
) -> tuple[Array, Array]:
    """The matches as float64, or InputError for arguments that make no sense."""
    points, uv = np.asarray(points, dtype=np.float64), np.asarray(uv, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or uv.shape != (len(points), 2):
        raise InputError(f"matches need points (N, 3) and pixels (N, 2); these are {points.shape} and {uv.shape}")
    if not (np.isfinite(threshold_px) and threshold_px > 0):
        raise InputError(f"the inlier threshold must be a positive number of pixels; it is {threshold_px}")
    if not 0 < confidence < 1 or max_iterations < 1:
        raise InputError(f"confidence must lie between 0 and 1 (it is {confidence}) and max_iterations above 0 "
                         f"(it is {max_iterations})")
    return points, uv
