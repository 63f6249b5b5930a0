"""Search a pose among matches that are mostly wrong: cv2's USAC_MAGSAC and poselib, each behind the same call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..geometry import se3

Array = np.ndarray


@dataclass(frozen=True)
class SearchOptions:
    """threshold_px: largest residual of an inlier. confidence: of having drawn a clean sample, below 1."""

    threshold_px: float
    confidence: float
    max_iterations: int
    seed: int


# points (N, 3) m, rays (N, 2) = x / z and y / z of the undistorted pixels, focal length px -> T_cam_lidar or None
Search = Callable[[Array, Array, float, SearchOptions], "Array | None"]


def search_magsac(points: Array, rays: Array, focal: float, options: SearchOptions) -> Array | None:
    """T_cam_lidar (4, 4) by cv2's MAGSAC++ scoring and local optimisation, or None."""
    parameters = cv2.UsacParams()
    parameters.threshold = options.threshold_px
    parameters.confidence = options.confidence
    parameters.maxIterations = options.max_iterations
    parameters.randomGeneratorState = options.seed
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    parameters.loIterations, parameters.loSampleSize = 10, 50
    try:
        # a fresh K on every call: this overload writes into the one it is given
        found, _, rvec, tvec, _ = cv2.solvePnPRansac(
            np.ascontiguousarray(points), np.ascontiguousarray(rays * focal), np.diag([focal, focal, 1.0]), None,
            params=parameters)
    except cv2.error:  # some degenerate samples trip an assertion inside
        return None
    if not found or not (np.isfinite(rvec).all() and np.isfinite(tvec).all()):
        return None
    return se3.make(se3.exp_so3(rvec.reshape(3)), tvec.reshape(3))


def search_poselib(points: Array, rays: Array, focal: float, options: SearchOptions) -> Array | None:
    """T_cam_lidar (4, 4) by poselib's LO-RANSAC over P3P, or None."""
    camera = {"model": "SIMPLE_PINHOLE", "width": 0, "height": 0, "params": [focal, 0.0, 0.0]}
    ransac = {"max_reproj_error": options.threshold_px, "success_prob": options.confidence, "seed": options.seed,
              "max_iterations": options.max_iterations, "min_iterations": min(100, options.max_iterations)}
    pose, _ = _poselib().estimate_absolute_pose(rays * focal, points, camera, ransac, {"loss_type": "CAUCHY"})
    R, t = np.asarray(pose.R), np.asarray(pose.t)
    return se3.make(R, t) if np.isfinite(R).all() and np.isfinite(t).all() else None


def searches(backend: str) -> list[Search]:
    """What `backend` tries, in this order.

    auto: MAGSAC, which is the faster one on many matches, then poselib if it is installed. Raises InputError for an
    unknown name, and for poselib by name where it is missing.
    """
    if backend == "magsac":
        return [search_magsac]
    if backend == "poselib":
        _poselib()
        return [search_poselib]
    if backend != "auto":
        raise InputError(f"the pose solver '{backend}' is not known; use auto, magsac or poselib")
    try:
        _poselib()
    except InputError:
        return [search_magsac]
    return [search_magsac, search_poselib]


def _poselib() -> Any:
    try:
        import poselib
    except ImportError as error:
        raise InputError("the pose solver poselib is not installed; run `pip install poselib`") from error
    return poselib
