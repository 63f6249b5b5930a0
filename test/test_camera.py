"""Cameras: every model against OpenCV, there and back, the edge of its range, resizing, and bad intrinsics."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.errors import InputError
from crossi2p_core.geometry import camera_models
from crossi2p_core.types import Camera

K = np.array([[500.0, 0.0, 310.0], [0.0, 520.0, 250.0], [0.0, 0.0, 1.0]])
WIDTH, HEIGHT = 640, 480
LENSES = {
    "none": ("none", []),
    "plumb_bob": ("plumb_bob", [-0.3, 0.1, 1e-3, -2e-3, -0.01]),
    "plumb_bob of 4": ("plumb_bob", [0.1, 0.05, -5e-3, 2e-3]),
    "rational": ("rational_polynomial", [0.5, -2.7, 1e-3, -5e-4, 1.6, 0.4, -2.5, 1.5]),
    "rational of 14": ("rational_polynomial", [0.2, -0.1, 1e-3, 1e-3, 0.01, 0.3, -0.05, 0.02] + 6 * [0.0]),
    "fisheye": ("equidistant", [-0.02, 4e-3, -3e-3, 5e-4]),
    "plain fisheye": ("equidistant", [0.0, 0.0, 0.0, 0.0]),
}
FOLDING = ("plumb_bob", [-0.4, 0.0, 0.0, 0.0, 0.0])  # 1 - 1.2 r^2 = 0: folds at r = 0.913


def camera(name: str) -> Camera:
    model, D = LENSES[name]
    return Camera(K, WIDTH, HEIGHT, model, np.array(D))


def opencv_pixels(points: np.ndarray, lens: Camera) -> np.ndarray:
    """Pixels (N, 2) of points (N, 3) by OpenCV."""
    zero = np.zeros(3)
    if lens.model == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, lens.K, lens.distortion)[0][:, 0]
    return cv2.projectPoints(points[:, None], zero, zero, lens.K, lens.distortion)[0][:, 0]


def scattered(count: int = 500) -> np.ndarray:
    """(count, 3) seeded points in front of the camera, up to 40 degrees off the axis."""
    rng = np.random.default_rng(0)
    plane = rng.uniform((-0.6, -0.5), (0.6, 0.5), (count, 2))
    return np.concatenate([plane, np.ones((count, 1))], -1) * rng.uniform(0.5, 60, (count, 1))


@pytest.mark.parametrize("name", LENSES)
def test_project_agrees_with_opencv(name: str) -> None:
    points, lens = scattered(), camera(name)
    uv, valid = lens.project(points)
    assert valid.mean() > 0.8
    assert np.abs(uv - opencv_pixels(points, lens)).max() < 1e-9


@pytest.mark.parametrize("name", LENSES)
@settings(deadline=None, max_examples=40)
@given(u=st.floats(0, WIDTH - 1), v=st.floats(0, HEIGHT - 1), distance=st.floats(0.1, 100))
def test_pixel_to_ray_and_back(name: str, u: float, v: float, distance: float) -> None:
    lens, uv = camera(name), np.array([u, v])
    ray = lens.unproject(uv)
    back, valid = lens.project(ray * distance)
    assert np.linalg.norm(ray) == pytest.approx(1, abs=1e-12)
    assert np.abs(back - uv).max() < 1e-9
    inside = (0.001 < u < WIDTH - 1.001) and (0.001 < v < HEIGHT - 1.001)
    assert valid or not inside


@pytest.mark.parametrize("name", LENSES)
def test_torch_gives_numpys_answer_in_any_shape(name: str) -> None:
    lens, points = camera(name), scattered(60).reshape(3, 20, 3)
    uv, valid = lens.project(points)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 5e-3)):
        uv_torch, valid_torch = lens.project(torch.tensor(points, dtype=dtype))
        assert uv_torch.dtype == dtype and uv_torch.shape == (3, 20, 2)
        assert np.abs(uv_torch.numpy() - uv).max() < tolerance
        assert np.array_equal(valid_torch.numpy(), valid)
        rays = lens.unproject(torch.tensor(uv, dtype=dtype))
        assert rays.dtype == dtype
        assert np.abs(rays.numpy() - lens.unproject(uv)).max() < 1e-6
    uv_single, _ = lens.project(points.astype(np.float32))
    assert uv_single.dtype == np.float32 and np.abs(uv_single - uv).max() < 5e-3


@pytest.mark.parametrize("name", LENSES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    lens = camera(name)
    points = torch.tensor(np.concatenate([scattered(6), [[0.0, 0.0, 2.0]]])).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: lens.project(p)[0], points, atol=1e-5)
    pixels = torch.tensor([[30.0, 40.0], [310.0, 200.0], [600.0, 470.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lens.unproject, pixels, atol=1e-6)


def test_nothing_in_nothing_out() -> None:
    for name in LENSES:
        uv, valid = camera(name).project(np.zeros((0, 3)))
        assert uv.shape == (0, 2) and valid.shape == (0,)
        assert camera(name).unproject(np.zeros((0, 2))).shape == (0, 3)


@pytest.mark.parametrize("name", [*LENSES, "folding"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_awkward_points_are_invalid_or_finite_and_never_nan(name: str, dtype: torch.dtype) -> None:
    lens = camera(name) if name in LENSES else Camera(K, WIDTH, HEIGHT, FOLDING[0], np.array(FOLDING[1]))
    points = torch.tensor([[0, 0, 0], [0, 0, -5], [3, 1, 0], [1e5, -1e5, 1e-5], [1e-30, 0, 1], [-2, 1, -9], [50, 0, 1]],
                          dtype=dtype, requires_grad=True)
    uv, valid = lens.project(points)
    (gradient,) = torch.autograd.grad(uv.sum(), points)
    assert uv.isfinite().all() and gradient.isfinite().all()
    assert valid.tolist() == [False, False, False, False, True, False, False]


def test_beyond_the_fold_nothing_is_valid() -> None:
    """A ray at r = 1.2 lands by the formula inside the image, on a pixel that belongs to another ray."""
    lens = Camera(K, 1200, 900, FOLDING[0], np.array(FOLDING[1]))
    fold = math.sqrt(1 / 1.2)
    assert camera_models.max_radius(lens.model, lens.distortion) == pytest.approx(fold, abs=1e-12)
    _, valid = lens.project(np.array([[r, 0.0, 1.0] for r in (0.5, fold - 1e-6, fold + 1e-6, 1.2, 1.5)]))
    assert valid.tolist() == [True, True, False, False, False]
    ray = lens.unproject(np.array([1150.0, 250.0]))  # no ray reaches this pixel
    assert ray[0] / ray[2] == pytest.approx(fold, abs=1e-6)


@pytest.mark.parametrize(("model", "D", "radius"), [
    ("none", [], math.inf), ("plumb_bob", [0.1, 0.1, 0, 0, 0.1], math.inf), ("plumb_bob", [-0.3, 0.1, 0, 0], math.inf),
    ("plumb_bob", [0.0, 0.0, 0, 0, -1 / 7], 1.0), ("rational_polynomial", [0, 0, 0, 0, 0, -0.25, 0, 0], 2.0),
    ("equidistant", [0, 0, 0, 0], math.pi), ("equidistant", [-1 / 3, 0, 0, 0], 1.0),
])
def test_max_radius_is_where_the_slope_first_vanishes(model: str, D: list[float], radius: float) -> None:
    assert camera_models.max_radius(model, np.array(D)) == pytest.approx(radius, abs=1e-9)


def test_fisheye_sees_behind_itself() -> None:
    lens = Camera(np.array([[200.0, 0, 400], [0, 200, 400], [0, 0, 1]]), 801, 801, "equidistant", np.zeros(4))
    angles = np.radians([0, 60, 90, 100, 110])
    points = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)
    uv, valid = lens.project(7 * points)
    assert valid.all() and np.allclose(uv[:, 0], 400 + 200 * angles)
    assert np.allclose(lens.unproject(uv), points, atol=1e-12)


def test_valid_pixels_can_be_rounded_and_floored() -> None:
    lens = Camera(np.eye(3), 4, 3)
    edges = np.array([[0, 0, 1], [3, 2, 1], [-1e-9, 0, 1], [3 + 1e-9, 0, 1], [0, 2.01, 1]], dtype=float)
    assert lens.project(edges)[1].tolist() == [True, True, False, False, False]


def test_skew_is_honoured_both_ways() -> None:
    skewed = K + np.array([[0, 7.0, 0], [0, 0, 0], [0, 0, 0]])
    lens = Camera(skewed, WIDTH, HEIGHT)
    uv, _ = lens.project(np.array([0.2, 0.1, 1.0]))
    assert np.allclose(uv, [500 * 0.2 + 7 * 0.1 + 310, 520 * 0.1 + 250])
    assert np.allclose(lens.unproject(uv) / lens.unproject(uv)[2], [0.2, 0.1, 1])


@pytest.mark.parametrize("name", ["none", "plumb_bob", "fisheye"])
def test_resize_scale_and_crop_keep_the_rays(name: str) -> None:
    """A pixel's area covers the same rays after resizing: its corner, not its centre, is scaled."""
    lens, uv = camera(name), np.array([[100.0, 50.0], [333.25, 401.5]])
    half = lens.scale(0.5)
    assert (half.width, half.height) == (320, 240)
    assert np.allclose(half.unproject((uv + 0.5) * 0.5 - 0.5), lens.unproject(uv), atol=1e-9)
    wide = lens.resize(1280, 480)
    assert np.allclose(wide.unproject((uv + 0.5) * [2, 1] - 0.5), lens.unproject(uv), atol=1e-9)
    window = lens.crop(60, 20, 300, 400)
    assert (window.width, window.height) == (300, 400)
    assert np.allclose(window.unproject(uv - [60, 20]), lens.unproject(uv), atol=1e-9)


