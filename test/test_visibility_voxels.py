"""Visibility against scenes whose occlusion is known by construction, and thinning of clouds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossi2p_core.errors import InputError
from crossi2p_core.geometry.visibility import point_spacing, visible_mask
from crossi2p_core.geometry.voxels import voxel_downsample
from crossi2p_core.types import Camera

CAMERA = Camera(np.array([[720.0, 0, 620], [0, 720, 187], [0, 0, 1]]), 1242, 375)
LIDAR = np.array([0.9, -0.7, -0.2])  # m, in the camera's frame: right of it and above
BOARD = (-1.5, 0.5, -1.0, 1.5)  # m: left, right, top, bottom
NEAR, FAR, GROUND = 8.0, 25.0, 1.6  # m: distances of board and wall, depth of the ground below the camera


def rays(beams: int, columns: int, roll: bool = False) -> np.ndarray:
    """(beams * columns, 3) directions of a spinning sensor in the camera's frame; roll lays it on its side."""
    elevation = np.repeat(np.radians(np.linspace(-22, 22, beams)), columns)
    azimuth = np.tile(np.radians(np.linspace(-45, 45, columns)), beams)
    across, down = np.cos(elevation) * np.sin(azimuth), -np.sin(elevation)
    ahead = np.cos(elevation) * np.cos(azimuth)
    return np.stack([down, across, ahead] if roll else [across, down, ahead], -1)


def on_board(x: np.ndarray, y: np.ndarray, rim: float = 0.0) -> np.ndarray:
    left, right, top, bottom = BOARD
    return (x > left - rim) & (x < right + rim) & (y > top - rim) & (y < bottom + rim)


