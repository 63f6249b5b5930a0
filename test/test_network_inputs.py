"""From a sample to the network's batch: the image, its intrinsics and the truth still fit each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.model.batch import Batch, collate
from crossi2p_core.model.config import NetworkConfig, PointEncoderConfig
from crossi2p_core.model.inputs import WIDEST_TANGENT, make_batch, network_image
from crossi2p_core.model.point_features import POINT_FEATURES
from crossi2p_core.types import Camera, PointCloud, Sample

CONFIG = NetworkConfig(points=PointEncoderConfig(points=512, ratio=3, neighbours=8))
LENSES = {
    "pinhole": ("none", []), "plumb_bob": ("plumb_bob", [-0.2, 0.08, 0.001, -0.0005, 0.0]),
    "rational": ("rational_polynomial", [0.2, -0.05, 0.0, 0.0, 0.01, 0.5, -0.02, 0.01]),
    "fisheye": ("equidistant", [-0.02, 0.005, 0.0, 0.0]),
}


def camera_of(lens: str, width: int = 960, height: int = 540, focal: float = 600.0) -> Camera:
    model, D = LENSES[lens]
    return Camera(np.array([[focal, 0, 0.51 * width], [0, 1.01 * focal, 0.48 * height], [0, 0, 1]]), width, height,
                  model, np.array(D))


def sample_of(camera: Camera, image: np.ndarray | None = None, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    xyz = rng.uniform([-30, -30, -2], [30, 30, 4], (3000, 3))
    image = np.full((camera.height, camera.width, 3), 128, np.uint8) if image is None else image
    T = se3.make(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.1, -0.2, 0.3]))
    return Sample("made up", image, camera, PointCloud.from_arrays(xyz, rng.random(len(xyz))), T)


def seen(batch: Batch, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 2) of camera-frame points by Batch.K, and whether the recording reaches there."""
    homogeneous = (points / points[:, 2:]) @ batch.K[0].double().numpy().T
    pixels = homogeneous[:, :2]
    u, v = np.round(np.clip(pixels, -1e6, 1e6)).astype(int).T
    height, width = batch.inside.shape[1:]
    within = (points[:, 2] > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    within[within] = batch.inside[0].numpy()[v[within], u[within]]
    return pixels, within


def markers(camera: Camera, points: np.ndarray) -> np.ndarray:
    """An image that shows a white disc where the camera sees each point."""
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    for u, v in camera.project(points)[0]:
        cv2.circle(image, (round(16 * u), round(16 * v)), 16 * 8, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image


@pytest.mark.parametrize("size", [(160, 512), (320, 256)])
@pytest.mark.parametrize("lens", list(LENSES))
def test_what_the_camera_sees_at_a_pixel_the_network_sees_where_its_intrinsics_say(
        lens: str, size: tuple[int, int]) -> None:
    camera = camera_of(lens)
    points = np.array([[-0.5, -0.25, 1.0], [0.0, 0.0, 1.0], [0.45, 0.2, 1.0], [0.5, -0.22, 1.0]]) * 7
    batch = make_batch(sample_of(camera, markers(camera, points)), replace(CONFIG, size=size))
    pixels, within = seen(batch, points)
    assert within.all()
    v, u = np.mgrid[:size[0], :size[1]]
    for i, (x, y) in enumerate(pixels):
        near = batch.image[0, 0].numpy() * (np.hypot(u - x, v - y) < 7)
        centre = (near * u).sum() / near.sum(), (near * v).sum() / near.sum()
        assert np.allclose(centre, (x, y), atol=0.15), (i, centre, (x, y))


@pytest.mark.parametrize("size", [(160, 512), (320, 256)])
def test_pixels_of_a_pinhole_agree_with_the_camera_scaled(size: tuple[int, int]) -> None:
    sample = sample_of(camera_of("pinhole"))
    batch = make_batch(sample, replace(CONFIG, size=size))
    points = se3.transform(np.asarray(sample.T_cam_lidar), sample.cloud.xyz.astype(float))
    factor = min(size[0] / 540, size[1] / 960)
    small = sample.camera.resize(round(960 * factor), round(540 * factor))
    expected, valid = small.project(points)
    pixels, _ = seen(batch, points)
    assert valid.sum() > 50 and np.allclose(pixels[valid], expected[valid], atol=1e-3)
    assert torch.allclose(batch.T_cam_lidar[0], torch.tensor(sample.T_cam_lidar).float())
    reach = np.zeros(size, bool)
    reach[:small.height, :small.width] = True
    assert np.array_equal(batch.inside[0].numpy(), reach)
    assert bool((batch.image[0, :, ~torch.from_numpy(reach)] == 0).all())
    assert bool((batch.image[0, :, torch.from_numpy(reach)] - 128 / 255 < 1e-6).all())


@pytest.mark.parametrize("lens", list(LENSES))
def test_nearly_all_that_the_camera_sees_is_inside(lens: str) -> None:
    camera = camera_of(lens)
    batch = make_batch(sample_of(camera), CONFIG)
    points = np.random.default_rng(0).uniform([-2, -1, 1], [2, 1, 3], (4000, 3))
    valid = camera.project(points)[1]
    within = seen(batch, points)[1]
    assert (valid & within).sum() > 0.98 * valid.sum() and (within & ~valid).sum() < 0.02 * valid.sum()


def test_a_lens_wider_than_a_plane_is_cut_at_the_stated_angle() -> None:
    camera = camera_of("fisheye", 800, 800, 250.0)  # 90 degrees off the axis at the border
    batch = make_batch(sample_of(camera), CONFIG)
    points = np.array([[np.sin(a), 0, np.cos(a)] for a in np.radians([-70.0, -60.0, 0.0, 60.0, 70.0, 89.0])])
    assert seen(batch, points)[1].tolist() == [False, True, True, True, False, False]
    assert np.degrees(np.arctan(WIDEST_TANGENT)) == pytest.approx(62.0)


def test_a_small_image_is_enlarged_and_a_tall_one_keeps_its_aspect() -> None:
    for width, height in ((128, 40), (300, 900), (33, 21)):
        camera = camera_of("pinhole", width, height, 100.0)
        image, seen_by, inside = network_image(np.full((height, width, 3), 9, np.uint8), camera, CONFIG)
        rows, columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
        assert image.shape == (160, 512, 3) and (rows == 160 or columns == 512)
        assert abs(columns / rows - width / height) < 0.02 * width / height
        assert seen_by.K[0, 0] / 100 == pytest.approx(columns / width)


def test_without_a_truth_or_intensity_there_is_a_batch_all_the_same() -> None:
    sample = replace(sample_of(camera_of("pinhole")), T_cam_lidar=None)
    sample = replace(sample, cloud=PointCloud(sample.cloud.xyz))
    batch = make_batch(sample, CONFIG)
    assert batch.T_cam_lidar is None and len(batch) == 1
    assert (batch.cloud.features[0, :, POINT_FEATURES.index("has_intensity")] == 0).all()
    given = np.eye(4)
    given[:3, 3] = 1, 2, 3
    assert torch.equal(make_batch(sample, CONFIG, given).T_cam_lidar[0], torch.tensor(given).float())


def test_the_same_sample_makes_the_same_batch_and_batches_collate() -> None:
    sample = sample_of(camera_of("plumb_bob"))
    one, same = make_batch(sample, CONFIG), make_batch(sample, CONFIG)
    other = make_batch(sample, CONFIG, rng=np.random.default_rng(7))
    assert torch.equal(one.image, same.image) and torch.equal(one.cloud.xyz[0], same.cloud.xyz[0])
    assert not torch.equal(one.cloud.xyz[0], other.cloud.xyz[0])
    both = collate([one, other])
    assert both.image.shape == (2, 3, 160, 512) and both.cloud.xyz[0].shape == (2, 512, 3)
    assert both.image.dtype == both.K.dtype == torch.float32 and both.inside.dtype == torch.bool


def test_grey_networks_take_colour_and_others_say_what_they_take() -> None:
    sample = sample_of(camera_of("pinhole"))
    grey = make_batch(sample, replace(CONFIG, image=replace(CONFIG.image, channels=1)))
    assert grey.image.shape == (1, 1, 160, 512)
    with pytest.raises(InputError, match=r"made up: .* takes 4"):
        make_batch(sample, replace(CONFIG, image=replace(CONFIG.image, channels=4)))


def test_what_cannot_be_used_is_named_with_its_sample() -> None:
    sample = sample_of(camera_of("pinhole"))
    near = replace(sample, cloud=PointCloud.from_arrays(sample.cloud.xyz / 100))
    with pytest.raises(InputError, match="made up: a cloud with 0 usable points is too small for the network"):
        make_batch(near, CONFIG)
    K = np.array([[0.006, 0, 0.003], [0, 0.006, 0.002], [0, 0, 1]])
    metres = Camera(K, 640, 480, "plumb_bob", np.array([0.1, 0, 0, 0, 0]))
    with pytest.raises(InputError, match=r"made up: .* are they in pixels"):
        make_batch(replace(sample, camera=metres, image=np.zeros((480, 640, 3), np.uint8)), CONFIG)
    with pytest.raises(InputError, match="made up: T_cam_lidar"):
        make_batch(sample, CONFIG, np.full((4, 4), np.nan))


@pytest.mark.parametrize("rig", ["kitti_object/training", "compact/kitti_stereo2015", "rigs/nuscenes", "rigs/ddad",
                                 "rigs/opencalib", "rigs/acfr_vlp16_fisheye", "rigs/livox", "rigs/sustech"])
def test_every_recorded_rig_makes_a_batch_that_fits_its_calibration(data_dir: Path, rig: str) -> None:
    sample = open_source(str(data_dir / rig))[0]
    batch = make_batch(sample, CONFIG)
    points = se3.transform(np.asarray(sample.T_cam_lidar), sample.cloud.xyz.astype(float))
    expected, valid = sample.camera.project(points)
    valid &= points[:, 2] > 0.1
    pixels, within = seen(batch, points)
    assert (valid & within).sum() > 0.97 * valid.sum() > 100
    # back through the batch's pinhole and out through the lens: the pixel of the recording
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(batch.K[0].double().numpy()).T
    assert np.abs(sample.camera.project(rays[valid])[0] - expected[valid]).max() < 0.05
    assert batch.image.isfinite().all() and float(batch.image.min()) >= 0 and float(batch.image.max()) <= 1
