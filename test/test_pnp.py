"""Poses from matches: every lens, up to 90 % wrong matches, honest covariance, honest refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.datasets.clouds import read_cloud
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.safe_yaml import read_plain
from crossi2p_core.solve.nonlinear import Loss, _cost, _normal_equations, fit_pose
from crossi2p_core.solve.pnp import solve_pnp
from crossi2p_core.solve.projection_jacobian import pixel_by_point, pixel_by_pose
from crossi2p_core.types import Camera

K = np.array([[420.0, 0.5, 322], [0, 430, 238], [0, 0, 1]])
CAMERAS = {
    "none": Camera(K, 640, 480),
    "plumb_bob": Camera(K, 640, 480, "plumb_bob", np.array([-0.25, 0.08, 1e-3, -2e-3, -0.01])),
    "rational": Camera(K, 640, 480, "rational_polynomial", np.array([0.4, 0.1, 1e-3, -5e-4, 0.01, 0.7, 0.2, 0.03])),
    "fisheye": Camera(np.array([[190.0, 0, 320], [0, 191, 240], [0, 0, 1]]), 640, 480, "equidistant",
                      np.array([0.02, -0.01, 3e-3, -5e-4])),
}
T_TRUE = se3.exp_se3(np.array([1.2, -1.1, 1.3, 0.4, -0.3, 0.8]))


def matches(camera: Camera, n: int, wrong: float = 0.0, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """LiDAR points (n, 3), pixels (n, 2), and which matches are right (n,)."""
    rng = np.random.default_rng(seed)
    uv = rng.uniform([0, 0], [camera.width - 1, camera.height - 1], (2 * n, 2))
    reached = np.abs(camera.project(camera.unproject(uv))[0] - uv).max(axis=1) < 1e-6  # no ray reaches fisheye corners
    uv = uv[reached][:n]
    points = se3.transform(se3.inverse(T_TRUE), camera.unproject(uv) * rng.uniform(3, 50, (n, 1)))
    uv = uv + noise * rng.normal(size=(n, 2))
    right = np.arange(n) >= round(wrong * n)
    uv[~right] = rng.uniform([0, 0], [camera.width - 1, camera.height - 1], ((~right).sum(), 2))
    return points, uv, right


def errors(T: np.ndarray | None) -> tuple[float, float]:
    assert T is not None
    return float(se3.rotation_error_deg(T, T_TRUE)), float(se3.translation_error_m(T, T_TRUE))


@pytest.mark.parametrize("wrong", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("backend", ["magsac", "poselib", "auto"])
@pytest.mark.parametrize("model", CAMERAS)
def test_the_pose_is_found_among_wrong_matches(model: str, backend: str, wrong: float) -> None:
    points, uv, right = matches(CAMERAS[model], 400, wrong)
    result = solve_pnp(points, uv, CAMERAS[model], backend, seed=3)
    assert result.status == "ok", result.reason
    degrees, metres = errors(result.T_cam_lidar)
    assert degrees < 0.5 and metres < 0.1
    assert result.inliers[right].mean() > 0.95 and result.inliers[~right].sum() <= 3
    assert 0.8 < result.reprojection_px < 1.6


@pytest.mark.parametrize("n", [4, 5, 8])
def test_few_exact_matches_suffice(n: int) -> None:
    points, uv, _ = matches(CAMERAS["plumb_bob"], n, noise=0.0, seed=n)
    for backend in ("magsac", "poselib"):
        result = solve_pnp(points, uv, CAMERAS["plumb_bob"], backend)
        assert result.status == "ok", result.reason
        assert max(errors(result.T_cam_lidar)) < 1e-6


def test_both_backends_agree_and_leave_the_camera_alone() -> None:
    camera = CAMERAS["rational"]
    points, uv, _ = matches(camera, 300, 0.7)
    a, b = (solve_pnp(points, uv, camera, backend) for backend in ("magsac", "poselib"))
    assert se3.rotation_error_deg(a.T_cam_lidar, b.T_cam_lidar) < 2e-3  # a twentieth of the error itself
    np.testing.assert_array_equal(camera.K, K)
    np.testing.assert_array_equal(solve_pnp(points, uv, camera, seed=5).T_cam_lidar,
                                  solve_pnp(points, uv, camera, seed=5).T_cam_lidar)


@pytest.mark.parametrize(("model", "wrong"), [("none", 0.0), ("plumb_bob", 0.5), ("fisheye", 0.0)])
def test_the_covariance_is_as_large_as_the_errors(model: str, wrong: float) -> None:
    squared = []
    for seed in range(60):
        points, uv, _ = matches(CAMERAS[model], 160, wrong, seed=seed)
        result = solve_pnp(points, uv, CAMERAS[model], "poselib", max_iterations=500)
        assert result.T_cam_lidar is not None
        xi = se3.log_se3(T_TRUE @ se3.inverse(result.T_cam_lidar))  # exp(xi) T_found = T_true
        squared.append(xi @ np.linalg.solve(result.covariance, xi))
    # 6 degrees of freedom: mean 6, standard error of 60 runs 0.45; 12.6 is the 95 % ellipsoid
    assert 4.5 < np.mean(squared) < 7.5
    assert np.mean(np.array(squared) < 12.6) >= 0.86


def test_wide_rays_join_in_the_polishing() -> None:
    camera = CAMERAS["fisheye"]
    points, uv, _ = matches(camera, 300)
    beyond = camera.unproject(uv)[:, 2] < np.cos(np.radians(80))
    assert beyond.sum() > 20
    assert solve_pnp(points, uv, camera).inliers[beyond].mean() > 0.95
    result = solve_pnp(points[beyond], uv[beyond], camera)
    assert result.status == "failed" and "75 degrees" in result.reason
    assert solve_pnp(points[beyond], uv[beyond], camera, prior=T_TRUE).status == "ok"


POINTS, PIXELS, _ = matches(CAMERAS["none"], 50, noise=0.0)
LINE = np.array([5.0, 1, 2]) + np.linspace(0, 10, 50)[:, None] * [[0.3, 0.5, -0.2]]


@pytest.mark.parametrize(("points", "uv", "reason"), [
    (POINTS[:0], PIXELS[:0], "0 matches; a pose needs at least 4"),
    (POINTS[:3], PIXELS[:3], "3 matches"),
    (LINE, PIXELS, "lie on one line"),
    (np.repeat(POINTS[:3], 20, axis=0), np.repeat(PIXELS[:3], 20, axis=0), "fewer than 4 different points"),
    (POINTS, np.full((50, 2), 100.0), "fewer than 4 different pixels"),
    (np.full((50, 3), np.nan), PIXELS, r"0 matches.*50 matches with NaN or Inf left out"),
    (POINTS, np.full((50, 2), np.inf), "50 matches with NaN or Inf"),
    (POINTS * 1e-30, PIXELS, "consensus|line"),
])
@pytest.mark.parametrize("backend", ["magsac", "poselib"])
def test_degenerate_matches_are_refused_in_words(points: np.ndarray, uv: np.ndarray, reason: str, backend: str) -> None:
    result = solve_pnp(points, uv, CAMERAS["none"], backend)
    assert result.status == "failed" and result.T_cam_lidar is None and not result.inliers.any()
    assert np.isinf(np.diag(result.covariance)).all()
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("n", [4, 6, 10, 100, 1000])
@pytest.mark.parametrize("backend", ["magsac", "poselib"])
def test_wrong_matches_alone_never_make_a_pose(n: int, backend: str) -> None:
    for seed in range(3):
        points, uv, _ = matches(CAMERAS["none"], n, wrong=1.0, seed=seed)
        result = solve_pnp(points, uv, CAMERAS["none"], backend, max_iterations=1000, prior=T_TRUE)
        assert result.status == "failed" and "no consensus" in result.reason
        np.testing.assert_allclose(np.asarray(result.T_cam_lidar), T_TRUE)


def test_matches_with_nan_are_left_out_and_mentioned() -> None:
    points, uv, _ = matches(CAMERAS["none"], 60)
    points[3, 1], uv[7, 0] = np.nan, np.inf
    result = solve_pnp(points, uv, CAMERAS["none"])
    assert result.status == "ok" and not result.inliers[[3, 7]].any()
    assert "2 matches with NaN or Inf left out" in result.reason


def test_a_good_prior_rescues_what_the_search_misses() -> None:
    points, uv, right = matches(CAMERAS["none"], 2000, wrong=0.985)
    guess = se3.perturb(T_TRUE, np.random.default_rng(0), 0.1, 0.02)
    assert solve_pnp(points, uv, CAMERAS["none"], "magsac", max_iterations=20).status == "failed"
    result = solve_pnp(points, uv, CAMERAS["none"], "magsac", max_iterations=20, prior=guess)
    assert result.status == "ok" and result.inliers[right].mean() > 0.9


@pytest.mark.parametrize(("change", "message"), [
    ({"backend": "epnp"}, "use auto, magsac or poselib"),
    ({"threshold_px": 0}, "threshold must be a positive"),
    ({"threshold_px": float("nan")}, "threshold must be a positive"),
    ({"confidence": 1.0}, "confidence must lie between"),
    ({"max_iterations": 0}, "max_iterations above 0"),
    ({"prior": np.zeros((4, 4))}, "prior"),
    ({"uv": PIXELS[:-1]}, "matches need points"),
    ({"points": POINTS[:, :2]}, "matches need points"),
])
def test_arguments_that_make_no_sense(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        solve_pnp(**{"points": POINTS, "uv": PIXELS, "camera": CAMERAS["none"], **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("model", CAMERAS)
def test_jacobians_are_the_finite_differences(model: str) -> None:
    camera, h = CAMERAS[model], 1e-6
    rng = np.random.default_rng(1)
    points = camera.unproject(rng.uniform([0, 0], [639, 479], (40, 2))) * rng.uniform(2, 30, (40, 1))
    points = np.vstack([points, [[0, 0, 5], [1e-9, 0, 5], [3e-4, -2e-4, 4]]])
    steps = h * np.eye(3)
    numeric = np.stack([(camera.project(points + d)[0] - camera.project(points - d)[0]) / (2 * h) for d in steps], -1)
    np.testing.assert_allclose(pixel_by_point(points, camera), numeric, rtol=1e-5, atol=1e-4)
    moves = [(se3.exp_se3(d), se3.exp_se3(-d)) for d in h * np.eye(6)]
    numeric = np.stack([(camera.project(se3.transform(a, points))[0] - camera.project(se3.transform(b, points))[0])
                        / (2 * h) for a, b in moves], -1)
    np.testing.assert_allclose(pixel_by_pose(points, camera), numeric, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("loss", ["cauchy", "huber"])
def test_the_gradient_is_the_slope_of_the_cost(loss: Loss) -> None:
    camera = CAMERAS["plumb_bob"]
    points, uv, _ = matches(camera, 60, noise=3.0)
    T, h = se3.perturb(T_TRUE, np.random.default_rng(0), 0.2, 0.02), 1e-6
    _, gradient = _normal_equations(T, points, uv, camera, 2.0, loss)
    numeric = [(_cost(se3.exp_se3(d) @ T, points, uv, camera, 2.0, loss)
                - _cost(se3.exp_se3(-d) @ T, points, uv, camera, 2.0, loss)) / (2 * h) for d in h * np.eye(6)]
    np.testing.assert_allclose(2 * gradient, numeric, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("loss", ["cauchy", "huber"])
@pytest.mark.parametrize("model", CAMERAS)
def test_the_fit_converges_from_afar(model: str, loss: Loss) -> None:
    points, uv, _ = matches(CAMERAS[model], 60, noise=0.0)
    start = se3.perturb(T_TRUE, np.random.default_rng(2), 8, 0.5)
    start_inside = fit_pose(start, points, uv, CAMERAS[model], scale_px=50.0, loss=loss)
    assert max(errors(start_inside.T_cam_lidar)) < 1e-6 and not start_inside.reason


def test_matches_rounded_to_cells_on_real_geometry(data_dir: Path) -> None:
    """A network that matches 8 px cells, 80 % of them wrong: what PnP alone then reaches (0.3 deg / 8 cm)."""
    folder = sorted((data_dir / "rigs" / "opencalib").iterdir())[0]
    calib, T = read_plain(folder / "calib.json"), read_calibration(folder / "calib.json")
    camera = Camera(np.array(calib["K"]), calib["width"], calib["height"], calib["distortion_model"],
                    np.array(calib["D"]))
    points = read_cloud(folder / "cloud.bin").xyz.astype(np.float64)
    uv, seen = camera.project(se3.transform(T, points))
    rng = np.random.default_rng(0)
    chosen = rng.choice(np.flatnonzero(seen), 1500, replace=False)
    uv = np.floor(uv[chosen] / 8) * 8 + 3.5
    uv[:1200] = rng.uniform([0, 0], [camera.width, camera.height], (1200, 2))
    result = solve_pnp(points[chosen], uv, camera, threshold_px=8.0)
    assert result.status == "ok", result.reason
    assert se3.rotation_error_deg(result.T_cam_lidar, T) < 0.4 and se3.translation_error_m(result.T_cam_lidar, T) < 0.2
