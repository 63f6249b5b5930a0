"""How the LiDAR moved between frames, scans straightened and joined: against worlds whose motion is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import crossi2p

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.source import Source
from crossi2p_core.datasets.synthetic import SyntheticSource
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.motion.accumulated import Accumulated, hidden, join, seen_through, track_of
from crossi2p_core.motion.scan_matching import match, ready
from crossi2p_core.motion.straighten import straighten
from crossi2p_core.motion.track import Track
from crossi2p_core.types import Camera, PointCloud, Sample

STEP = se3.exp_se3(np.array([0.0, 0.004, 0.02, 0.8, 0.05, 0.0]))
CAMERA = Camera(np.array([[10.0, 0, 5], [0, 10.0, 5], [0, 0, 1]]), 10, 10)


class Drive(Source):
    """Frames with poses and stamps, and the same cloud everywhere."""

    def __init__(self, poses: list[np.ndarray | None], stamps: list[float | None], rigs: str) -> None:
        super().__init__(Path("drive"), [str(i) for i in range(len(poses))])
        self.poses, self.stamps, self.rigs = poses, stamps, rigs

    def _load(self, index: int) -> Sample:
        cloud = PointCloud(np.eye(3, dtype=np.float32) * 10)
        return Sample(self.names[index], np.zeros((10, 10, 3), np.uint8), CAMERA, cloud, None, self.poses[index],
                      self.stamps[index], self.stamps[index], self.rigs[index])


def drive(count: int = 5, rigs: str = "aaaaa", **changed: dict[int, object]) -> Drive:
    poses = [np.linalg.matrix_power(STEP, i) for i in range(count)]
    stamps = [0.1 * i for i in range(count)]
    for index, pose in changed.get("poses", {}).items():
        poses[index] = pose  # type: ignore[assignment]
    for index, stamp in changed.get("stamps", {}).items():
        stamps[index] = stamp  # type: ignore[call-overload]
    return Drive(poses, stamps, rigs)  # type: ignore[arg-type]


def test_motion_is_that_of_the_poses() -> None:
    track = Track(drive())
    np.testing.assert_allclose(track.between(1, 3), STEP @ STEP, atol=1e-9)
    np.testing.assert_allclose(track.between(3, 1), se3.inverse(STEP @ STEP), atol=1e-9)
    np.testing.assert_allclose(track.between(2, 2), np.eye(4))
    for index in (0, 2, 4):  # at the end by the step before
        np.testing.assert_allclose(track.twist(index), 10 * se3.log_se3(STEP), atol=1e-6)


@pytest.mark.parametrize("broken", [
    drive(rigs="aaabb"), drive(stamps={3: 9.0}), drive(stamps={3: 0.1}),
    drive(poses={3: se3.make(np.eye(3), np.array([500.0, 0, 0])) @ STEP}), drive(poses={3: np.full((4, 4), np.nan)})])
def test_what_is_no_motion_is_not_told(broken: Drive) -> None:
    """Another rig, a pause, a clock that runs back, a jump of the poses, no number."""
    track = Track(broken)
    assert track.between(1, 4) is None and track.between(0, 2) is not None
    assert track.twist(2) is not None  # by the step before


def test_the_speed_of_a_vehicle_that_brakes_is_the_one_at_the_scan() -> None:
    """6 m/s less each second, at scans that are not evenly apart."""
    stamps = [0.0, 0.1, 0.35, 0.45]
    track = Track(Drive([se3.make(np.eye(3), np.array([10 * t - 3 * t**2, 0, 0])) for t in stamps], stamps, "aaaa"))
    for index in (1, 2):
        np.testing.assert_allclose(track.twist(index), [0, 0, 0, 10 - 6 * stamps[index], 0, 0], atol=1e-9)


def test_without_stamps_there_is_no_speed() -> None:
    assert Track(drive(stamps=dict.fromkeys(range(5)))).twist(1) is None


@pytest.fixture(scope="module")
def street() -> SyntheticSource:
    return SyntheticSource("street", seed=3, frames=4, lidar="vlp16")


def moved(source: Source, i: int, j: int) -> np.ndarray:
    a, b = source[i].T_world_lidar, source[j].T_world_lidar
    assert a is not None and b is not None
    return se3.inverse(a) @ b


def test_scans_are_matched(street: SyntheticSource) -> None:
    pytest.importorskip("open3d", reason="needs open3d: pip install 'crossi2p_ros[viz]'")
    found = match(ready(street[0].cloud), ready(street[1].cloud))
    assert found is not None
    truth = moved(street, 0, 1)
    assert np.linalg.norm(truth[:3, 3]) > 0.5
    assert se3.rotation_error_deg(found, truth) < 0.1 and se3.translation_error_m(found, truth) < 0.01


def test_what_drives_along_does_not_hold_back_the_match(street: SyntheticSource) -> None:
    pytest.importorskip("open3d", reason="needs open3d: pip install 'crossi2p_ros[viz]'")
    rng = np.random.default_rng(0)
    backs = []
    for ahead, aside in ((9, 0), (14, 3.5), (12, -3.5)):  # of lorries that are always as far ahead
        u, v = rng.uniform(-1, 1, (2, 2500))
        backs.append(np.stack([ahead + 0 * u, aside + 1.5 * u, 0.6 + 1.6 * v], axis=1).astype(np.float32))
    clouds = [PointCloud(np.concatenate([street[i].cloud.xyz, *backs])) for i in (0, 1)]
    found = match(ready(clouds[0]), ready(clouds[1]))
    assert found is not None and se3.translation_error_m(found, moved(street, 0, 1)) < 0.004


def test_scans_of_different_places_do_not_match(street: SyntheticSource) -> None:
    pytest.importorskip("open3d", reason="needs open3d: pip install 'crossi2p_ros[viz]'")
    other = SyntheticSource("hall", seed=5, frames=1, lidar="vlp16")[0].cloud
    assert match(ready(street[0].cloud), ready(other)) is None
    assert match(ready(street[0].cloud), ready(PointCloud(other.xyz[:50]))) is None


def test_a_bent_scan_is_straightened() -> None:
    rng = np.random.default_rng(0)
    world = rng.uniform(-20, 20, (500, 3))
    time = np.linspace(0, 0.1, 500).astype(np.float32)
    twist = np.array([0.02, -0.01, 0.4, 12.0, 0.3, 0.1])
    seen = np.array([se3.transform(se3.inverse(se3.exp_se3(t * twist)), p) for t, p in zip(time, world, strict=True)])
    bent = PointCloud.from_arrays(seen, time=time)
    assert np.abs(bent.xyz - world).max() > 0.5
    np.testing.assert_allclose(straighten(bent, twist).xyz, world, atol=0.03)  # an instant is 1.6 ms wide
    plain = PointCloud(bent.xyz)
    assert straighten(plain, twist) is plain


def wall(distance: float, half_width: float, spacing: float = 0.1, half_height: float = 1) -> np.ndarray:
    y, z = np.meshgrid(np.arange(-half_width, half_width, spacing), np.arange(-half_height, half_height, spacing))
    return np.stack([np.full(y.size, distance), y.ravel(), z.ravel()], axis=1).astype(np.float32)


def test_what_stands_behind_a_wall_is_hidden_and_what_stands_beside_it_is_not() -> None:
    near, behind, beside = wall(8, 2), wall(16, 1.5), wall(16, 1) + np.float32([0, 7, 0])
    gone = hidden(np.concatenate([near, behind, beside]))
    assert not gone[:len(near)].any() and not gone[-len(beside):].any()
    inner = np.abs(behind[:, 2]) < 0.8
    assert gone[len(near):-len(beside)][inner].mean() > 0.95


def test_what_beams_passed_through_has_moved_on() -> None:
    own, ghost, aside = wall(16, 6, 0.2, 3), wall(8, 1), wall(8, 1) + np.float32([0, 20, 0])
    assert seen_through(ghost, own).all()
    assert not seen_through(aside, own).any()  # where no beam looked, nobody knows
    assert not seen_through(own + np.float32([0.1, 0, 0]), own).any()
    assert seen_through(ghost, own[:1]).shape == (len(ghost),)


def test_joined_scans_keep_their_own_points_and_intensities() -> None:
    facade = wall(16, 6, 0.1, 3)
    own = PointCloud(facade, np.full(len(facade), 0.25, np.float32), dropped=3)
    other = PointCloud(np.concatenate([wall(16.1, 6, 0.3), wall(8, 1), wall(24, 4)]))
    other = replace(other, intensity=np.full(len(other), 0.75, np.float32))
    joined = join(own, [other])
    np.testing.assert_array_equal(joined.xyz[:len(own)], own.xyz)
    assert len(joined) == len(own) + len(wall(16.1, 6, 0.3)) and joined.dropped == 3  # no ghost, nothing hidden
    assert joined.intensity is not None and set(np.unique(joined.intensity)) == {0.25, 0.75}
    assert join(own, [replace(other, intensity=None)]).intensity is None


def test_an_accumulated_source_is_the_source_with_fuller_clouds(street: SyntheticSource) -> None:
    joined = Accumulated(street, 1)
    assert joined.names == street.names and track_of(joined) is joined.track
    assert joined.identity() != street.identity()
    sample, plain = joined[1], street[1]
    np.testing.assert_array_equal(sample.image, plain.image)
    np.testing.assert_array_equal(sample.cloud.xyz[:len(plain.cloud)], plain.cloud.xyz)  # its times are not believed
    assert 2 * len(plain.cloud) < len(sample.cloud) <= sum(len(street[i].cloud) for i in range(3))


def test_neighbours_in_another_place_are_left_alone() -> None:
    broken = drive(poses={3: se3.make(np.eye(3), np.array([500.0, 0, 0]))})
    assert len(Accumulated(broken, 2)[2].cloud) <= 3 * len(broken[2].cloud)
    assert len(Accumulated(broken, 2)[3].cloud) <= 2 * len(broken[3].cloud)


def test_a_frame_that_cannot_be_read_is_missed_by_itself_alone() -> None:
    class Broken(Drive):
        def _load(self, index: int) -> Sample:
            if index == 3:
                raise InputError("3.png is cut off")
            sample = super()._load(index)
            return replace(sample, cloud=replace(sample.cloud, time=np.linspace(0, 0.1, 3, dtype=np.float32)))

    whole = drive(count=6, rigs="aaaaaa")
    source = Broken(whole.poses, whole.stamps, whole.rigs)
    joined = Accumulated(source, 2)
    assert [len(joined[i].cloud) for i in (2, 4)] == [9, 6]  # with two before it, and one after
    with pytest.raises(InputError, match="cut off"):
        joined[3]
    np.testing.assert_allclose(Track(source).twist(2), 10 * se3.log_se3(STEP), atol=1e-6)  # by the step before
    assert Track(source).between(2, 4) is None


def test_the_command_takes_no_more_than_it_can() -> None:
    outcome = crossi2p("calibrate", "synthetic:street", "--accumulate", "99")
    assert outcome.code == 2 and "--accumulate" in outcome.err


@pytest.mark.slow
def test_joined_scans_of_sixteen_beams_are_more_exact(tmp_path: Path) -> None:
    source = "synthetic:yard?seed=1&frames=12&lidar=vlp16&camera=kitti"
    settings = tmp_path / "settings.yaml"
    settings.write_text("candidates: 4\nframes: 4\nfolds: 0\nleast_frames: 1\n")
    truth = open_source(source)[0].T_cam_lidar
    assert truth is not None
    errors = {}
    for sweeps in (0, 3):
        out = tmp_path / str(sweeps)
        assert crossi2p("calibrate", source, "--frames", "3:9", "--perturb", "2,20", "--config", settings, "--weights",
                        "none", "--accumulate", sweeps, "--out", out).code == 0
        errors[sweeps] = se3.rotation_error_deg(read_calibration(out / "extrinsic.yaml"), truth)
    assert errors[3] < 0.5 * errors[0]


def test_nobody_knows_how_it_moved_in_a_pause() -> None:
    track = Track(drive(stamps={3: 3.0, 4: 3.1}))
    assert track.between(1, 2) is not None and track.between(2, 3) is None


def test_a_scan_that_was_straightened_is_straight() -> None:
    rng = np.random.default_rng(0)
    bent = PointCloud(rng.normal(0, 10, (50, 3)).astype(np.float32), time=np.linspace(0, 0.1, 50).astype(np.float32))
    twist = np.array([0, 0, 0.3, 5.0, 0, 0])
    once = straighten(bent, twist)
    assert not np.allclose(once.xyz, bent.xyz)
    np.testing.assert_array_equal(straighten(once, twist).xyz, once.xyz)


def test_the_vehicle_itself_is_joined_from_no_other_scan() -> None:
    class Near(Drive):
        def _load(self, index: int) -> Sample:
            points = np.array([[1.0, 0.5, 0], [10, 0, 0]], np.float32)
            return replace(super()._load(index), cloud=PointCloud(points))

    source = Near([np.linalg.matrix_power(STEP, k) for k in range(3)], [0.1 * k for k in range(3)], "aaa")
    assert all(len(cloud) == 1 for cloud in Accumulated(source, 1)._along(1, 1))
