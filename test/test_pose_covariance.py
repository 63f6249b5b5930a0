"""Covariances of poses between our convention and that of ROS, against drawn poses and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.geometry import se3
from crossi2p_core.geometry.pose_covariance import covariance_from_ros, covariance_of_inverse, covariance_to_ros

POSES = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(lambda xi: se3.exp_se3(np.array(xi)))
SEEDS = st.integers(0, 999)


def covariance(seed: int) -> np.ndarray:
    """(6, 6), about 0.5 deg and 1 cm, all entries correlated."""
    A = np.random.default_rng(seed).normal(0, 0.01, (6, 6))
    return A @ A.T / 6


def drawn(T: np.ndarray, C: np.ndarray, count: int = 40_000) -> np.ndarray:
    """(N, 4, 4) poses exp(xi) T with xi of covariance C."""
    return se3.exp_se3(np.random.default_rng(0).multivariate_normal(np.zeros(6), C, count)) @ T


def relative_difference(A: np.ndarray, B: np.ndarray) -> float:
    return float(np.linalg.norm(A - B) / np.linalg.norm(B))


@pytest.mark.parametrize("seed", range(4))
def test_what_ros_means_is_how_drawn_positions_and_rotations_scatter(seed: int) -> None:
    T, C = se3.exp_se3(np.random.default_rng(seed).normal(0, 1, 6)), covariance(seed)
    poses = drawn(T, C)
    positions = poses[:, :3, 3] - T[:3, 3]
    rotations = se3.log_so3(poses[:, :3, :3] @ T[:3, :3].T)  # about the fixed axes of the parent
    scatter = np.cov(np.hstack([positions, rotations]).T)
    assert relative_difference(covariance_to_ros(C, T), scatter) < 0.03


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_scatters_as_the_inverses_of_drawn_poses(seed: int) -> None:
    T, C = se3.exp_se3(np.random.default_rng(seed).normal(0, 1, 6)), covariance(seed)
    xi = se3.log_se3(se3.inverse(drawn(T, C)) @ T)  # of the left perturbation of inverse(T)
    assert relative_difference(covariance_of_inverse(C, T), np.cov(xi.T)) < 0.03


@settings(deadline=None)
@given(T=POSES, seed=SEEDS)
def test_there_and_back(T: np.ndarray, seed: int) -> None:
    C = covariance(seed)
    np.testing.assert_allclose(covariance_from_ros(covariance_to_ros(C, T), T), C, atol=1e-12)
    np.testing.assert_allclose(covariance_of_inverse(covariance_of_inverse(C, T), se3.inverse(T)), C, atol=1e-12)


def test_at_the_origin_only_the_order_differs() -> None:
    C = np.diag([1.0, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(np.diag(covariance_to_ros(C, np.eye(4))), [4, 5, 6, 1, 2, 3])


def test_a_turn_about_z_moves_what_lies_along_x_to_the_side() -> None:
    T = se3.make(np.eye(3), np.array([10.0, 0, 0]))
    ros = covariance_to_ros(np.diag([0, 0, 1e-4, 0, 0, 0]), T)  # 0.01 rad about z, 10 m away: 0.1 m along y
    expected = np.zeros((6, 6))
    expected[1, 1], expected[5, 5], expected[1, 5], expected[5, 1] = 1e-2, 1e-4, 1e-3, 1e-3
    np.testing.assert_allclose(ros, expected, atol=1e-15)
