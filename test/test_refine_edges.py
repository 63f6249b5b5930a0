"""Edges of clouds and images, on scenes whose edges are known."""

import cv2
import numpy as np
import pytest
import torch

from crossi2p_core.geometry import se3
from crossi2p_core.refine.config import ImageEdgeConfig, LidarEdgeConfig
from crossi2p_core.refine.image_edges import edge_maps, why_blind
from crossi2p_core.refine.lidar_edges import DOWN, INTENSITY_ACROSS, LEFT, RIGHT, UP, find_edges, thin
from crossi2p_core.refine.skyline import open_above
from crossi2p_core.refine.spacing import Spacing, estimate_spacing
from crossi2p_core.refine.viewpoint import is_merged, viewpoint
from crossi2p_core.refine.working_view import working_view
from crossi2p_core.types import Camera, PointCloud

ORIGIN = np.zeros(3, np.float32)


def bearings(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation (N,) in radians of a raster given in degrees."""
    elevation, azimuth = np.meshgrid(np.radians(rows), np.radians(columns), indexing="ij")
    return azimuth.ravel(), elevation.ravel()


def points(azimuth: np.ndarray, elevation: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    unit = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)
    return (unit * ranges[:, None]).astype(np.float32)


def box_before_wall(row: float = 0.4, column: float = 0.2) -> PointCloud:
    """A flat target at 10 m, 4 deg wide and 3 deg high around the x axis, before a wall at 20 m."""
    azimuth, elevation = bearings(np.arange(-8, 8, row), np.arange(-20, 20, column))
    front = (np.abs(np.degrees(azimuth)) < 4) & (np.abs(np.degrees(elevation)) < 3)
    return PointCloud.from_arrays(points(azimuth, elevation, np.where(front, 10.0, 20.0)))


@pytest.mark.parametrize(("row", "column"), [(2.0, 0.2), (0.4, 0.2), (1.33, 0.33)])
def test_spacing_of_a_spinning_lidar_is_its_raster(row: float, column: float) -> None:
    azimuth, elevation = bearings(np.arange(-15, 15.1, row), np.arange(-180, 180, column))
    spacing = estimate_spacing(azimuth, elevation + np.random.default_rng(0).normal(0, 1e-5, len(elevation)), 0.1)
    assert np.degrees(spacing.row) == pytest.approx(row, rel=0.02)
    assert np.degrees(spacing.column) == pytest.approx(column, rel=0.02)


def test_spacing_of_a_rosette_has_no_sparse_rows() -> None:
    azimuth, elevation = np.radians(np.random.default_rng(0).uniform(-19, 19, (2, 40_000)))
    spacing = estimate_spacing(azimuth, elevation, 0.1)
    assert 0.5 < spacing.elevation_scale <= 1.0


def test_silhouettes_lie_on_the_outline_and_know_their_side() -> None:
    cloud, spacing = thin(box_before_wall(), LidarEdgeConfig())
    edges = find_edges(cloud, spacing, ORIGIN, LidarEdgeConfig())
    azimuth = np.degrees(np.arctan2(edges.xyz[:, 1], edges.xyz[:, 0]))
    elevation = np.degrees(np.arcsin(edges.xyz[:, 2] / np.linalg.norm(edges.xyz, axis=1)))
    near = np.linalg.norm(edges.xyz, axis=1) < 12
    for kind, value, expected in ((LEFT, azimuth, 4.0), (RIGHT, azimuth, -4.0), (UP, elevation, 3.0),
                                  (DOWN, elevation, -3.0)):
        chosen = near & (edges.kind == kind)
        assert chosen.sum() > 5
        assert np.abs(value[chosen] - expected).max() < 0.5
    across = np.degrees(np.arctan2(edges.tip[:, 1], edges.tip[:, 0])) - azimuth
    assert (across[near & (edges.kind == LEFT)] > 0).all()
    assert (across[near & (edges.kind == RIGHT)] < 0).all()


def test_what_a_beam_grazes_is_taken_off_silhouettes_but_not_off_tops() -> None:
    cloud, spacing = thin(box_before_wall(), LidarEdgeConfig())
    thin_beams, wide_beams = (find_edges(cloud, spacing, ORIGIN, LidarEdgeConfig(beam_rad=b)) for b in (0.0, 0.002))
    assert np.array_equal(thin_beams.kind, wide_beams.kind)
    bearing = np.stack([np.arctan2(e.xyz[:, 1], e.xyz[:, 0]) for e in (thin_beams, wide_beams)])
    height = np.stack([np.arcsin(e.xyz[:, 2] / np.linalg.norm(e.xyz, axis=1)) for e in (thin_beams, wide_beams)])
    for kind, value, expected in ((LEFT, bearing, -0.002), (RIGHT, bearing, 0.002), (DOWN, height, 0.002),
                                  (UP, height, 0.0)):
        moved = np.diff(value[:, thin_beams.kind == kind], axis=0)
        assert len(moved[0]) > 5 and moved == pytest.approx(expected, abs=1e-4)


def test_flat_ground_has_no_edges_whatever_the_grazing_angle() -> None:
    azimuth, elevation = bearings(np.arange(-24, -1, 0.4), np.arange(-40, 40, 0.2))
    ground = points(azimuth, elevation, 1.7 / np.sin(-elevation))
    cloud, spacing = thin(PointCloud.from_arrays(ground[np.linalg.norm(ground, axis=1) < 60]), LidarEdgeConfig())
    edges = find_edges(cloud, spacing, ORIGIN, LidarEdgeConfig())
    ranges = np.linalg.norm(edges.xyz, axis=1)
    assert ((edges.kind == UP) & (ranges < 35)).sum() < 0.002 * len(cloud)


def test_intensity_steps_are_edges_only_where_the_surface_is_smooth() -> None:
    azimuth, elevation = bearings(np.arange(-8, 8, 0.4), np.arange(-20, 20, 0.2))
    xyz = points(azimuth, elevation, 10 / (np.cos(elevation) * np.cos(azimuth)))  # a wall at x = 10 m
    cloud, spacing = thin(PointCloud.from_arrays(xyz, (azimuth > 0) * 0.8 + 0.1), LidarEdgeConfig())
    edges = find_edges(cloud, spacing, ORIGIN, LidarEdgeConfig())
    steps = edges.xyz[edges.kind == INTENSITY_ACROSS]
    assert len(steps) > 20
    assert np.abs(steps[:, 1]).max() < 0.15


def test_a_wider_row_gap_is_no_skyline_but_the_top_of_a_wall_is() -> None:
    rows = np.concatenate([np.arange(-10, 0, 0.33), np.arange(0, 8, 1.0)])  # bunched below the horizon
    azimuth, elevation = bearings(rows, np.arange(-30, 30, 0.2))
    wall = (elevation < np.radians(-3.0)) | (azimuth < 0)  # to the right the wall is low
    azimuth, elevation = azimuth[wall], elevation[wall]
    found = open_above(azimuth, elevation, Spacing(np.radians(0.33), np.radians(0.2), 0.1))
    boundary = (azimuth < np.radians(-1)) & (np.abs(elevation - np.radians(-0.1)) < np.radians(0.1))
    low_top = (azimuth > np.radians(1)) & (elevation > np.radians(-3.3))
    assert boundary.sum() > 50 and found[boundary].mean() < 0.05
    assert low_top.sum() > 50 and found[low_top].mean() > 0.95


def test_a_merged_cloud_is_looked_at_from_the_camera() -> None:
    one = box_before_wall().xyz
    elsewhere = one + np.array([-6.0, 0.3, 0.2], np.float32)  # its wall stands before the other's
    both, T = np.concatenate([one, elsewhere]), se3.exp_se3(np.array([0.1, -0.2, 0.3, 1.0, 0.2, 0.3]))
    assert not is_merged(one) and (viewpoint(is_merged(one), T) == 0).all()
    assert is_merged(both) and se3.transform(T, viewpoint(True, T)) == pytest.approx(np.zeros(3), abs=1e-6)


def step_image(column: int = 200) -> np.ndarray:
    image = np.full((240, 400, 3), 60, np.uint8)
    image[:, column:] = 160
    return image


def test_an_edge_map_peaks_on_the_edge_for_normals_along_u_only() -> None:
    camera = Camera(np.array([[300.0, 0, 200], [0, 300, 120], [0, 0, 1]]), 400, 240)
    fine = edge_maps(working_view(step_image(), camera, 720.0), ImageEdgeConfig(), torch.device("cpu"))[0]
    table = fine.table[:-1].float().view(240, 400, 2, 6)
    assert abs(int(table[120, :, 0, 0].argmax()) - 199.5) <= 1
    assert float(table[120, 195:205, 1, 0].abs().max()) < 0.2 * float(table[120, :, 0, 0].max())
    assert (fine.table[-1] == 0).all()
    central = (table[120, 101:299, 0, 0] - table[120, 99:297, 0, 0]) / 2
    assert float((table[120, 100:298, 0, 1] - central).abs().max()) < 0.02


def test_a_faint_edge_counts_at_fine_scales_and_hardly_at_coarse_ones() -> None:
    image = np.full((240, 400, 3), 100, np.uint8)
    image[:, 130:] = 160
    image[:, 165:] = 166
    image[:, ::40] += 1  # something in between, as everywhere
    camera = Camera(np.array([[300.0, 0, 200], [0, 300, 120], [0, 0, 1]]), 400, 240)
    share = []
    for level in edge_maps(working_view(image, camera, 720.0), ImageEdgeConfig(), torch.device("cpu")):
        width, height = level.camera.width, level.camera.height
        response = level.table[:-1].float().view(height, width, 2, 6)[height // 2, :, 0, 0]
        strong, weak = (float(response[int(u * width / 400) - 4:int(u * width / 400) + 5].max()) for u in (130, 165))
        share.append(weak / strong)
    assert min(share[:2]) > 1.2 * max(share[2:])


@pytest.mark.parametrize(("image", "word"), [
    (np.zeros((240, 400, 3), np.uint8), "dark"),
    (np.full((240, 400, 3), 255, np.uint8), "flat"),
    (cv2.circle(np.full((240, 400, 3), 128, np.uint8), (200, 120), 12, (255, 0, 0), -1), "empty"),
])
def test_images_that_show_nothing_are_named(image: np.ndarray, word: str) -> None:
    assert word in why_blind(image, ImageEdgeConfig())
    assert why_blind(np.random.default_rng(0).integers(0, 255, (240, 400, 3)).astype(np.uint8), ImageEdgeConfig()) == ""


@pytest.mark.parametrize(("model", "D"), [
    ("plumb_bob", [-0.12, 0.1, 0.001, -0.001, 0.0]), ("equidistant", [-0.05, -0.07, 0.09, -0.05])])
def test_a_straightened_view_shows_each_ray_where_its_camera_says(model: str, D: list[float]) -> None:
    camera = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), 640, 480, model, np.array(D))
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    image = np.stack([u // 4, v // 2, 0 * u], axis=2).astype(np.uint8)  # the colour says which pixel it is
    view = working_view(image, camera, 720.0)
    assert view.camera.model == "none" and view.mask is not None
    rays = np.array([[0.0, 0, 1], [0.3, -0.2, 1], [-0.4, 0.25, 1]])
    original, _ = camera.project(rays)
    straight, valid = view.camera.project(rays)
    assert valid.all()
    for (x, y), pixel in zip(original, np.round(straight).astype(int), strict=True):
        red, green, _ = view.image[pixel[1], pixel[0]].astype(float)
        assert abs(4 * red - x) < 6 and abs(2 * green - y) < 4


def test_a_lens_too_wide_for_a_plane_is_left_as_it_is() -> None:
    camera = Camera(np.array([[200.0, 0, 320], [0, 200, 240], [0, 0, 1]]), 640, 480, "equidistant", np.zeros(4))
    assert working_view(np.zeros((480, 640, 3), np.uint8), camera, 720.0).camera.model == "equidistant"


def test_the_border_of_what_was_recorded_is_no_edge() -> None:
    lens = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), 640, 480, "plumb_bob",
                  np.array([-0.3, 0.1, 0, 0]))
    mask = working_view(np.full((480, 640, 3), 255, np.uint8), lens, 720.0).mask
    assert not any(side.any() for side in (mask[:3], mask[-3:], mask[:, :3], mask[:, -3:]))
    assert mask[mask.shape[0] // 2, mask.shape[1] // 2] == 1
