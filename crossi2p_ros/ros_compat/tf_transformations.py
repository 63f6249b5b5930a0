"""tf_transformations: 4 x 4 matrices, quaternions (x, y, z, w) and Euler angles (radians) into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .borrowed import borrow

_real = borrow("tf_transformations")

if TYPE_CHECKING or _real is None:
    from .own.tf_transformations import (
        euler_from_matrix,
        euler_from_quaternion,
        euler_matrix,
        inverse_matrix,
        quaternion_from_euler,
        quaternion_from_matrix,
        quaternion_matrix,
        translation_from_matrix,
        translation_matrix,
    )
else:
    euler_from_matrix, euler_from_quaternion = _real.euler_from_matrix, _real.euler_from_quaternion
    euler_matrix, inverse_matrix = _real.euler_matrix, _real.inverse_matrix
    quaternion_from_euler, quaternion_from_matrix = _real.quaternion_from_euler, _real.quaternion_from_matrix
    quaternion_matrix = _real.quaternion_matrix
    translation_from_matrix, translation_matrix = _real.translation_from_matrix, _real.translation_matrix

__all__ = [
    "euler_from_matrix",
    "euler_from_quaternion",
    "euler_matrix",
    "inverse_matrix",
    "quaternion_from_euler",
    "quaternion_from_matrix",
    "quaternion_matrix",
    "translation_from_matrix",
    "translation_matrix",
]
