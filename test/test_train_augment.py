"""Augmentations: a point of the scene projects to the same place of the image before and after, whatever is changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.config import load_config
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.train import augment_cloud, augment_image, augment_view
from crossi2p_core.train.augment import at_position, augment
from crossi2p_core.train.config import AugmentConfig
from crossi2p_core.types import Camera, PointCloud, Sample

SIZE = (96, 160)
LENSES = {"none": (), "plumb_bob": (-0.2, 0.05, 0.003, -0.004, 0.0), "equidistant": (0.02, -0.01, 0.0, 0.0),
          "rational_polynomial": (-0.2, 0.05, 0.003, -0.004, 0.0, 0.02, 0.0, 0.0)}
seeds = st.integers(0, 2**31)
quick = settings(max_examples=25, deadline=None)


def scene(seed: int, lens: str = "none") -> Sample:
    """A scan all around, and an image in which each pixel's colour tells where it is: red its column, green its row.

    The `time` of a point is its number, by which it is known again after points were lost.
    """
    rng = np.random.default_rng(seed)
    K = np.array([[180.0, 0.4, 150.3], [0, 185.0, 90.8], [0, 0, 1]])
    camera = Camera(K, 300, 180, lens, np.array(LENSES[lens]))
    v, u = np.mgrid[0:180, 0:300]
    image = np.stack([u * 255 / 299, v * 255 / 179, np.full((180, 300), 90)], -1).astype(np.uint8)
    azimuth, elevation = rng.uniform(-np.pi, np.pi, 4000), rng.uniform(-0.4, 0.3, 4000)
    level = np.cos(elevation)
    direction = np.stack([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(elevation)], -1)
    ring = np.floor((elevation + 0.4) / 0.7 * 64).astype(np.int32)
    cloud = PointCloud.from_arrays(direction * rng.uniform(2, 60, (4000, 1)), rng.random(4000), ring, np.arange(4000))
    T = se3.perturb(se3.make(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.1, -0.2, 0.3])), rng, 10, 0.5)
    return Sample("scene", image, camera, cloud, T)


def seen_from(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """uv (N, 2) and valid (N,) of the sample's own points."""
    return sample.camera.project(se3.transform(sample.T_cam_lidar, sample.cloud.xyz.astype(np.float64)))


def assert_same_colours(before: Sample, after: Sample, inside: np.ndarray | None = None, step: float = 6.0) -> None:
    """Every point that both see has, where it is seen, the colour that it had: image, K, cloud and T still agree."""
    number = after.cloud.time.astype(int)
    uv, seen = (values[number] for values in seen_from(before))
    uv_after, seen_after = seen_from(after)
    columns, rows = np.rint(uv_after[seen & seen_after]).astype(int).T
    was = uv[seen & seen_after]
    reached = np.ones(len(was), bool) if inside is None else inside[rows, columns]
    expected = np.stack([was[:, 0] * 255 / 299, was[:, 1] * 255 / 179], -1)[reached]
    found = after.image[rows, columns, :2].astype(float)[reached]
    assert len(found) > 20
    assert np.abs(found - expected).max() < step


@quick
@given(seeds, st.sampled_from(sorted(LENSES)))
def test_a_virtual_camera_sees_the_points_where_their_colour_went(seed: int, lens: str) -> None:
    before, rng = scene(seed, lens), np.random.default_rng(seed)
    turn = augment_view.draw_turn(rng, (15.0, 8.0, 30.0))
    K = augment_view.fitted_intrinsics(before.camera, SIZE, augment_view.draw_zoom(rng, (0.8, 1.6)))
    after, inside = augment_view.virtual_camera(before, turn, K, SIZE)
    assert after.image.shape == (*SIZE, 3) and inside.shape == SIZE
    assert after.camera.model == "none" and not np.allclose(after.T_cam_lidar, before.T_cam_lidar)
    assert (after.image[~inside] == 0).all() and inside.mean() > 0.1
    assert_same_colours(before, after, inside)


@quick
@given(seeds, st.sampled_from(sorted(LENSES)))
def test_the_mirror_image_agrees_with_the_mirrored_scan(seed: int, lens: str) -> None:
    before = scene(seed, lens)
    after = augment_view.mirror(before)
    assert np.linalg.det(after.T_cam_lidar[:3, :3]) == pytest.approx(1)
    (uv, seen), (uv_after, seen_after) = seen_from(before), seen_from(after)
    np.testing.assert_array_equal(seen, seen_after)
    np.testing.assert_allclose(uv_after[seen], [299, 0] + uv[seen] * [-1, 1], atol=1e-3)
    assert_same_colours(before, after)
    again = augment_view.mirror(after)
    np.testing.assert_allclose(again.camera.K, before.camera.K, atol=1e-12)
    np.testing.assert_array_equal(again.image, before.image)
    np.testing.assert_allclose(again.T_cam_lidar, before.T_cam_lidar, atol=1e-12)