def test_resized_image_and_resized_camera_agree() -> None:
    """OpenCV's area resampling of a bright spot moves it to where the resized camera sees it."""
    lens, point = camera("none"), np.array([0.1, -0.05, 1.0])
    (u, v), _ = lens.project(point)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    small = cv2.resize(np.exp(-((x - u) ** 2 + (y - v) ** 2) / 200.0), (160, 120), interpolation=cv2.INTER_AREA)
    x, y = np.meshgrid(np.arange(160), np.arange(120))
    spot = np.array([(small * x).sum(), (small * y).sum()]) / small.sum()
    assert np.allclose(lens.resize(160, 120).project(point)[0], spot, atol=1e-3)


def test_from_info_applies_the_window_before_the_binning() -> None:
    lens = Camera.from_info(K.reshape(-1), [0.1, 0, 0, 0, 0], "plumb_bob", WIDTH, HEIGHT, binning=(2, 2),
                            roi=(100, 40, 200, 300))
    assert (lens.width, lens.height, lens.model) == (100, 150, "plumb_bob")
    uv = np.array([150.0, 200.0])
    expected = camera_models.unproject(uv, K, "plumb_bob", np.array([0.1, 0, 0, 0, 0]))
    assert np.allclose(lens.unproject((uv - [100, 40] + 0.5) / 2 - 0.5), expected, atol=1e-9)
    whole = Camera.from_info(K.reshape(-1), [], "", WIDTH, HEIGHT, binning=(0, 0), roi=(0, 0, 0, 0))
    assert (whole.width, whole.height, whole.model) == (WIDTH, HEIGHT, "none") and np.array_equal(whole.K, K)


