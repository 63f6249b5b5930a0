"""A robot that stands still: its frames see one place and err alike, and the watch knows it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossi2p_core.calibrate.choose import Place, stops
from crossi2p_core.calibrate.config import CalibrateConfig
from crossi2p_core.calibrate.frames import Read
from crossi2p_core.calibrate.run import calibrate
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.evidence import Evidence
from crossi2p_core.monitor.places import number, since
from crossi2p_core.monitor.states import State
from crossi2p_core.monitor.watch import Said, Watch
from crossi2p_core.motion.standing import Places, View, alike, view_of
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import PointCloud, Prior, Sample

SIGMA = np.array([math.radians(0.12)] * 3 + [0.015] * 3)  # of a frame, as real ones have
TURN = np.array([0.0, math.radians(1.0), 0, 0, 0, 0])
COMMON = 0.7


def seen(sample: Sample) -> View:
    assert sample.T_cam_lidar is not None
    return view_of(sample.cloud, sample.camera, sample.T_cam_lidar)


def stay(watch: Watch, place: int, count: int, error: np.ndarray, move: np.ndarray | None = None,
         doubt: float = 0.01) -> list[Said]:
    """Frames of a robot that stands where registrations err by so many sigmas, alike but for a part."""
    rng = np.random.default_rng([place, watch.frames])
    off = SIGMA * error + (0 if move is None else move)
    own = np.sqrt(1 - COMMON) * SIGMA
    return [watch.observe(Evidence(str(i), off + own * rng.normal(size=6), np.diag(SIGMA**2), doubt=doubt, place=place))
            for i in range(count)]


def test_a_parked_robot_raises_no_alarm_however_long_it_stands_and_however_wrong_that_place_is() -> None:
    """Neither by what its frames measure nor by their doubts, which would both add up if the robot drove."""
    for seed in range(20):
        watch = Watch(np.eye(4))
        error = np.random.default_rng(seed).normal(size=6) + np.array([0.0, 2, 0, 0, 0, 2])
        said = stay(watch, seed, 100, error, doubt=0.3)
        assert {one.state for one in said} == {State.UNKNOWN}
        assert said[-1].words == "cannot tell: the robot stands still, and 50 frames show 1 of 3 places"
    driving = Watch(np.eye(4))
    assert any(stay(driving, place, 1, np.full(6, 2.0))[0].state is State.DECALIBRATED for place in range(60))


def test_a_camera_that_is_knocked_while_the_robot_is_parked_is_noticed_and_by_how_much() -> None:
    watch = Watch(np.eye(4))
    for place in range(5):  # where it came from
        stay(watch, place, 3, np.random.default_rng(place).normal(size=6))
    error = np.array([0.5, 2.0, 0, 0, -1, 0])
    before = stay(watch, 9, 20, error)
    assert before[-1].state is State.CALIBRATED
    after = stay(watch, 9, 20, error, TURN)
    assert [one.state for one in after[:3]] == [State.CALIBRATED] * 3  # somebody walks by
    assert after[-1].state is State.DECALIBRATED and after[-1].moved[0] == pytest.approx(1.0, abs=0.1)
    wrong = math.degrees(np.linalg.norm(TURN[:3] + SIGMA[:3] * error[:3]))
    assert wrong > 1.2  # what the frames say by themselves: the place's own error is known from before, and taken off
    seen = watch.where()
    assert se3.rotation_error_deg(seen.T, se3.exp_se3(TURN)) < 0.1


@pytest.mark.parametrize("rho", [0.0, 0.95])
@pytest.mark.parametrize("wider", [1.0, 4.0])
def test_what_a_place_tells_is_as_sure_as_is_said(rho: float, wider: float) -> None:
    """Against draws of the model: a place's error, that of each frame, and a move of nothing after the second frame.
    rho: correlation of all six numbers; wider: variance of what the newer frames add themselves."""
    rng, draws = np.random.default_rng(0), 3000
    place, length = np.array([4, 4, 4, 2, 2, 7, 4, 4]), 6  # newest first: two frames of place 4 are from before
    shape = np.linalg.cholesky((1 - rho) * np.eye(6) + rho)
    covariance = np.tile(shape @ shape.T, (8, 1, 1))
    covariance[:length] *= wider
    squared = []
    for _ in range(draws):
        of_place = shape @ rng.normal(size=(6, 3))
        own = shape @ rng.normal(size=(6, 8)) * np.sqrt(np.where(np.arange(8) < length, wider, 1.0))
        common = of_place[:, [0, 0, 0, 1, 1, 2, 0, 0]] * np.sqrt([(3 * wider + 2) / 5] * 3 + [wider] * 3
                                                                 + [(3 * wider + 2) / 5] * 2)
        told = since(length, (np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own).T, covariance, place, COMMON, 3)
        assert told is not None
        squared.append([x @ W @ x for x, W in zip(*told, strict=True)])
    np.testing.assert_allclose(np.mean(squared, axis=0), 6.0, rtol=0.15)  # medians of three are better than is said


def test_one_bad_frame_of_a_parked_robot_raises_no_alarm() -> None:
    """Also when it has driven on since."""
    watch = Watch(np.eye(4))
    for place in range(5):
        stay(watch, place, 1, np.zeros(6))
    stay(watch, 9, 20, np.zeros(6))
    stay(watch, 9, 1, np.array([0.0, 8, 0, 0, 0, 0]))  # somebody walks by
    said = stay(watch, 10, 30, np.zeros(6))
    assert {one.state for one in said} == {State.CALIBRATED}


def test_who_was_calibrated_and_parks_stays_so_in_words_that_say_what_that_rests_on() -> None:
    watch = Watch(np.eye(4))
    for place in range(20):
        stay(watch, place, 1, np.zeros(6))
    said = stay(watch, 99, 60, np.array([0.0, 1, 0, 0, 0, 0]))[-1]
    assert said.state is State.CALIBRATED and "inf" not in said.words
    assert said.words.endswith("(99 %, 50 frames; the robot stands still, and was calibrated before)")


def test_places_that_nobody_knows_are_each_their_own() -> None:
    assert number([None, 3, None, 3, 8]).tolist() == [0, 1, 2, 1, 4]
    xi, covariance = np.ones((4, 6)), np.tile(2 * np.eye(6), (4, 1, 1))
    told = since(3, xi, covariance, number([None] * 4), COMMON, 3)
    assert told is not None and np.array_equal(told[0], xi[:3]) and np.array_equal(told[1], 0.25 * covariance[:3])
    assert since(2, xi, covariance, number([None] * 4), COMMON, 3) is None
    assert since(4, xi, covariance, number([5] * 4), COMMON, 3) is None


def test_a_restart_forgets_no_place_and_takes_the_first_one_after_it_for_the_last_before_it() -> None:
    watch = Watch(np.eye(4))
    stay(watch, 0, 10, np.full(6, 2.0))
    assert stay(watch, 1, 10, np.full(6, 2.0))[-1].reading.score < 5
    again = Watch.from_dict(Watch.from_dict(watch.to_dict()).to_dict())
    first = again.newest_place
    assert first is not None and first < 0
    for place, known in ((first, 2), (0, 3), (1, 4)):
        assert again.observe(Evidence("", np.zeros(6), np.eye(6), place=place)).reading.places == known
    assert Watch(np.eye(4)).newest_place is None


def turned_about(sample: Sample) -> np.ndarray:
    """T_cam_lidar (4, 4) of a camera that looks the other way, where nobody walks about."""
    assert sample.T_cam_lidar is not None
    return se3.make(np.diag([-1.0, 1.0, -1.0]), np.zeros(3)) @ sample.T_cam_lidar


def test_scans_of_a_parked_vehicle_are_of_one_place_where_nothing_moves(data_dir: Path) -> None:
    """Eight real scans of 16 beams; before the camera people show it a board, each time elsewhere."""
    samples = list(open_source(str(data_dir / "rigs" / "acfr_vlp16_fisheye")))
    behind, before = Places(50), Places(50)
    assert {behind.of(view_of(each.cloud, each.camera, turned_about(each))) for each in samples} == {0}
    assert len({before.of(seen(each)) for each in samples}) > 2


@pytest.mark.parametrize("name", ["compact/kitti_raw_drive", "kitti_raw/2011_09_26/2011_09_26_drive_0000_sync"])
def test_scans_of_a_drive_in_a_jam_are_of_as_many_places(data_dir: Path, name: str) -> None:
    """4 to 24 cm from one to the next; the second ones at full size."""
    known, source = Places(50), open_source(str(data_dir / name))
    assert [known.of(seen(sample)) for sample in source] == list(range(len(source)))


@pytest.mark.parametrize("world", ["street?seed=3", "yard?seed=2", "hall?seed=2", "street?seed=1&lidar=vlp16",
                                   "street?seed=1&lidar=livox"])
def test_noise_and_lost_points_make_no_other_place_and_driving_does(world: str) -> None:
    """15 to 90 cm from one scan to the next."""
    samples = list(open_source(f"synthetic:{world}&frames=3"))
    known, rng = Places(50), np.random.default_rng(0)
    assert [known.of(seen(sample)) for sample in samples] == [0, 1, 2]
    xyz = samples[0].cloud.xyz
    ranges = np.linalg.norm(xyz, axis=1, keepdims=True)
    noisy = xyz * (1 + 0.015 * rng.normal(size=ranges.shape) / ranges)
    again = PointCloud.from_arrays(noisy[rng.random(len(noisy)) > 0.1])
    assert known.of(seen(replace(samples[0], cloud=again))) == 0


def test_what_parks_before_the_camera_makes_another_place() -> None:
    sample = open_source("synthetic:street?seed=3&frames=1")[0]
    xyz = sample.cloud.xyz
    lorry = (np.abs(xyz[:, 1]) < 0.7 * xyz[:, 0]) & (xyz[:, 2] > -1.5) & (xyz[:, 0] > 4)
    shown = replace(sample, cloud=PointCloud.from_arrays(np.where(lorry[:, None], xyz * (4 / xyz[:, :1]), xyz)))
    assert lorry.mean() < 0.3 and not alike(seen(sample), seen(shown))


def test_a_scan_of_next_to_nothing_is_a_place_of_its_own() -> None:
    known = Places(2)
    sample = open_source("synthetic:street?seed=1&frames=1")[0]
    for count in (0, 1, 50):
        cloud = PointCloud.from_arrays(np.full((count, 3), 2.0, np.float32))
        view = view_of(cloud, sample.camera, np.eye(4))
        assert known.of(view) != known.of(view)


def test_a_place_is_known_again_until_too_many_others_were_seen() -> None:
    views = [seen(sample) for sample in open_source("synthetic:street?seed=3&frames=3")]
    known = Places(2)
    assert [known.of(views[i]) for i in (0, 1, 0, 2, 0, 1)] == [0, 1, 0, 2, 0, 3]
    after_a_restart = Places(2, first=-4)
    assert [after_a_restart.of(views[i]) for i in (0, 0, 1, 2, 0)] == [-4, -4, 0, 1, 2]


def test_frames_of_a_robot_that_stands_still_count_once_in_a_calibration() -> None:
    """They agree to a tenth of a degree, which is no proof."""
    sample, rng = open_source("synthetic:street?seed=3&frames=1&camera=kitti")[0], np.random.default_rng(0)
    samples = tuple(replace(sample, name=str(i), T_world_lidar=None, stamp_cloud=float(i), cloud=PointCloud.from_arrays(
        sample.cloud.xyz[rng.random(len(sample.cloud)) > 0.1])) for i in range(6))
    truth = sample.T_cam_lidar
    assert truth is not None and stops([Place.of(each, truth) for each in samples]) == [6]
    registrar, config = Registrar(device="cpu", weights="none"), CalibrateConfig(folds=0)
    found = calibrate(Read(samples, ()), Prior(truth, 1.0, 0.1), registrar, config, lambda *_: None)
    assert found.verdict.status == "uncertain"
    assert "only 1 places were seen, 5 are asked: the robot stood still; let it drive" in found.verdict.reason
    assert np.linalg.eigvalsh(found.covariance - 6 * found.joint.covariance).min() > 0


def test_stops_of_many_frames_weigh_more_than_those_of_few() -> None:
    """Fifteen frames parked and five on the way: the mean is as good as that of 20 / 11.5 frames."""
    places = [Place(np.array([max(0, i - 14), 0.0, 0.0]), None) for i in range(20)]
    counts = stops(places)
    assert counts == [15, 1, 1, 1, 1, 1]
    rng = np.random.default_rng(0)
    means = np.array([np.repeat(rng.normal(size=6), counts).mean() for _ in range(40_000)])
    assert means.var() == pytest.approx(sum(count**2 for count in counts) / 20**2, rel=0.03)


def test_the_watch_says_nothing_before_it_has_seen_as_many_places_as_asked() -> None:
    watch = Watch(np.eye(4), MonitorConfig(least_frames=5))
    for place in range(4):
        said = stay(watch, place, 10, np.zeros(6))
    assert "40 frames show 4 of 5 places" in said[-1].words
    assert stay(watch, 4, 1, np.zeros(6))[-1].state is State.CALIBRATED


def test_views_of_a_few_cells_are_never_alike() -> None:
    few, enough = View(np.arange(149), np.ones(149)), View(np.arange(150), np.ones(150))
    assert not alike(few, few) and alike(enough, enough)