@quick
@given(seeds)
def test_a_moved_scan_is_seen_where_it_was(seed: int) -> None:
    before, rng = scene(seed), np.random.default_rng(seed)
    motion = augment_cloud.draw_plane_motion(rng, 180, 10) @ augment_cloud.draw_decalibration(rng, 5, 0.5)
    after = augment_cloud.move_scan(before, motion)
    (uv, seen), (uv_after, seen_after) = seen_from(before), seen_from(after)
    assert (seen != seen_after).mean() < 0.01
    np.testing.assert_allclose(uv_after[seen & seen_after], uv[seen & seen_after], atol=0.02)
    assert np.abs(before.cloud.xyz - after.cloud.xyz).max() > 0.1


def test_the_plane_motion_is_that_of_protocol_a() -> None:
    motions = np.stack([augment_cloud.draw_plane_motion(np.random.default_rng(k), 180, 10) for k in range(400)])
    np.testing.assert_array_equal(motions[:, 2], np.tile([0.0, 0, 1, 0], (400, 1)))
    yaw = np.degrees(np.arctan2(motions[:, 1, 0], motions[:, 0, 0]))
    assert yaw.min() < -160 and yaw.max() > 160 and abs(yaw.mean()) < 20
    assert (np.abs(motions[:, :2, 3]) <= 10).all() and np.abs(motions[:, :2, 3]).max() > 9


@pytest.mark.parametrize(("change", "amount"), [
    (augment_cloud.drop_beams, 0.5), (augment_cloud.drop_sector, 120.0), (augment_cloud.drop_floor, 15.0),
    (augment_cloud.drop_points, 0.5), (augment_cloud.without_vehicle, None)])
def test_what_is_lost_is_only_lost(change: object, amount: float | None) -> None:
    cloud = scene(1).cloud
    kept = change(cloud, 5.0) if amount is None else change(cloud, np.random.default_rng(3), amount)  # type: ignore[operator]
    rows = {tuple(row) for row in cloud.xyz.tolist()}
    assert 0.3 * len(cloud) < len(kept) < len(cloud)
    assert all(tuple(row) in rows for row in kept.xyz.tolist())
    assert len(kept.intensity) == len(kept.ring) == len(kept)


def test_beams_are_lost_whole_with_and_without_rings() -> None:
    cloud = scene(2).cloud
    kept = augment_cloud.drop_beams(cloud, np.random.default_rng(0), 0.5)
    for ring in np.unique(cloud.ring):
        assert (kept.ring == ring).sum() in (0, (cloud.ring == ring).sum())
    bare = replace(cloud, ring=None)
    assert 0.3 * len(bare) < len(augment_cloud.drop_beams(bare, np.random.default_rng(0), 0.5)) < len(bare)


def test_the_lost_sector_and_floor_are_where_they_should_be() -> None:
    cloud = scene(3).cloud
    kept = augment_cloud.drop_floor(cloud, np.random.default_rng(1), 20.0)
    low, all_low = (np.degrees(np.arctan2(c.xyz[:, 2], np.hypot(*c.xyz[:, :2].T))).min() for c in (kept, cloud))
    assert all_low + 1 < low < all_low + 20.5
    azimuth = np.sort(np.arctan2(*augment_cloud.drop_sector(cloud, np.random.default_rng(1), 120.0).xyz[:, 1::-1].T))
    assert np.degrees(np.diff(np.concatenate([azimuth, azimuth[:1] + 2 * np.pi])).max()) > 20


def test_range_noise_moves_points_along_their_rays() -> None:
    cloud = scene(4).cloud
    noisy = augment_cloud.add_range_noise(cloud, np.random.default_rng(2), 0.1)
    far, further = (np.linalg.norm(c.xyz, axis=1, keepdims=True) for c in (cloud, noisy))
    np.testing.assert_allclose(noisy.xyz / further, cloud.xyz / far, atol=1e-5)
    assert 0.001 < np.std(further - far) < 0.1


def test_light_changes_pixels_and_nothing_else() -> None:
    image = scene(5).image
    for change, amount in ((augment_image.change_light, 0.5), (augment_image.change_exposure, 0.5),
                           (augment_image.add_noise, 0.1), (augment_image.blur, 3.0),
                           (augment_image.add_texture, 0.5)):
        changed = change(image, np.random.default_rng(6), amount)
        assert changed.shape == image.shape and changed.dtype == np.uint8 and not np.array_equal(changed, image)
        assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(augment_image.change_light(image, np.random.default_rng(6), 0.0), image)