def test_from_info_of_a_rectified_image_uses_p_alone() -> None:
    P = [400, 0, 300, -40, 0, 400, 200, 0, 0, 0, 1, 0]
    lens = Camera.from_info(K.reshape(-1), [0.1, 0, 0, 0, 0], "plumb_bob", WIDTH, HEIGHT, P=P, rectified=True)
    assert lens.model == "none" and lens.K[0].tolist() == [400, 0, 300]
    with pytest.raises(InputError, match="projection matrix"):
        Camera.from_info(K.reshape(-1), [], "plumb_bob", WIDTH, HEIGHT, rectified=True)


@pytest.mark.parametrize(("name", "D", "model"), [
    ("", None, "none"), ("none", [], "none"), ("plumb_bob", [], "none"), ("plumb_bob", [0.0] * 5, "none"),
    ("plumb_bob", [0.1, 0, 0, 0], "plumb_bob"), ("plumb_bob", [0.1] * 8, "rational_polynomial"),
    ("rational_polynomial", [0.1] * 8, "rational_polynomial"), ("rational_polynomial", [0.1] * 5, "plumb_bob"),
    ("rational_polynomial", [0.0] * 8, "none"), ("equidistant", [0.0] * 4, "equidistant"),
    ("fisheye", [0.1] * 4, "equidistant"), ("", [0.1] * 5, "plumb_bob"), ("Plumb Bob", [0.1] * 5, "plumb_bob"),
])
def test_names_of_models(name: str, D: list[float] | None, model: str) -> None:
    assert camera_models.canonical_model(name, D) == model


