"""geometry_msgs transforms and poses to matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry.pose_covariance import covariance_from_ros
from ...geometry.quaternion import rotation_from_xyzw

MOST_METRES = 1e8  # further apart than any two places on Earth
MOST_VARIANCE = 1e15  # drivers say "no idea" by 1e6 or 1e9


def transform_from_message(transform: Any, where: str) -> np.ndarray:
    """T_parent_child (4, 4) of a geometry_msgs/Transform; raises InputError where it is no rigid motion."""
    return _motion(transform.translation, transform.rotation, where)


def pose_from_message(message: Any, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """T_parent_child (4, 4) of a PoseWithCovarianceStamped, and the covariance of its left perturbation.

    covariance: (6, 6), rotation first, as `Registration.covariance`; None where the message says nothing (all zeros).
    Raises InputError where the pose is no rigid motion or the covariance not finite, not symmetric or negative.
    """
    pose = message.pose.pose
    T = _motion(pose.position, pose.orientation, where)
    covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)
    if not covariance.any():
        return T, None
    usable = (np.abs(covariance) < MOST_VARIANCE).all()  # false for NaN
    if not usable or not np.allclose(covariance, covariance.T) or np.diag(covariance).min() < 0:
        raise InputError(f"{where}: the pose's covariance is not finite, symmetric and positive; correct the publisher")
    return T, covariance_from_ros(covariance, T)


def _motion(t: Any, q: Any, where: str) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = rotation_from_xyzw((q.x, q.y, q.z, q.w), where)
    T[:3, 3] = (t.x, t.y, t.z)
    if not (np.abs(T[:3, 3]) < MOST_METRES).all():
        raise InputError(f"{where}: the translation {T[:3, 3].tolist()} is not finite or beyond all bounds; correct "
                         "the publisher")
    return T