@quick
@given(seeds, st.sampled_from(sorted(LENSES)))
def test_all_together_agree_and_follow_the_seed(seed: int, lens: str) -> None:
    before = scene(seed, lens)
    dull = load_config(AugmentConfig, {"light": 0, "exposure": 0, "noise": 0, "blur_px": 0, "range_noise_m": 0,
                                       "turn_deg": [10, 5, 5], "zoom": [0.8, 1.2]})
    after, inside = augment(before, dull, SIZE, np.random.default_rng(seed))
    again, _ = augment(before, dull, SIZE, np.random.default_rng(seed))
    np.testing.assert_array_equal(after.image, again.image)
    np.testing.assert_array_equal(after.cloud.xyz, again.cloud.xyz)
    assert inside is not None and (after.image[~inside] == 0).all()
    assert_same_colours(before, after, inside)


@pytest.mark.parametrize(("zoom", "least", "most"), [(1.0, 0.0, 4.0), (3.0, 8.0, 35.0)])
def test_a_camera_turns_as_far_as_its_zoom_leaves_room(zoom: float, least: float, most: float) -> None:
    config = load_config(AugmentConfig, {"zoom": [zoom, zoom], "seen_points": 20, "yaw_deg": 0, "shift_m": 0,
                                         "tilt_deg": 0, "mirror": 0})
    before, turned = scene(9), []
    for seed in range(30):
        after, inside = augment(before, config, SIZE, np.random.default_rng(seed))
        turned.append(float(se3.rotation_error_deg(after.T_cam_lidar, before.T_cam_lidar)))
        whole = augment_view.share_recorded(before.camera, np.eye(3), after.camera.K, SIZE)
        assert inside is not None and inside.mean() > 0.94 * whole
    assert least < np.median(turned) and max(turned) < most


@given(seeds, st.sampled_from(sorted(LENSES)))
@quick
def test_the_share_recorded_is_that_of_the_image(seed: int, lens: str) -> None:
    sample, rng = scene(seed, lens), np.random.default_rng(seed)
    K = augment_view.fitted_intrinsics(sample.camera, SIZE, augment_view.draw_zoom(rng, (0.7, 2.0)))
    R = augment_view.draw_turn(rng, (30, 15, 15))
    _, inside = augment_view.virtual_camera(sample, R, K, SIZE)
    assert augment_view.share_recorded(sample.camera, R, K, SIZE) == pytest.approx(inside.mean(), abs=0.03)


def test_the_vehicle_goes_before_the_scan_moves() -> None:
    before = scene(7)
    near = replace(before, cloud=PointCloud.from_arrays(np.concatenate(
        [before.cloud.xyz, np.random.default_rng(0).uniform(-1, 1, (500, 3))])))
    config = load_config(AugmentConfig, {"beams": 0, "sector_deg": 0, "floor_deg": 0, "points": 0, "range_noise_m": 0,
                                         "vehicle_m": 3.0, "shift_m": 10.0})
    after, _ = augment(near, config, SIZE, np.random.default_rng(0))
    assert len(after.cloud) == (np.hypot(*near.cloud.xyz[:, :2].T) >= 3.0).sum()


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(InputError, match="points beyond 3 m"):
        few = replace(scene(8), cloud=scene(8).cloud.select(slice(50)))
        augment(few, AugmentConfig(), SIZE, np.random.default_rng(0))


def test_without_an_extrinsic_all_is_changed_that_needs_none() -> None:
    """As an unlabelled pair: nothing that is drawn depends on where the camera is."""
    known, _ = augment(scene(8), AugmentConfig(seen_points=0), SIZE, np.random.default_rng(0))
    unknown, _ = augment(replace(scene(8), T_cam_lidar=None), AugmentConfig(seen_points=0), SIZE,
                         np.random.default_rng(0))
    assert unknown.T_cam_lidar is None
    np.testing.assert_array_equal(unknown.image, known.image)
    np.testing.assert_array_equal(unknown.cloud.xyz, known.cloud.xyz)


def test_the_scan_moves_farther_as_the_run_goes_on() -> None:
    config = AugmentConfig(shift_m=10.0, shift_grows_over=400)
    assert [at_position(config, position).shift_m for position in (0, 100, 400, 10**6)] == [0, 2.5, 10, 10]
    assert at_position(AugmentConfig(shift_m=10.0), 0).shift_m == 10  # unless it says so, from the start


def test_a_scan_that_is_moved_stays_where_it_is_in_the_world() -> None:
    one = replace(scene(3), T_world_lidar=se3.exp_se3(np.array([0.1, 0.2, 0.3, 4.0, 5.0, 6.0])))
    moved = augment_cloud.move_scan(one, se3.exp_se3(np.array([0, 0, 0.4, 1.0, 2.0, 0.0])))
    before, after = (se3.transform(each.T_world_lidar, each.cloud.xyz.astype(float)) for each in (one, moved))
    np.testing.assert_allclose(after, before, atol=1e-4)
