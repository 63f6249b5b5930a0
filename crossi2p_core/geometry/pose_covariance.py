"""Uncertainty of a pose, in our convention and in that of ROS, and of the inverse pose.

Ours: covariance of the twist xi = (rotation rad, translation m) in exp(xi) T, a left perturbation.
ROS (geometry_msgs/PoseWithCovariance): covariance of (x, y, z, rotation about X, Y, Z), the errors of position and of
orientation side by side, both along the fixed axes of the frame that the pose is given in.

With T = (R, t), to first order: exp(xi) T has the rotation exp(w) R and the position t + w x t + rho. So the error of
rotation is the same in both, and the error of position is rho - [t]x w: far from the origin a turn moves the position,
which ROS counts as position and the twist does not. Linear, so covariances transform with the matrix and its transpose.
"""

from __future__ import annotations

import numpy as np

from . import se3

Array = np.ndarray
CONFIDENT = 3.37  # sigmas of three numbers together that 99 of 100 stay within (chi-square, 3 degrees)
SAME = 4.1  # sigmas of six numbers together that 99 of 100 stay within (chi-square, 6 degrees)


def covariance_to_ros(covariance: Array, T: Array) -> Array:
    """(6, 6) in the order and meaning of ROS, of the pose T (4, 4) with the left-perturbation `covariance` (6, 6)."""
    J = _ros_from_twist(T)
    return _symmetric(J @ covariance @ J.T)


def covariance_from_ros(ros: Array, T: Array) -> Array:
    """The inverse of `covariance_to_ros`: from ROS's (6, 6) to the left-perturbation covariance (6, 6) of T (4, 4)."""
    J = np.linalg.inv(_ros_from_twist(T))  # its determinant is +-1, whatever T
    return _symmetric(J @ ros @ J.T)


def covariance_of_inverse(covariance: Array, T: Array) -> Array:
    """(6, 6) left-perturbation covariance of inverse(T) where `covariance` is that of T (4, 4).

    inverse(exp(xi) T) = inverse(T) exp(-xi) = exp(-Ad xi) inverse(T), with Ad the adjoint of inverse(T).
    """
    Ad = se3.adjoint(se3.inverse(np.asarray(T, dtype=np.float64)))
    return _symmetric(Ad @ covariance @ Ad.T)


def at_most(length: float, covariance: Array) -> float:
    """How long a vector is at most, 99 times of 100, that was measured to be so long with a covariance (3, 3): that
    length and `CONFIDENT` sigmas of the longest axis, as if both went one way."""
    return length + CONFIDENT * float(np.sqrt(max(0.0, np.linalg.eigvalsh(covariance).max())))


def _ros_from_twist(T: Array) -> Array:
    """(6, 6) Jacobian of (position, rotation) errors with respect to (rotation, rho)."""
    x, y, z = np.asarray(T, dtype=np.float64)[:3, 3]
    J = np.zeros((6, 6))
    J[:3, :3] = [[0, z, -y], [-z, 0, x], [y, -x, 0]]  # -[t]x
    J[:3, 3:] = J[3:, :3] = np.eye(3)
    return J


def _symmetric(covariance: Array) -> Array:
    """Without the rounding that a product of three matrices leaves."""
    return (covariance + covariance.T) / 2
