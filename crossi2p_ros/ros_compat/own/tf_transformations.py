"""Stand-in for tf_transformations, as far as crossi2p uses it; quaternions are (x, y, z, w), angles radians.

One difference is meant: a quaternion that is no rotation (all zeros) raises InputError instead of giving the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw, xyzw_from_rotation

Vector = Sequence[float] | np.ndarray


def translation_matrix(direction: Vector) -> np.ndarray:
    """(4, 4) that moves by a vector (3,)."""
    return se3.make(np.eye(3), np.asarray(direction, dtype=np.float64)[:3])


def translation_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(3,) by which a (4, 4) moves."""
    return np.array(matrix, dtype=np.float64)[:3, 3]


def quaternion_matrix(quaternion: Vector) -> np.ndarray:
    """(4, 4) of a quaternion."""
    q = np.asarray(quaternion, dtype=np.float64)
    length = np.linalg.norm(q)
    return se3.make(rotation_from_xyzw(q / length if length > 0 else q, "quaternion"), np.zeros(3))


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(4,) quaternion of the rotation in a (4, 4)."""
    return xyzw_from_rotation(np.asarray(matrix, dtype=np.float64)[:3, :3])


def inverse_matrix(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a square matrix."""
    return np.linalg.inv(matrix)


def euler_matrix(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """(4, 4) of three angles; `sxyz`: about the fixed axes x, y, z (URDF's roll, pitch, yaw); `r...`: moving axes."""
    return se3.make(Rotation.from_euler(_sequence(axes), [ai, aj, ak]).as_matrix(), np.zeros(3))


def euler_from_matrix(matrix: np.ndarray, axes: str = "sxyz") -> tuple[float, float, float]:
    """The three angles of the rotation in a (3, 3) or (4, 4)."""
    rotation = Rotation.from_matrix(np.asarray(matrix, dtype=np.float64)[:3, :3])
    ai, aj, ak = rotation.as_euler(_sequence(axes)).tolist()
    return ai, aj, ak


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = "sxyz") -> np.ndarray:
    """(4,) quaternion of three angles."""
    return Rotation.from_euler(_sequence(axes), [ai, aj, ak]).as_quat()


def euler_from_quaternion(quaternion: Vector, axes: str = "sxyz") -> tuple[float, float, float]:
    """The three angles of a quaternion."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def _sequence(axes: str) -> str:
    """ROS's name of an order of axes in scipy's words: lower case about fixed axes, upper case about moving ones."""
    return axes[1:].lower() if axes[0] == "s" else axes[1:].upper()
