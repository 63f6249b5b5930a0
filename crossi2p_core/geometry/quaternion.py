"""Unit quaternions to rotation matrices and back, for formats that store rotations so (ROS and nuScenes do)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .se3 import log_so3

MAX_NORM_ERROR = 1e-2  # rounding of a written quaternion is far smaller; anything larger is not meant as a rotation


def rotation_from_xyzw(q: Sequence[float] | np.ndarray, where: str) -> np.ndarray:
    """(3, 3) float64 rotation of the quaternion (x, y, z, w); it is normalised first.

    Raises InputError, with `where` in it, for a wrong count, NaN or a length that is not 1 (all zeros, for example).
    Formula: R = I + 2 w [v]x + 2 [v]x^2 with v = (x, y, z), Hamilton convention.
    """
    q = np.asarray(q, dtype=np.float64)
    if q.shape != (4,) or not (np.abs(q) < 2).all() or abs(np.linalg.norm(q) - 1) > MAX_NORM_ERROR:
        raise InputError(f"{where}: {q.tolist()} is no unit quaternion, so no rotation; correct it")
    x, y, z, w = q / np.linalg.norm(q)
    V = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * V + 2 * V @ V


def xyzw_from_rotation(R: np.ndarray) -> np.ndarray:
    """(4,) quaternion (x, y, z, w) with w >= 0 of a rotation matrix (3, 3): (sin(a/2) axis, cos(a/2))."""
    w = log_so3(np.asarray(R, dtype=np.float64))
    half = np.linalg.norm(w) / 2
    return np.append(0.5 * np.sinc(half / np.pi) * w, np.cos(half))
