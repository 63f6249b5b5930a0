"""Rigid motions: known answers, round trips near zero and near pi, exact errors, finite gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3

ANGLES = [0.0, 1e-12, 1e-7, 1e-3, 0.3, 0.999, 1.001, 2.0, 3.0, math.pi - 1e-3, math.pi - 1e-7]
KINDS = {"numpy": np.asarray, "torch": torch.as_tensor}

unit = st.floats(-1, 1, allow_nan=False).filter(lambda v: abs(v) > 1e-3)
axes = st.tuples(unit, unit, unit).map(lambda v: np.array(v) / np.linalg.norm(v))
shifts = st.tuples(*[st.floats(-100, 100, allow_nan=False)] * 3).map(np.array)


def twists(angle: float, count: int = 8) -> np.ndarray:
    """(count, 6) seeded twists whose rotation has this angle."""
    rng = np.random.default_rng(1)
    axis = rng.normal(size=(count, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    return np.concatenate([angle * axis, rng.normal(size=(count, 3))], -1)


def generator(xi: np.ndarray) -> np.ndarray:
    """The 4x4 matrix whose matrix exponential is the motion of xi (6,)."""
    x, y, z = xi[:3]
    return np.array([[0, -z, y, xi[3]], [z, 0, -x, xi[4]], [-y, x, 0, xi[5]], [0, 0, 0, 0]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("angle", ANGLES)
def test_exp_is_the_matrix_exponential(kind: str, angle: float) -> None:
    xi = twists(angle)
    T = se3.exp_se3(KINDS[kind](xi))
    assert np.allclose(np.asarray(T), [expm(generator(x)) for x in xi], atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("angle", ANGLES)
def test_log_undoes_exp_in_float64(kind: str, angle: float) -> None:
    xi = twists(angle)
    back = np.asarray(se3.log_se3(se3.exp_se3(KINDS[kind](xi))))
    assert np.abs(back - xi).max() < 1e-12


@pytest.mark.parametrize("angle", [a for a in ANGLES if a < 3.1])
def test_float32_stays_float32_and_loses_only_rounding(angle: float) -> None:
    for xi in (twists(angle).astype(np.float32), torch.as_tensor(twists(angle), dtype=torch.float32)):
        T = se3.exp_se3(xi)
        back = se3.log_se3(T)
        assert T.dtype == xi.dtype and back.dtype == xi.dtype
        assert float(abs(back - xi).max()) < 3e-6


def test_log_at_exactly_pi_has_length_pi() -> None:
    for diagonal in ([1, -1, -1], [-1, 1, -1], [-1, -1, 1]):
        R = np.diag(np.array(diagonal, dtype=float))
        w = se3.log_so3(R)
        assert np.linalg.norm(w) == pytest.approx(math.pi, abs=1e-15)
        assert np.allclose(se3.exp_so3(w), R, atol=1e-15)


@settings(deadline=None, max_examples=60)
@given(axes, st.floats(0, math.pi - 1e-6), shifts)
def test_round_trip_anywhere(axis: np.ndarray, angle: float, shift: np.ndarray) -> None:
    T = se3.make(se3.exp_so3(angle * axis), shift)
    assert np.allclose(se3.exp_se3(se3.log_se3(T)), T, atol=1e-9)
    assert np.allclose(se3.inverse(T) @ T, np.eye(4), atol=1e-11)
    assert se3.rotation_angle(T) == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.5, 2.0, 3.1])
def test_torch_gradients_are_finite_and_right(angle: float) -> None:
    xi = torch.as_tensor(twists(angle, 3)).requires_grad_()
    assert torch.autograd.gradcheck(se3.exp_se3, xi, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: se3.log_se3(se3.exp_se3(x)), xi, atol=1e-6)
    if angle > 1e-3:
        assert torch.autograd.gradcheck(lambda x: se3.rotation_angle(se3.exp_so3(x[:, :3])), xi, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_gradients_at_identity_have_no_nan(dtype: torch.dtype) -> None:
    xi = torch.zeros(2, 6, dtype=dtype, requires_grad=True)
    T = se3.exp_se3(xi)
    identity = torch.eye(4, dtype=dtype)
    for value in (T, se3.log_se3(T), se3.rotation_angle(T), se3.rotation_error_deg(T, identity)):
        (gradient,) = torch.autograd.grad(value.sum(), xi, retain_graph=True)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("degrees", [1e-6, 1e-5, 1e-3, 0.01, 1.0, 45.0, 179.0, 179.999])
@pytest.mark.parametrize("kind", KINDS)
def test_rotation_error_of_float32_poses_is_exact(degrees: float, kind: str) -> None:
    """Against the angle that the float32 numbers stand for, and against the one they were made from."""
    T = np.eye(4, dtype=np.float32)
    T[:3, :3] = se3.exp_so3(np.radians(degrees) * np.array([0.0, 0.0, 1.0]))
    exact = math.degrees(math.atan2(float(T[1, 0]) - float(T[0, 1]), 2 * float(T[0, 0])))
    error = se3.rotation_error_deg(KINDS[kind](T), KINDS[kind](np.eye(4, dtype=np.float32)))
    assert float(error) == pytest.approx(exact, abs=1e-9)
    assert float(error) == pytest.approx(degrees, abs=1e-6 if degrees < 1 else 1e-5)  # float32 rounds T itself


def test_rotation_error_between_float32_poses_adds_nothing_of_its_own() -> None:
    rng = np.random.default_rng(0)
    R_true = Rotation.random(200, random_state=0).as_matrix().astype(np.float32)
    turn = np.radians(rng.uniform(0, 0.05, (200, 1))) * np.array([0.6, 0.0, 0.8])
    R_est = (se3.exp_so3(turn) @ R_true).astype(np.float32)
    wide = R_est.astype(np.longdouble).swapaxes(-1, -2) @ R_true.astype(np.longdouble)
    skew = np.stack([wide[:, 2, 1] - wide[:, 1, 2], wide[:, 0, 2] - wide[:, 2, 0], wide[:, 1, 0] - wide[:, 0, 1]], -1)
    exact = np.degrees(np.arctan2(np.sqrt((skew**2).sum(-1)), np.trace(wide, axis1=-2, axis2=-1) - 1))
    T_est, T_true = (se3.make(R, np.zeros(3)) for R in (R_est, R_true))
    assert np.abs(se3.rotation_error_deg(T_est, T_true) - exact).max() < 1e-9
    assert np.abs(se3.rotation_error_deg(torch.tensor(T_est), torch.tensor(T_true)).numpy() - exact).max() < 1e-9
    assert se3.rotation_error_deg(T_est, T_true).dtype == np.float64


def test_translation_error_and_euler_sum() -> None:
    T_true = se3.make(Rotation.from_euler("zyx", [40, 10, -5], degrees=True).as_matrix(), [1.0, 2.0, 3.0])
    T_est = T_true @ se3.make(Rotation.from_euler("zyx", [7, -11, 13], degrees=True).as_matrix(), np.zeros(3))
    T_est[:3, 3] = [1.0, 2.3, 3.4]
    assert se3.translation_error_m(T_est, T_true) == pytest.approx(0.5, abs=1e-12)
    published = Rotation.from_matrix((np.linalg.inv(T_est) @ T_true)[:3, :3]).as_euler("xzy", degrees=True)
    assert se3.euler_sum_deg(T_est, T_true) == pytest.approx(np.abs(published).sum(), abs=1e-9)
    assert se3.euler_sum_deg(T_est, T_true) > se3.rotation_error_deg(T_est, T_true)


def test_transform_one_and_many() -> None:
    T = se3.make(se3.exp_so3(np.array([0, 0, math.pi / 2])), [1.0, 0.0, 0.0])
    assert np.allclose(se3.transform(T, np.array([1.0, 0.0, 5.0])), [1, 1, 5])
    batch = se3.exp_se3(twists(0.4))
    points = np.random.default_rng(0).normal(size=(8, 5, 3))
    each = np.stack([p @ M[:3, :3].T + M[:3, 3] for M, p in zip(batch, points, strict=True)])
    assert np.allclose(se3.transform(batch, points), each)
    moved = se3.transform(batch, torch.tensor(points, dtype=torch.float32))
    assert moved.dtype == torch.float32 and np.allclose(moved.numpy(), each, atol=1e-5)


def test_make_broadcasts_either_part() -> None:
    assert se3.make(np.eye(3), np.zeros((4, 2, 3))).shape == (4, 2, 4, 4)
    assert se3.make(torch.eye(3).expand(5, 3, 3), torch.ones(3)).shape == (5, 4, 4)


def test_adjoint_carries_a_twist_through_a_motion() -> None:
    T, xi = se3.exp_se3(twists(1.2)), 0.3 * twists(0.7)
    through = (se3.adjoint(T) @ xi[..., None])[..., 0]
    assert np.allclose(T @ se3.exp_se3(xi) @ se3.inverse(T), se3.exp_se3(through), atol=1e-12)


def test_check_transform_repairs_rounding_and_keeps_the_rest() -> None:
    T = se3.exp_se3(twists(0.8)[0])
    clean = se3.check_transform(np.round(T, 3).tolist(), "calib.json")
    assert np.allclose(clean[:3, :3].T @ clean[:3, :3], np.eye(3), atol=1e-14)
    assert se3.rotation_error_deg(clean, T) < 0.06
    assert np.allclose(clean[:3, 3], np.round(T[:3, 3], 3))


@pytest.mark.parametrize(("damage", "word"), [
    (lambda T: T[:3], "4x4"), (lambda T: T * np.nan, "NaN"), (lambda T: [[1, 2], [3]], "4 numbers"),
    (lambda T: np.diag([1.0, 1.0, -1.0, 1.0]), "not a rotation"), (lambda T: np.diag([2.0, 2.0, 2.0, 1.0]), "rotation"),
    (lambda T: np.diag([1.01, 1.0, 1.0, 1.0]), "rotation"), (lambda T: T.T, "last row"), (lambda T: 0 * T, "last row"),
    (lambda T: [["a"] * 4] * 4, "4 numbers"),
])
def test_check_transform_says_what_is_wrong(damage, word: str) -> None:
    T = se3.exp_se3(twists(0.8)[0])
    with pytest.raises(InputError, match=word) as caught:
        se3.check_transform(damage(T), "extrinsics.yaml")
    assert "extrinsics.yaml" in str(caught.value)


def test_perturb_errs_by_what_was_drawn_and_follows_its_seed() -> None:
    T = se3.exp_se3(twists(1.0)[0])
    wrong = [se3.perturb(T, np.random.default_rng(seed), 10, 0.5) for seed in range(300)]
    degrees = np.array([se3.rotation_error_deg(W, T) for W in wrong])
    metres = np.array([se3.translation_error_m(W, T) for W in wrong])
    assert degrees.max() <= 10 and metres.max() <= 0.5
    assert degrees.mean() == pytest.approx(5, abs=0.6) and metres.mean() == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(wrong[7], se3.perturb(T, np.random.default_rng(7), 10, 0.5))
    assert np.allclose(se3.perturb(T, np.random.default_rng(0), 0, 0), T, atol=1e-15)
