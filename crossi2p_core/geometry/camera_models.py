"""Camera models: from points to pixels and back, for numpy arrays and torch tensors.

Coefficients D and their order are those of ROS CameraInfo and OpenCV:
  none                 nothing
  plumb_bob            k1 k2 p1 p2 [k3]
  rational_polynomial  k1 k2 p1 p2 k3 [k4 k5 k6], then only zeros (thin prism and tilt are not modelled)
  equidistant          k1 k2 k3 k4 of Kannala and Brandt: fisheye lenses, beyond 90 degrees too
Formulas: OpenCV's manual, modules calib3d and fisheye. Pixel (0, 0) is the centre of the top-left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from .backend import as_float, as_float64, like, namespace
from .distortion import NEAREST, distort_angle, distort_plane, lens, undistort_plane, undistort_radius

LARGEST = 1e9  # of all numbers of K and D: with larger ones squares and polynomials are lost
MODELS = ("none", "plumb_bob", "rational_polynomial", "equidistant")

_NAMES = {
    "": "", "none": "none", "pinhole": "none", "perspective": "none",
    "plumb_bob": "plumb_bob", "radtan": "plumb_bob", "radial_tangential": "plumb_bob", "brown_conrady": "plumb_bob",
    "rational_polynomial": "rational_polynomial", "rational": "rational_polynomial",
    "equidistant": "equidistant", "fisheye": "equidistant", "kannala_brandt": "equidistant",
}

_LENGTHS = {"none": (0,), "plumb_bob": (4, 5), "rational_polynomial": tuple(range(5, 15)), "equidistant": (4,)}


def canonical_model(name: str, D: Sequence[float] | np.ndarray | None) -> str:
    """One of MODELS for a model's name in ROS or elsewhere and its coefficients.

    No coefficients, or zeros only, make plumb_bob and rational_polynomial `none`; equidistant stays what it is. These
    two are one family in OpenCV, and so the number of coefficients decides between them, also where the name is empty.
    Raises InputError for an unknown name, and where name and coefficients contradict each other.
    """
    key = str(name or "").strip().lower().replace("-", "_").replace(" ", "_")
    if key not in _NAMES:
        raise InputError(f"the distortion model '{name}' is not known; use one of {', '.join(MODELS)}")
    try:
        D = np.zeros(0) if D is None else np.asarray(D, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"distortion coefficients must be numbers; these are {D}") from error
    model = _NAMES[key]
    if model == "equidistant" or not D.any():
        return model if model == "equidistant" else "none"
    if model == "none":
        raise InputError(f"the distortion model is '{name}' but {len(D)} coefficients are not zero; name their model")
    if model == "" and len(D) == 4:
        raise InputError("4 distortion coefficients without a model's name; say plumb_bob or equidistant")
    return "rational_polynomial" if len(D) > 5 else "plumb_bob"


def check_intrinsics(K: np.ndarray, model: str, D: np.ndarray, width: int, height: int) -> None:
    """Raise InputError, in words, where these cannot be the intrinsics of an image."""
    K, D = np.asarray(K), np.asarray(D)
    if K.shape != (3, 3):
        raise InputError(f"the camera matrix K must be 3x3; this one has shape {K.shape}")
    if not (np.isfinite(K).all() and np.isfinite(D).all()):
        raise InputError("the intrinsics hold NaN or infinite numbers; calibrate the camera or give its calibration")
    if max(np.abs(K).max(initial=0), np.abs(D).max(initial=0)) > LARGEST:
        raise InputError(f"the intrinsics hold numbers beyond {LARGEST:g}, which no camera has; calibrate the camera, "
                         "or give its calibration")
    if not K.any():
        raise InputError("the camera matrix K is zero: the camera is not calibrated; give its calibration")
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise InputError(f"focal lengths must be positive; K has {K[0, 0]:g} and {K[1, 1]:g}")
    if abs(K[2, 2] - 1) > 1e-6 or np.abs(K[[1, 2, 2], [0, 0, 1]]).max() > 1e-6:
        raise InputError("K must read fx s cx / 0 fy cy / 0 0 1 row by row; this one does not; is it transposed?")
    if width <= 0 or height <= 0:
        raise InputError(f"an image must have a positive size; the intrinsics say {width}x{height}")
    _check_coefficients(model, D)


def _check_coefficients(model: str, D: np.ndarray) -> None:
    """Raise InputError where D is not a set of coefficients of `model`."""
    if model not in MODELS:
        raise InputError(f"the distortion model '{model}' is not known; use one of {', '.join(MODELS)}")
    allowed = _LENGTHS[model]
    zeros = model == "none" and not D.any()
    if D.ndim != 1 or (len(D) not in allowed and not zeros):
        wanted = f"{allowed[0]} to {allowed[-1]}" if len(allowed) > 2 else " or ".join(map(str, allowed))
        raise InputError(f"the distortion model {model} takes {wanted} coefficients; {D.size} were given")
    if model == "rational_polynomial" and D[8:].any():
        raise InputError("thin-prism and tilt coefficients (after the eighth) are not supported; calibrate with the "
                         "rational model of 8 coefficients")


def max_radius(model: str, D: Sequence[float] | np.ndarray) -> float:
    """How far off the axis the model is one-to-one; beyond it two rays share a pixel and nothing is valid.

    The tangent of the angle for plumb_bob and rational_polynomial (infinite where they never fold), the angle in
    radians, at most pi, for equidistant.
    """
    return math.inf if model == "none" else lens(model, D).limit


def project(points: Any, K: np.ndarray, model: str, D: np.ndarray, width: int, height: int) -> tuple[Any, Any]:
    """Pixels of camera-frame points (x right, y down, z forward).

    points: (..., 3) m, numpy or torch on any device; the answer keeps library, device and dtype, and gradients pass.
    Returns uv (..., 2) and valid (...) bool: in front of the lens (equidistant: within its range of angles), inside
    the range where the distortion is one-to-one, and 0 <= u <= width - 1, 0 <= v <= height - 1, so that uv can be
    rounded or floored to a pixel. uv is finite for finite points, and means nothing where valid is False.
    """
    points = as_float(points)
    xp = namespace(points)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    if model == "equidistant":
        x, y, seen = distort_angle(x, y, z, lens(model, D))
    else:
        seen = z > NEAREST
        depth = xp.where(seen, z, xp.ones_like(z))
        x, y = x / depth, y / depth
        if model != "none":
            x, y, regular = distort_plane(x, y, lens(model, D))
            seen = seen & regular
    (fx, skew, cx), (_, fy, cy) = np.asarray(K, dtype=np.float64)[:2].tolist()
    u, v = fx * x + cx, fy * y + cy
    if skew != 0:
        u = u + skew * y
    valid = seen & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    return xp.stack([u, v], -1), valid


def unproject(uv: Any, K: np.ndarray, model: str, D: np.ndarray) -> Any:
    """Unit rays (..., 3) in the camera frame through pixels uv (..., 2): the inverse of `project`.

    Solved in float64 to 1e-9, answered in uv's library, device and dtype; gradients pass. A pixel that no ray reaches,
    because the distortion folds before it, gets a ray at the edge of the one-to-one range.
    """
    uv = as_float(uv)
    xp = namespace(uv)
    pixel = as_float64(uv)
    (fx, skew, cx), (_, fy, cy) = np.asarray(K, dtype=np.float64)[:2].tolist()
    y = (pixel[..., 1] - cy) / fy
    x = (pixel[..., 0] - cx - skew * y) / fx
    if model == "equidistant":
        r2 = x * x + y * y
        r = xp.sqrt(xp.where(r2 > 0, r2, xp.ones_like(r2)))
        angle = undistort_radius(xp.where(r2 > 0, r, xp.zeros_like(r)), lens(model, D))
        scale = xp.where(r2 > 0, xp.sin(angle) / r, xp.ones_like(r))
        return like(xp.stack([x * scale, y * scale, xp.cos(angle)], -1), uv)
    if model != "none":
        x, y = undistort_plane(x, y, lens(model, D))
    ray = xp.stack([x, y, xp.ones_like(x)], -1)
    return like(ray / xp.sqrt((ray * ray).sum(-1))[..., None], uv)
