"""Thinning, levels and neighbours of clouds for the network, on known and on broken clouds."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.model.batch import PointPyramid
from crossi2p_core.model.config import PointEncoderConfig, preset
from crossi2p_core.model.nearest import itself_first, nearest_of_one
from crossi2p_core.model.point_features import POINT_FEATURES, point_features, select_points
from crossi2p_core.model.point_pyramid import build_pyramid, build_pyramid_on_device, levels_of
from crossi2p_core.types import PointCloud

CONFIG = PointEncoderConfig(points=512, ratio=3, neighbours=8)


def street(count: int = 4000, seed: int = 0) -> np.ndarray:
    """A road and two walls, far denser near the sensor, as scans are."""
    rng = np.random.default_rng(seed)
    reach = 3.5 * 20 ** rng.random(count)
    angle = 2 * np.pi * rng.random(count)
    road = np.stack([reach * np.cos(angle), reach * np.sin(angle), np.full(count, -1.7)], axis=1)
    road[:, 2] += np.where(np.abs(road[:, 1]) > 8, 4 * rng.random(count), 0.01 * rng.normal(size=count))
    return road.astype(np.float32)


def build(xyz: np.ndarray, config: PointEncoderConfig = CONFIG, seed: int = 0) -> PointPyramid:
    sensor = np.linspace(0, 1, 2 * len(xyz), dtype=np.float32).reshape(-1, 2)
    return build_pyramid(xyz, sensor, config, np.random.default_rng(seed))


def rebuilt(pyramid: PointPyramid, xyz: Tensor) -> PointPyramid:
    """The same points at other places xyz (1, N_0, 3): neighbours and features found anew."""
    return levels_of(xyz, pyramid.features[..., :2], pyramid.valid[0].sum(dim=1), CONFIG, nearest_of_one)


def turned(xyz: Tensor, degrees: float) -> Tensor:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return xyz @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=xyz.dtype)


def assert_sound(pyramid: PointPyramid, config: PointEncoderConfig) -> None:
    """Shapes as promised, rows that are not there repeat others, and nothing points at them."""
    for level, size in enumerate(config.level_sizes):
        xyz, valid, index = pyramid.xyz[level][0], pyramid.valid[level][0], pyramid.neighbours[level][0]
        count = int(valid.sum())
        assert xyz.shape == (size, 3) and index.shape == (size, config.neighbours) and count > 0
        assert valid[:count].all() and torch.equal(xyz, xyz[torch.arange(size) % count])
        assert int(index.max()) < count and int(index.min()) >= 0
        assert torch.equal(index[:, 0], torch.arange(size) % count)  # itself first
        if level < 2:
            above = int(pyramid.valid[level + 1].sum())
            assert pyramid.down[level].shape == (1, config.level_sizes[level + 1], config.neighbours)
            assert int(pyramid.down[level].max()) < count and int(pyramid.up[level].max()) < above
            assert torch.equal(xyz[pyramid.down[level][0, :, 0]], pyramid.xyz[level + 1][0])  # a subset, itself first
    assert pyramid.features.shape == (1, config.points, len(POINT_FEATURES))
    assert pyramid.features.isfinite().all()


def test_neighbours_and_the_levels_between_are_those_of_brute_force() -> None:
    pyramid = build(street())
    assert_sound(pyramid, CONFIG)
    for level in range(3):
        xyz = pyramid.xyz[level][0].double()
        distance = (xyz[:, None] - xyz).norm(dim=2)
        found = distance.gather(1, pyramid.neighbours[level][0])
        assert torch.allclose(found, distance.topk(CONFIG.neighbours, largest=False).values, atol=1e-6)
        if level < 2:
            across = (xyz[:, None] - pyramid.xyz[level + 1][0].double()).norm(dim=2)
            assert torch.allclose(across.gather(1, pyramid.up[level][0, :, None])[:, 0], across.amin(dim=1), atol=1e-6)
            assert torch.equal(pyramid.down[level][0], pyramid.neighbours[level][0][pyramid.down[level][0, :, 0]])


def test_the_device_builds_what_the_tree_builds() -> None:
    clouds = [street(2000, 1), street(300, 2), street(20, 3)]  # two of fewer points than asked, one of few superpoints
    xyz, valid = torch.zeros(3, 2000, 3), torch.zeros(3, 2000, dtype=torch.bool)
    for i, cloud in enumerate(clouds):
        xyz[i, :len(cloud)], valid[i, :len(cloud)] = torch.from_numpy(cloud), True
    xyz[1, 300:] = xyz[2, 20:] = torch.tensor([5.0, 0, 0])  # must not be seen
    both = build_pyramid_on_device(xyz, torch.rand(3, 2000, 2), CONFIG, valid, torch.Generator().manual_seed(3))
    for i in range(3):
        one = PointPyramid(*(tuple(t[i:i + 1] for t in part) if isinstance(part, tuple) else part[i:i + 1]
                             for part in (getattr(both, f.name) for f in fields(both))))
        assert_sound(one, CONFIG)
        by_tree = rebuilt(one, one.xyz[0])
        assert int(one.valid[0].sum()) == min(512, len(clouds[i]))
        for name in ("xyz", "valid", "neighbours", "down", "up"):
            assert all(torch.equal(a, b) for a, b in zip(getattr(one, name), getattr(by_tree, name), strict=True)), name
        assert torch.allclose(one.features, by_tree.features, atol=1e-5)


def test_coverage_is_even_as_seen_from_the_sensor() -> None:
    xyz = street(60_000)
    xyz = np.concatenate([xyz, xyz[np.linalg.norm(xyz, axis=1) < 8].repeat(8, axis=0)])  # the sensor bunches its beams
    pyramid = build(xyz, PointEncoderConfig(points=2048, ratio=3, neighbours=8))
    ranges = np.linalg.norm(xyz, axis=1)
    kept = pyramid.xyz[-1][0].numpy()  # superpoints
    drawn = xyz[np.random.default_rng(0).permutation(len(xyz))[:len(kept)]]
    holes, random_holes = (np.percentile(cKDTree(some).query(xyz)[0][ranges > 12] / ranges[ranges > 12], 99)
                           for some in (kept, drawn))
    assert holes < 0.7 * random_holes  # of angle, far away
    logs = np.log(np.linalg.norm(kept, axis=1))
    shares = np.histogram(logs, bins=4, range=(np.log(4), np.log(65)))[0] / len(kept)
    assert shares.min() > 0.08  # both near and far; 1 % of a draw at random lie beyond


def test_the_same_seed_gives_the_same_and_another_something_else() -> None:
    xyz = street()
    one, same, other = build(xyz), build(xyz), build(xyz, seed=1)
    assert torch.equal(one.xyz[0], same.xyz[0]) and torch.equal(one.features, same.features)
    assert not torch.equal(one.xyz[0], other.xyz[0])


def test_no_point_is_taken_twice_while_there_are_others() -> None:
    for count in (512, 513, 700, 4000):
        chosen = build(street(count)).xyz[0][0].numpy()
        assert len(np.unique(chosen, axis=0)) == 512


def test_each_point_keeps_what_its_sensor_says() -> None:
    xyz = street()
    sensor = np.stack([np.arange(len(xyz)), np.ones(len(xyz))], axis=1).astype(np.float32)
    pyramid = build_pyramid(xyz, sensor, CONFIG, np.random.default_rng(0))
    rows = pyramid.features[0, :, 0].long().numpy()
    assert np.array_equal(xyz[rows], pyramid.xyz[0][0].numpy())


def test_fewer_points_than_asked_repeat() -> None:
    pyramid = build(street(100))
    assert_sound(pyramid, CONFIG)
    assert [int(v.sum()) for v in pyramid.valid] == [100, 33, 11]


@pytest.mark.parametrize("name", ["line", "duplicates", "one place", "on the axis", "least"])
def test_degenerate_clouds_make_sound_pyramids(name: str) -> None:
    along = np.linspace(4, 60, 200)
    clouds = {
        "line": np.stack([along, 0 * along, 0 * along], axis=1),
        "duplicates": street(20).repeat(30, axis=0),
        "one place": np.tile([5.0, 1.0, 0.5], (900, 1)),
        "on the axis": np.stack([0 * along, 0 * along, along], axis=1),
        "least": street(9),
    }
    assert_sound(build(clouds[name].astype(np.float32)), CONFIG)


@pytest.mark.parametrize("count", [0, 1, 8])
def test_a_cloud_that_is_too_small_is_refused_in_words(count: int) -> None:
    with pytest.raises(InputError, match=f"a cloud with {count} usable points is too small for the network; it needs"):
        build(street(20)[:count])


def test_a_cloud_that_is_not_finite_is_refused_and_selection_makes_it_finite() -> None:
    xyz = street(100)
    xyz[3, 1], xyz[5, 2] = np.nan, np.inf
    with pytest.raises(InputError, match="NaN or infinite"):
        build(xyz)
    assert len(select_points(PointCloud(xyz), CONFIG)) == 98


def test_selection_leaves_out_the_vehicle_and_what_is_too_far() -> None:
    xyz = np.array([[2.9, 0, 5], [3.1, 0, -1], [0, -3.1, 0], [79, 0, 0], [79, 0, 20], [0, 0, 0]], np.float32)
    cloud = PointCloud(xyz, intensity=np.linspace(0, 1, 6, dtype=np.float32))
    kept = select_points(cloud, CONFIG)
    assert np.array_equal(kept.xyz, xyz[1:4]) and np.allclose(kept.intensity, [0.2, 0.4, 0.6])


def test_missing_intensity_is_told_apart_from_black() -> None:
    xyz = street(10)
    assert (point_features(PointCloud(xyz)) == 0).all()
    dark = point_features(PointCloud(xyz, intensity=np.zeros(10, np.float32)))
    assert (dark == [0, 1]).all()


def feature(pyramid: PointPyramid, name: str) -> np.ndarray:
    return pyramid.features[0, :, POINT_FEATURES.index(name)].numpy()


@pytest.mark.parametrize(("shape", "high"), [
    ("road", {"planarity": 0.35, "level": 0.35}), ("wall", {"planarity": 0.35, "facing": 0.35}),
    ("pole", {"linearity": 0.9, "upright": 0.9}), ("cable", {"linearity": 0.9}), ("bush", {"scattering": 0.15}),
])
def test_shapes_are_told_apart(shape: str, high: dict[str, float]) -> None:
    a, b, c = np.random.default_rng(0).uniform(-1, 1, (3, 600))
    x, y, z = {"road": (10 + a, b, 0 * a - 1.7), "wall": (0 * a + 10, b, c), "pole": (0 * a + 10, 0 * a, 2 * c),
               "cable": (0 * a + 10, 3 * b, 0 * a), "bush": (10 + a, b, c)}[shape]
    pyramid = build(np.stack([x, y, z], axis=1).astype(np.float32))
    for name, least in high.items():
        assert np.median(feature(pyramid, name)) > least, name
    for name in {"scattering", "upright", "level", "facing"} - set(high):
        assert np.median(feature(pyramid, name)) < 0.3, name


def test_shape_features_are_those_of_the_eigenvectors() -> None:
    pyramid = build(street())
    index = pyramid.neighbours[0][0]
    xyz = pyramid.xyz[0][0].double().numpy()
    for i in range(0, 512, 37):
        near = xyz[index[i]]
        values, vectors = np.linalg.eigh(np.cov(near.T, bias=True))
        c, b, a = values
        outward = np.array([*xyz[i, :2], 0]) / np.linalg.norm(xyz[i, :2])
        expected = {"linearity": (a - b) / a, "planarity": (b - c) / a, "scattering": c / a,
                    "upright": (a - b) / a * vectors[2, 2] ** 2, "level": (b - c) / a * vectors[2, 0] ** 2,
                    "facing": (b - c) / a * (vectors[:, 0] @ outward) ** 2}
        for name, value in expected.items():
            assert feature(pyramid, name)[i] == pytest.approx(value, abs=2e-3), name


def test_yaw_changes_neither_features_nor_neighbours() -> None:
    pyramid = build(street())
    for degrees in (37.0, 180.0, -91.0):
        after = rebuilt(pyramid, turned(pyramid.xyz[0].double(), degrees).float())
        assert float((after.features - pyramid.features).abs().max()) < 1e-3
        for level in range(3):
            assert (after.neighbours[level] == pyramid.neighbours[level]).float().mean() > 0.999


def test_a_tree_that_answers_a_twin_first_is_corrected() -> None:
    index = np.array([[1, 0, 2], [1, 0, 2], [0, 1, 3], [3, 2, 1]])
    assert np.array_equal(itself_first(index), [[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 2, 1]])


@pytest.mark.parametrize("rig", ["kitti_object/training", "rigs/livox", "rigs/acfr_vlp16_fisheye", "rigs/nuscenes"])
def test_scans_of_real_sensors_become_sound_pyramids(data_dir: Path, rig: str) -> None:
    config = preset("light").points
    cloud = select_points(open_source(str(data_dir / rig))[0].cloud, config)
    pyramid = build_pyramid(cloud.xyz, point_features(cloud), config, np.random.default_rng(0))
    assert_sound(pyramid, config)
    assert pyramid.valid[0].all() == (len(cloud) >= config.points)
    reach = np.linalg.norm(cloud.xyz, axis=1)
    far = pyramid.xyz[-1][0].norm(dim=1).numpy()
    assert far.min() < np.percentile(reach, 5) and far.max() > np.percentile(reach, 99.5)
