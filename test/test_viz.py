"""Pictures: every point where the camera sees it, the nearest on top, hidden ones gone, and sizes that always work."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.clouds import read_cloud
from crossi2p_core.datasets.images import read_image
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Sample
from crossi2p_core.viz.birds_eye import birds_eye
from crossi2p_core.viz.caption import title_strip
from crossi2p_core.viz.colored_cloud import color_cloud, write_ply
from crossi2p_core.viz.depth_scale import DepthScale, legend
from crossi2p_core.viz.image_file import write_image
from crossi2p_core.viz.overlay import before_after, draw_overlay, seen_points
from crossi2p_core.viz.picture import view_picture
from crossi2p_core.viz.window import _open3d, camera_lines, show

CAMERA = Camera(np.array([[200.0, 0, 160], [0, 200, 100], [0, 0, 1]]), 320, 200)
T = se3.exp_se3(np.array([0.1, -0.2, 0.05, 0.2, -0.1, 0.3]))
SCALE = DepthScale(2.0, 50.0)


def cloud_at(*pixels_and_ranges: tuple[float, float, float]) -> PointCloud:
    """LiDAR points that `CAMERA` at `T` sees at (u, v) from so many metres."""
    u, v, distance = np.array(pixels_and_ranges).T
    in_camera = CAMERA.unproject(np.stack([u, v], 1)) * distance[:, None]
    return PointCloud.from_arrays(se3.transform(se3.inverse(T), in_camera))


def wall(distance: float, left: int, right: int, step: int = 2) -> list[tuple[float, float, float]]:
    return [(u, v, distance) for u in range(left, right, step) for v in range(20, 180, step)]


def sample_of(cloud: PointCloud, image: np.ndarray | None = None) -> Sample:
    image = np.full((200, 320, 3), 90, dtype=np.uint8) if image is None else image
    return Sample("frame", image, CAMERA, cloud, T)


def overlay(cloud: PointCloud, **options: object) -> np.ndarray:
    image = np.full((200, 320, 3), 90, dtype=np.uint8)
    return draw_overlay(image, CAMERA, cloud, T, **{"scale": SCALE, "with_legend": False, **options})  # type: ignore[arg-type]


def test_a_point_is_drawn_where_the_camera_sees_it_and_nowhere_else() -> None:
    picture = overlay(cloud_at((100, 50, 5), (250, 150, 40)))
    drawn = np.ptp(picture.astype(int), axis=2) > 20
    rows, columns = np.nonzero(drawn)
    assert picture.shape == (200, 320, 3) and picture.dtype == np.uint8
    for u, v, distance in ((100, 50, 5), (250, 150, 40)):
        near = np.hypot(columns - u, rows - v) < 4
        assert near.any()
        np.testing.assert_allclose([columns[near].mean(), rows[near].mean()], [u, v], atol=0.3)
        np.testing.assert_array_equal(picture[v, u], SCALE.colors(np.array([distance]))[0])
    assert np.minimum(np.hypot(columns - 100, rows - 50), np.hypot(columns - 250, rows - 150)).max() < 4


def test_near_points_cover_far_ones_and_hide_what_is_behind_them() -> None:
    near, far = wall(4, 100, 200), wall(30, 41, 261)
    for order in (near + far, far + near):
        picture = overlay(cloud_at(*order))
        red_not_blue = picture[40:160, 120:180, 0].astype(int) > picture[40:160, 120:180, 2]
        assert red_not_blue.mean() > 0.4
        seen = seen_points(CAMERA, cloud_at(*order), T)
        between = (seen.uv[:, 0] > 115) & (seen.uv[:, 0] < 185) & (np.abs(seen.uv[:, 1] - 100) < 60)
        assert (seen.depth[between] > 20).mean() < 0.02
        assert (seen.depth > 20).sum() > 1000 and (np.diff(seen.depth) <= 0).all()


def test_of_points_in_one_spot_the_nearest_is_drawn() -> None:
    alone = overlay(cloud_at((100, 50, 4.0), (250, 150, 40)))
    np.testing.assert_array_equal(overlay(cloud_at((100, 50, 4.1), (100, 50, 4.0), (250, 150, 40))), alone)


def test_the_image_given_is_not_drawn_upon() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 320, 3), dtype=np.uint8)
    before = image.copy()
    draw_overlay(image, CAMERA, cloud_at((100, 50, 5)), T)
    np.testing.assert_array_equal(image, before)


def test_nothing_to_see_still_gives_a_picture() -> None:
    behind = cloud_at((100, 50, 5)).xyz
    empty = PointCloud.from_arrays(np.zeros((0, 3)))
    T_behind = se3.make(np.diag([-1.0, 1, -1]), np.zeros(3)) @ T
    for cloud, pose in ((empty, T), (PointCloud.from_arrays(behind), T_behind)):
        sample = sample_of(cloud)
        assert draw_overlay(sample.image, CAMERA, cloud, pose).shape == (200, 320, 3)
        assert view_picture(sample, pose).ndim == 3
        assert before_after(sample.image, CAMERA, cloud, pose, T).shape[1] == 320


@pytest.mark.parametrize("size", [(8, 6), (40, 300), (300, 40), (1, 1)])
def test_odd_picture_sizes(size: tuple[int, int]) -> None:
    camera = CAMERA.resize(*size)
    image = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    sample = Sample("tiny", image, camera, cloud_at((100, 50, 5), (250, 150, 40)), T)
    assert draw_overlay(image, camera, sample.cloud, T).shape == image.shape
    assert before_after(image, camera, sample.cloud, T, T).shape[1] == camera.width
    assert view_picture(sample, T, title="a title that is much too long for it").size > 0


def test_a_transform_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="T_cam_lidar"):
        draw_overlay(np.zeros((200, 320, 3), dtype=np.uint8), CAMERA, cloud_at((100, 50, 5)), np.full((4, 4), np.nan))


def test_before_stands_above_after_in_the_same_colours() -> None:
    cloud, image = cloud_at(*wall(4, 100, 200), *wall(30, 210, 300)), np.full((200, 320, 3), 90, dtype=np.uint8)
    T_before = se3.perturb(T, np.random.default_rng(0), 3, 0.1)
    picture = before_after(image, CAMERA, cloud, T_before, T, title_before="2.1 deg / 8 cm before")
    scale = DepthScale.of(*(seen_points(CAMERA, cloud, pose).depth for pose in (T_before, T)))
    strip = len(title_strip("x", 320))
    for start, pose in ((strip, T_before), (200 + 2 * strip, T)):
        expected = draw_overlay(image, CAMERA, cloud, pose, scale=scale, with_legend=False)
        np.testing.assert_array_equal(picture[start:start + 200], expected)
    assert picture[:strip].max() > 200 and picture[200 + strip:200 + 2 * strip].max() > 200


def test_depth_colours_go_from_red_to_blue() -> None:
    colors = SCALE.colors(np.array([0.0, 2, 5, 10, 20, 50, 500]))
    hue = cv2.cvtColor(colors[None], cv2.COLOR_RGB2HSV)[0, :, 0].astype(int)  # half degrees: red 0, green 60, blue 120
    assert hue[0] == hue[1] < 10 and hue[-1] == hue[-2] > 110
    assert (np.diff(hue[1:-1]) > 5).all()
    assert SCALE.ticks() == [2, 3, 5, 7, 10, 20, 30, 50]


@pytest.mark.parametrize("depths", [[], [7.0], [7.0, 7.0], [0.0, -1.0], list(range(1, 90))])
def test_any_depths_make_a_scale_and_a_legend(depths: list[float]) -> None:
    scale = DepthScale.of(np.array(depths))
    assert 0 < scale.near < scale.far < 1000
    assert legend(scale, 300, 30).shape == (30, 300, 3)


def test_a_long_title_is_made_to_fit() -> None:
    strip = title_strip("before: 2.1 deg / 8 cm " * 4, 400)
    assert strip.shape[1] == 400 and strip.max() > 150
    assert strip[:, -4:].max() < 60


def test_points_take_the_colour_of_their_pixel() -> None:
    u, v = np.meshgrid(np.arange(320), np.arange(200))
    image = np.stack([u * 0.7, v, np.full_like(u, 7)], 2).astype(np.uint8)
    visible = [(100.5, 50.25, 5.0), (250, 150, 40), (0, 0, 9), (318, 198, 9)]
    cloud = cloud_at(*visible, *wall(4, 20, 40), *wall(30, 25, 35))
    colors, mask = color_cloud(sample_of(cloud, image), T)
    assert mask[:4].all() and (colors[~mask] == colors[~mask][0]).all()
    np.testing.assert_allclose(colors[:4, 0], [0.7 * p[0] for p in visible], atol=1.5)
    np.testing.assert_allclose(colors[:4, 1], [p[1] for p in visible], atol=1.0)
    hidden = len(wall(30, 25, 35))
    assert mask[-hidden:].mean() < 0.05 and mask[4:-hidden].mean() > 0.95


def test_a_ply_file_reads_back(tmp_path: Path) -> None:
    xyz = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    rgb = np.random.default_rng(1).integers(0, 255, (50, 3), dtype=np.uint8)
    write_ply(tmp_path / "new" / "cloud.ply", xyz, rgb)
    np.testing.assert_array_equal(read_cloud(tmp_path / "new" / "cloud.ply").xyz, xyz)
    body = (tmp_path / "new" / "cloud.ply").read_bytes().split(b"end_header\n", 1)[1]
    np.testing.assert_array_equal(np.frombuffer(body, np.uint8).reshape(50, 15)[:, 12:], rgb)
    with pytest.raises(InputError, match="one shape"):
        write_ply(tmp_path / "bad.ply", xyz, rgb[:-1])
    assert not (tmp_path / "bad.ply").exists()


def test_a_picture_file_reads_back(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    write_image(tmp_path / "new" / "p.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "p.png"), image)
    with pytest.raises(InputError, match=r"end in \.png or \.jpg"):
        write_image(tmp_path / "p.txt", image)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_image(tmp_path / "file" / "p.png", image)


def test_birds_eye_has_ahead_up_and_right_right() -> None:
    image = np.full((200, 320, 3), (200, 30, 30), dtype=np.uint8)
    cloud = cloud_at((160, 100, 20), (220, 100, 20))
    points = se3.transform(T, cloud.xyz.astype(np.float64))
    picture = birds_eye(sample_of(cloud, image), T, 300, 400).astype(int)
    red = (picture[..., 0] > picture[..., 1] + 60) & (np.arange(400)[:, None] < 300)  # without the camera's own mark
    rows, columns = np.nonzero(red)
    ahead, right = rows[columns < 160].mean(), rows[columns >= 160].mean()
    assert columns.min() == pytest.approx(150, abs=3) and ahead < right < 0.82 * 400
    metre = (0.82 * 400 - ahead) / points[0, 2]
    assert columns.max() == pytest.approx(150 + metre * points[1, 0], abs=4)


def test_without_a_display_show_writes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    sample = sample_of(cloud_at(*wall(9, 100, 200)))
    path = show(sample, T, tmp_path / "view.png")
    assert path == tmp_path / "view.png"
    np.testing.assert_allclose(read_image(path).astype(int), view_picture(sample, T).astype(int), atol=5)


def test_a_display_that_does_not_answer_is_no_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":9876")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-9876")
    assert show(sample_of(cloud_at((100, 50, 5))), T, tmp_path / "view.png") == tmp_path / "view.png"


def test_open3d_missing_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)  # what Python itself puts there to forbid an import
    with pytest.raises(InputError, match="pip install open3d"):
        _open3d()


def test_the_drawn_camera_spans_the_image() -> None:
    corners, edges = camera_lines(sample_of(cloud_at((100, 50, 5))), T)
    uv, _ = CAMERA.project(se3.transform(T, corners[1:]))
    np.testing.assert_allclose(uv, [[0, 0], [319, 0], [319, 199], [0, 199]], atol=1e-6)
    np.testing.assert_allclose(se3.transform(T, corners[:1]), 0, atol=1e-9)
    assert edges.max() == 4


@pytest.mark.parametrize("rig", ["nuscenes", "livox", "acfr_vlp16_fisheye", "opencalib"])
def test_every_real_rig_can_be_drawn(data_dir: Path, rig: str) -> None:
    sample = open_source(str(data_dir / "rigs" / rig))[0]
    assert sample.T_cam_lidar is not None
    small = replace(sample, camera=sample.camera.resize(400, 240), image=np.zeros((240, 400, 3), dtype=np.uint8))
    picture = draw_overlay(small.image, small.camera, small.cloud, sample.T_cam_lidar, with_legend=False)
    assert 0.01 < (picture.max(axis=2) > 60).mean() < 0.8