def scan(directions: np.ndarray, board: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) that the sensor hits on board, ground or wall, and which of them the board hides from the camera.

    The second array is distance inside the board's outline, as seen by the camera, in metres at the board: positive
    is hidden, negative is free, zero for the points of the board itself.
    """
    with np.errstate(divide="ignore"):
        to_wall, to_ground = FAR / directions[:, 2], (GROUND - LIDAR[1]) / directions[:, 1]
    reach = np.where((to_ground > 0) & (to_ground < to_wall), to_ground, to_wall - LIDAR[2] / directions[:, 2])
    to_board = (NEAR - LIDAR[2]) / directions[:, 2]
    hit = LIDAR + directions * to_board[:, None]
    struck = on_board(hit[:, 0], hit[:, 1]) & (to_board < reach) & board
    points = np.where(struck[:, None], hit, LIDAR + directions * reach[:, None])
    at_board = points / points[:, 2:] * NEAR  # where the camera's ray to the point passes the board's plane
    left, right, top, bottom = BOARD
    x, y = at_board[:, 0], at_board[:, 1]
    within = np.min([x - left, right - x, y - top, bottom - y], axis=0)
    behind = (points[:, 2] > NEAR + 0.01) & board
    return points, np.where(struck, 0.0, np.where(behind, within, -1.0))


@pytest.mark.parametrize(("beams", "columns", "rim"), [(64, 500, 0.12), (32, 270, 0.25), (16, 450, 0.35)])
def test_nothing_shines_through_a_sparse_board(beams: int, columns: int, rim: float) -> None:
    """rim: about one spacing of the sensor at the board; outlines cannot be known better than that."""
    points, within = scan(rays(beams, columns))
    uv, inside = CAMERA.project(points)
    visible = visible_mask(uv, points[:, 2], inside, CAMERA.width, CAMERA.height)
    hidden, free, board = inside & (within > rim), inside & (within < -rim), inside & (within == 0)
    assert hidden.sum() >= 10 and free.sum() > 500 and board.sum() > 50
    assert not visible[hidden].any()
    assert visible[free].mean() > 0.99
    assert visible[board].all()


def test_a_sensor_on_its_side_is_served_as_well() -> None:
    points, within = scan(rays(64, 500, roll=True))
    uv, inside = CAMERA.project(points)
    visible = visible_mask(uv, points[:, 2], inside, CAMERA.width, CAMERA.height)
    assert (inside & (within > 0.25)).sum() > 20
    assert visible[inside & (within > 0.25)].mean() < 0.02
    assert visible[inside & (within < -0.25)].mean() > 0.99


@pytest.mark.parametrize("beams", [16, 32, 64])
def test_slanted_ground_never_hides_itself(beams: int) -> None:
    points, _ = scan(rays(beams, 500), board=False)
    uv, inside = CAMERA.project(points)
    visible = visible_mask(uv, points[:, 2], inside, CAMERA.width, CAMERA.height)
    assert visible[inside].mean() > 0.999


def test_bunched_beams_do_not_hide_the_road_between_them() -> None:
    """Beams five times denser towards the horizon than below, as many sensors have them."""
    elevation = np.radians(np.concatenate([np.linspace(-24, -14, 8), np.linspace(-13.7, -5.3, 30)]))
    azimuth = np.radians(np.linspace(-45, 45, 400))
    E, A = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.cos(E) * np.sin(A), -np.sin(E), np.cos(E) * np.cos(A)], -1).reshape(-1, 3)
    points, _ = scan(directions, board=False)
    uv, inside = CAMERA.project(points)
    visible = visible_mask(uv, points[:, 2], inside, CAMERA.width, CAMERA.height)
    assert visible[inside].mean() > 0.995


def test_a_surface_just_behind_another_is_kept() -> None:
    rng = np.random.default_rng(0)
    uv = rng.uniform((0, 0), (1241, 374), (6000, 2))
    depth = np.where(np.arange(6000) % 2, 10.0, 10.15)
    everywhere = np.ones(6000, dtype=bool)
    assert visible_mask(uv, depth, everywhere, 1242, 375).all()
    depth = np.where(np.arange(6000) % 2, 10.0, 13.0)
    visible = visible_mask(uv, depth, everywhere, 1242, 375)
    assert visible[depth == 10].all() and visible[depth == 13].mean() < 0.15


def test_one_scan_line_hides_what_shines_through_it_sideways() -> None:
    u, v = (a.ravel() for a in np.meshgrid(np.arange(1.0, 1242, 3), np.arange(3.0, 375, 6), indexing="ij"))
    bar = (v == 183) & (np.round((u - 1) / 3) % 2 == 0)
    depth, everywhere = np.where(bar, 10.0, 30.0), np.ones(len(u), dtype=bool)
    visible = visible_mask(np.stack([u, v], -1), depth, everywhere, 1242, 375)
    assert not visible[(v == 183) & ~bar & (u > 9) & (u < 1230)].any()
    assert visible[bar].all() and visible[(v < 170) | (v > 196)].all()


def test_the_margin_protects_what_is_close_to_the_lens() -> None:
    rng = np.random.default_rng(0)
    uv, everywhere = rng.uniform((0, 0), (1241, 374), (6000, 2)), np.ones(6000, dtype=bool)
    depth = np.where(np.arange(6000) % 2, 1.0, 1.18)
    assert visible_mask(uv, depth, everywhere, 1242, 375, margin=0.2).all()
    assert not visible_mask(uv, depth, everywhere, 1242, 375, margin=0.1).all()


def test_what_is_not_inside_hides_nothing_and_is_not_visible() -> None:
    points, within = scan(rays(64, 500))
    uv, inside = CAMERA.project(points)
    kept = inside & (within != 0)  # the board's points are declared outside
    uv[~kept] = 1e7
    visible = visible_mask(uv, np.where(kept, points[:, 2], -1.0), kept, CAMERA.width, CAMERA.height)
    assert not visible[~kept].any() and visible[kept].mean() > 0.99


def test_few_points_and_wrong_shapes() -> None:
    none = visible_mask(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=bool), 10, 10)
    assert none.shape == (0,)
    one = visible_mask(np.array([[1.0, 2.0]]), np.array([3.0]), np.array([True]), 10, 10)
    assert one.tolist() == [True]
    corners = np.tile([[0.0, 0.0], [9.0, 9.0]], (10, 1))
    assert visible_mask(corners, np.full(20, 3.0), np.ones(20, dtype=bool), 10, 10).all()
    with pytest.raises(InputError, match=r"uv \(N, 2\)"):
        visible_mask(np.zeros((5, 2)), np.zeros(4), np.ones(5, dtype=bool), 10, 10)


@pytest.mark.parametrize(("du", "dv"), [(3.0, 5.0), (4.0, 40.0), (10.0, 30.0), (2.0, 2.0)])
def test_spacing_of_a_grid_is_measured(du: float, dv: float) -> None:
    u, v = np.meshgrid(np.arange(0.3, 1242, du), np.arange(0.3, 375, dv))
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, (u.size, 2))
    spacing = point_spacing(np.stack([u.ravel(), v.ravel()], -1) + jitter, 1242, 375)
    assert spacing.dv == pytest.approx(dv, rel=0.15) and spacing.du == pytest.approx(du, rel=0.3)


def test_voxels_keep_the_real_point_nearest_the_mean() -> None:
    xyz = np.array([[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [0.8, 0.9, 0.9], [-0.1, 0.2, 0.3], [5.0, 5.0, 5.0]])
    assert voxel_downsample(xyz, 1.0).tolist() == [1, 3, 4]
    assert voxel_downsample(xyz[::-1], 1.0).tolist() == [0, 1, 3]
    assert voxel_downsample(np.zeros((4, 3)), 0.1).tolist() == [0]
    assert voxel_downsample(np.zeros((0, 3)), 0.1).tolist() == []


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, st.tuples(st.integers(1, 300), st.just(3)), elements=st.floats(-40, 40, width=32)),
       st.sampled_from([0.1, 0.73, 5.0, 100.0]))
def test_voxels_hold_one_point_each_and_the_right_one(xyz: np.ndarray, size: float) -> None:
    kept = voxel_downsample(xyz, size)
    cubes = [tuple(c) for c in np.floor(xyz.astype(np.float64) * (1 / size)).astype(int)]
    assert sorted(cubes[i] for i in kept) == sorted(set(cubes))
    assert (np.diff(kept) > 0).all()
    for i in kept:
        members = np.array([j for j, cube in enumerate(cubes) if cube == cubes[i]])
        away = np.linalg.norm(xyz[members].astype(float) - xyz[members].astype(float).mean(axis=0), axis=1)
        assert np.linalg.norm(xyz[i] - xyz[members].astype(float).mean(axis=0)) <= away.min() + 1e-9
    assert np.array_equal(kept, voxel_downsample(xyz, size))


def test_voxels_of_a_large_cloud_agree_with_sorting() -> None:
    xyz = np.random.default_rng(0).normal(0, 20, (60_000, 3)).astype(np.float32)
    cubes = np.floor(xyz.astype(np.float64) * (1 / 0.3))
    kept = voxel_downsample(xyz, 0.3)
    assert len(kept) == len(np.unique(cubes, axis=0)) == len(np.unique(cubes[kept], axis=0))


@pytest.mark.parametrize(("xyz", "size", "word"), [
    (np.zeros((3, 3)), 0.0, "positive"), (np.zeros((3, 3)), -1.0, "positive"), (np.zeros((3, 3)), np.nan, "positive"),
    (np.zeros((3, 2)), 0.1, "x, y, z"), (np.array([[0.0, np.nan, 0]]), 0.1, "NaN"),
    (np.array([[0.0, np.inf, 0]]), 0.1, "infinite"), (np.array([[0.0, 0, 0], [1e5, 1e5, 1e5]]), 1e-5, "too small"),
])
def test_voxels_of_bad_input_are_refused_in_words(xyz: np.ndarray, size: float, word: str) -> None:
    with pytest.raises(InputError, match=word):
        voxel_downsample(xyz, size)