@pytest.mark.parametrize(("name", "D", "word"), [
    ("omnidirectional", [0.1] * 5, "omnidirectional"), ("none", [0.1] * 5, "not zero"),
    ("", [0.1] * 4, "say plumb_bob"), ("plumb_bob", ["a", "b"], "numbers"),
])
def test_contradicting_models_are_refused(name: str, D: list, word: str) -> None:
    with pytest.raises(InputError, match=word):
        camera_models.canonical_model(name, D)


def test_a_lens_whose_range_ends_at_a_pole_is_followed_up_to_it() -> None:
    D = [0.1, 0.02, 0, 0, 0, -0.3, 0, 0]
    camera = Camera(K, WIDTH, HEIGHT, "rational_polynomial", D)
    rays = camera.unproject(np.array([[10.0, 10.0], [WIDTH / 2, HEIGHT / 2], [1e7, 1e7]]))
    assert np.isfinite(rays[:2]).all()
    uv, valid = camera.project(rays[:2])
    assert valid.all() and np.allclose(uv, [[10.0, 10.0], [WIDTH / 2, HEIGHT / 2]], atol=1e-6)


@pytest.mark.parametrize(("change", "word"), [
    ({"K": np.diag([1e200, 1e200, 1.0])}, "beyond 1e\\+09"),
    ({"model": "rational_polynomial", "distortion": [1e200, 0, 0, 0, 0, 0, 0, 1e200]}, "beyond 1e\\+09"),
    ({"K": np.zeros((3, 3))}, "not calibrated"), ({"K": K * np.nan}, "NaN"), ({"K": K[:2]}, "3x3"),
    ({"K": K.T}, "transposed"), ({"K": K * [[-1], [1], [1]]}, "focal"), ({"K": np.diag([500.0, 0.0, 1.0])}, "focal"),
    ({"K": K * 2}, "row by row"), ({"width": 0}, "size"), ({"height": -3}, "size"), ({"model": "brown"}, "not known"),
    ({"model": "plumb_bob", "distortion": [0.1, 0.2]}, "2 were given"),
    ({"model": "plumb_bob", "distortion": [0.1] * 8}, "8 were given"),
    ({"model": "equidistant", "distortion": [0.1] * 5}, "5 were given"),
    ({"model": "equidistant", "distortion": []}, "0 were given"),
    ({"model": "none", "distortion": [0.1] * 5}, "5 were given"),
    ({"model": "plumb_bob", "distortion": [0.1, np.inf, 0, 0, 0]}, "infinite"),
    ({"model": "rational_polynomial", "distortion": [0.1] * 12}, "thin-prism"),
    ({"model": "rational_polynomial", "distortion": [0.1] * 15}, "15 were given"),
])
def test_bad_intrinsics_are_refused_in_words(change: dict, word: str) -> None:
    fields = {"K": K, "width": WIDTH, "height": HEIGHT} | change
    with pytest.raises(InputError, match=word):
        Camera(**fields)
