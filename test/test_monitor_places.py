"""A robot that stands still: its frames see one place and err alike, and the watch knows it."""

from __future__ import annotations

import math
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
from crossi2p_core.motion.standing import Places, alike, view_of
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import PointCloud, Prior

SIGMA = np.array([math.radians(0.12)] * 3 + [0.015] * 3)  # of a frame, as real ones have
TURN = np.array([0.0, math.radians(1.0), 0, 0, 0, 0])
COMMON = 0.7


def stay(watch: Watch, place: int, count: int, error: np.ndarray, move: np.ndarray | None = None,
         doubt: float = 0.01) -> list[Said]:
    """Frames of a robot that stands where registrations err by so many sigmas, all alike but for a third."""
    rng = np.random.default_rng(place)
    off = SIGMA * error + (0 if move is None else move)
    return [watch.observe(Evidence(str(i), off + 0.3 * SIGMA * rng.normal(size=6), np.diag(SIGMA**2), doubt=doubt,
                                   place=place)) for i in range(count)]


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


def test_what_a_place_tells_is_as_sure_as_is_said() -> None:
    """Against draws of the model: a place's error, that of each frame, and a move after the second frame."""
    rng, draws = np.random.default_rng(0), 40_000
    place, length = np.array([4, 4, 4, 2, 2, 7, 4, 4]), 6  # newest first: two frames of place 4 are from before
    of_place = np.sqrt(COMMON) * rng.normal(size=(draws, 3))[:, [0, 0, 0, 1, 1, 2, 0, 0]]
    errors = of_place + np.sqrt(1 - COMMON) * rng.normal(size=(draws, 8))
    told = [since(length, np.repeat(error[:, None], 6, axis=1), np.tile(np.eye(6), (8, 1, 1)), place, COMMON, 3)
            for error in errors[:4000]]
    deviation = np.array([one[0][:, 0] for one in told if one is not None])
    information = np.array([one[1][:, 0, 0] for one in told if one is not None])
    assert deviation.shape == (4000, 3)
    np.testing.assert_allclose(deviation.var(axis=0) * information[0], 1.0, atol=0.12)
    np.testing.assert_allclose(1 / information[0], [0.7 * 0.15 / 0.85 + 0.05 * np.pi, 0.7 + 0.15, 1.0])


def test_places_that_nobody_knows_are_each_their_own() -> None:
    assert number([None, 3, None, 3, 8]).tolist() == [0, 1, 2, 1, 4]
    xi, information = np.ones((4, 6)), np.tile(np.eye(6), (4, 1, 1))
    told = since(3, xi, information, number([None] * 4), COMMON, 3)
    assert told is not None and np.array_equal(told[0], xi[:3]) and np.array_equal(told[1], information[:3])
    assert since(2, xi, information, number([None] * 4), COMMON, 3) is None
    assert since(4, xi, information, number([5] * 4), COMMON, 3) is None


def test_a_restart_forgets_no_place_and_mistakes_none_for_a_new_one() -> None:
    watch = Watch(np.eye(4))
    stay(watch, 0, 10, np.full(6, 2.0))
    assert stay(watch, 1, 10, np.full(6, 2.0))[-1].reading.score < 5
    again = Watch.from_dict(Watch.from_dict(watch.to_dict()).to_dict())
    assert [again.observe(Evidence("", np.zeros(6), np.eye(6), place=0)).reading.places for _ in range(2)] == [3, 3]


@pytest.mark.parametrize(("rig", "places"), [("acfr_vlp16_fisheye", 1), ("nuscenes", 1)])
def test_scans_of_a_parked_vehicle_are_of_one_place(data_dir: Path, rig: str, places: int) -> None:
    """Eight scans of 16 beams with people before them; three cameras of one scan."""
    source, known = open_source(str(data_dir / "rigs" / rig)), Places(50)
    assert len(source) >= 3 and {known.of(sample.cloud) for sample in source} == set(range(places))


def test_scans_of_a_drive_in_a_jam_are_of_as_many_places(data_dir: Path) -> None:
    """4 to 24 cm from one to the next."""
    known = Places(50)
    source = open_source(str(data_dir / "compact" / "kitti_raw_drive"))
    assert [known.of(sample.cloud) for sample in source] == list(range(len(source)))


def test_noise_and_lost_points_make_no_other_place_and_a_step_aside_does() -> None:
    cloud = open_source("synthetic:street?seed=3&frames=1")[0].cloud
    rng, ranges = np.random.default_rng(0), np.linalg.norm(cloud.xyz, axis=1, keepdims=True)
    noisy = cloud.xyz * (1 + 0.02 * rng.normal(size=ranges.shape) / ranges)
    again = PointCloud.from_arrays(noisy[rng.random(len(noisy)) > 0.2])
    assert alike(view_of(cloud), view_of(again))
    assert not alike(view_of(cloud), view_of(PointCloud.from_arrays(cloud.xyz + np.float32([0, 0.4, 0]))))


def test_a_scan_of_next_to_nothing_is_a_place_of_its_own() -> None:
    known = Places(2)
    for count in (0, 1, 50):
        cloud = PointCloud.from_arrays(np.full((count, 3), 2.0, np.float32))
        assert known.of(cloud) != known.of(cloud)


def test_a_place_is_known_again_until_too_many_others_were_seen() -> None:
    cloud = open_source("synthetic:street?seed=1&frames=1")[0].cloud
    clouds = [PointCloud.from_arrays(cloud.xyz + np.float32([0, aside, 0])) for aside in (0, 1, 2)]
    known = Places(2)
    assert [known.of(clouds[i]) for i in (0, 1, 0, 2, 0, 1)] == [0, 1, 0, 2, 0, 3]


def test_frames_of_a_robot_that_stands_still_count_once_in_a_calibration(data_dir: Path) -> None:
    """They agree to a tenth of a degree, which is no proof."""
    samples = tuple(open_source(str(data_dir / "rigs" / "acfr_vlp16_fisheye")))
    assert stops([Place.of(sample) for sample in samples]) == 1
    truth = samples[0].T_cam_lidar
    assert truth is not None
    registrar, config = Registrar(device="cpu", weights="none"), CalibrateConfig(folds=0)
    found = calibrate(Read(samples, ()), Prior(truth, 1.0, 0.1), registrar, config, lambda *_: None)
    assert found.verdict.status == "uncertain"
    assert "only 1 places were seen, 5 are asked: the robot stood still; let it drive" in found.verdict.reason
    assert np.linalg.slogdet(found.covariance)[1] > np.linalg.slogdet(8 * found.joint.covariance)[1]


def test_the_watch_says_nothing_before_it_has_seen_as_many_places_as_asked() -> None:
    watch = Watch(np.eye(4), MonitorConfig(least_frames=5))
    for place in range(4):
        said = stay(watch, place, 10, np.zeros(6))
    assert "40 frames show 4 of 5 places" in said[-1].words
    assert stay(watch, 4, 1, np.zeros(6))[-1].state is State.CALIBRATED
