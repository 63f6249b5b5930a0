"""Matrices, quaternions and angles with known answers, ours and, where it is installed, tf_transformations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.errors import InputError

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import both

IMPLEMENTATIONS = both("tf_transformations", "tf_transformations")
pytestmark = pytest.mark.parametrize("tf", IMPLEMENTATIONS)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # REP 103: camera_link -> camera_optical_frame


def test_the_quaternion_of_the_optical_frame(tf: SimpleNamespace) -> None:
    T = tf.quaternion_matrix(OPTICAL)
    assert T.shape == (4, 4)
    assert np.allclose(T[:3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    assert np.allclose(tf.quaternion_from_euler(-math.pi / 2, 0, -math.pi / 2), OPTICAL)
    assert np.allclose(tf.euler_from_quaternion(OPTICAL), (-math.pi / 2, 0, -math.pi / 2))


def test_a_quaternion_is_normalised(tf: SimpleNamespace) -> None:
    assert np.allclose(tf.quaternion_matrix([0, 0, 3, 3]), tf.quaternion_matrix([0, 0, math.sqrt(0.5), math.sqrt(0.5)]))


def test_translations_and_inverses(tf: SimpleNamespace) -> None:
    T = tf.translation_matrix([1, 2, 3]) @ tf.quaternion_matrix(OPTICAL)
    assert tf.translation_from_matrix(T).tolist() == [1, 2, 3]
    assert np.allclose(tf.inverse_matrix(T) @ T, np.eye(4))


@pytest.mark.parametrize(("axes", "expected"), [
    ("sxyz", lambda x, y, z: z @ y @ x), ("rxyz", lambda x, y, z: x @ y @ z), ("rzyx", lambda z, y, x: z @ y @ x)])
def test_the_order_of_axes(tf: SimpleNamespace, axes: str, expected: object) -> None:
    angles = (0.3, -0.7, 1.9)
    single = [tf.euler_matrix(*[angle if name == axis else 0 for axis in "xyz"])
              for angle, name in zip(angles, axes[1:], strict=True)]
    assert np.allclose(tf.euler_matrix(*angles, axes), expected(*single))  # type: ignore[operator]
    assert np.allclose(tf.euler_from_matrix(tf.euler_matrix(*angles, axes), axes), angles)
    assert np.allclose(tf.quaternion_matrix(tf.quaternion_from_euler(*angles, axes)), tf.euler_matrix(*angles, axes))


def test_turns_about_one_axis(tf: SimpleNamespace) -> None:
    c, s = math.cos(0.4), math.sin(0.4)
    assert np.allclose(tf.euler_matrix(0.4, 0, 0)[:3, :3], [[1, 0, 0], [0, c, -s], [0, s, c]])
    assert np.allclose(tf.euler_matrix(0, 0, 0.4)[:3, :3], [[c, -s, 0], [s, c, 0], [0, 0, 1]])


@given(q=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: math.hypot(*q) > 0.1))
@settings(max_examples=100, deadline=None)
def test_quaternions_through_matrices(tf: SimpleNamespace, q: list[float]) -> None:
    unit = np.array(q) / math.hypot(*q)
    back = np.asarray(tf.quaternion_from_matrix(tf.quaternion_matrix(unit)))
    assert min(np.abs(back - unit).max(), np.abs(back + unit).max()) < 1e-6


def test_no_rotation_is_said_and_not_guessed(tf: SimpleNamespace) -> None:
    """The real one gives the identity, so crossi2p never hands it an unchecked quaternion."""
    try:
        assert np.allclose(tf.quaternion_matrix([0, 0, 0, 0]), np.eye(4))
    except InputError as error:
        assert "quaternion" in str(error)
