"""The time offset between camera and LiDAR: simulated frames with a known one, and a drive that was made with one."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import crossi2p

from crossi2p_core.calibrate.agree import agree
from crossi2p_core.calibrate.config import CalibrateConfig
from crossi2p_core.calibrate.frames import Looked, Read, read_frames
from crossi2p_core.calibrate.in_time import look_in_time
from crossi2p_core.calibrate.look import Seen
from crossi2p_core.calibrate.run import calibrate
from crossi2p_core.calibrate.time_offset import (
    TimeOffset,
    at_exposure,
    clock_error,
    clock_sigma,
    find_time_offset,
    gap_of,
)
from crossi2p_core.calibration_file import Extrinsic, write_calibration
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.synthetic import LateSource
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.pose_covariance import covariance_to_ros
from crossi2p_core.motion.track import Track
from crossi2p_core.types import Camera, PointCloud, Prior, Registration, Sample

TAU = 0.04
MIDDLE = se3.make(se3.exp_so3(np.array([0.1, -1.2, 0.3])), np.array([0.3, -0.2, 0.1]))
SIGMA = [*np.radians([0.1, 0.1, 0.1]), 0.02, 0.02, 0.05]


def seen(rng: np.random.Generator, frames: int, tau: float, gaps: np.ndarray,
         twists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses and covariances of frames whose images are late."""
    noise = rng.normal(size=(frames, 6)) * SIGMA
    moved = se3.exp_se3(-(tau + gaps)[:, None] * twists)
    return se3.exp_se3(noise) @ MIDDLE @ moved, np.broadcast_to(np.diag(np.square(SIGMA)), (frames, 6, 6))


def drive(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Twists of a car that turns and changes its speed."""
    twists = np.zeros((frames, 6))
    twists[:, 2], twists[:, 3] = rng.uniform(-0.3, 0.3, frames), rng.uniform(0, 12, frames)
    return twists


def found(rng: np.random.Generator, frames: int, tau: float = TAU, twists: np.ndarray | None = None,
          gaps: np.ndarray | None = None) -> TimeOffset:
    gaps = np.zeros(frames) if gaps is None else gaps
    twists = drive(rng, frames) if twists is None else twists
    T, covariance = seen(rng, frames, tau, gaps, twists)
    offset = find_time_offset(T, covariance, MIDDLE, twists, gaps)
    assert offset is not None
    return offset


def test_a_known_offset_is_found_as_well_as_it_says() -> None:
    rng = np.random.default_rng(0)
    told = [found(rng, 20) for _ in range(200)]
    z = np.array([(one.seconds - TAU) / one.sigma_s for one in told])
    assert 0.7 < z.std() < 1.4 and abs(z.mean()) < 0.3
    assert all(one.shown for one in told)


def test_stamps_that_differ_are_taken_into_account() -> None:
    rng = np.random.default_rng(1)
    offset = found(rng, 20, gaps=rng.uniform(-0.05, 0.05, 20))
    assert abs(offset.seconds - TAU) < 4 * offset.sigma_s < 0.01


def test_none_is_seldom_shown() -> None:
    rng = np.random.default_rng(2)
    assert sum(found(rng, 20, tau=0.0).shown for _ in range(200)) == 0


def test_one_speed_straight_ahead_tells_nothing() -> None:
    rng = np.random.default_rng(3)
    steady = np.tile([0, 0, 0, 8.0, 0, 0], (20, 1))
    for twists in (steady, np.zeros((20, 6))):
        offset = found(rng, 20, twists=twists)
        assert not offset.shown and "does not tell" in offset.in_words()


def test_frames_in_wrong_basins_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    twists = drive(rng, 24)
    T, covariance = seen(rng, 24, TAU, np.zeros(24), twists)
    T[::8] = se3.exp_se3(np.array([0.05, 0, 0, 0.5, 0, 0.5])) @ T[::8]
    offset = find_time_offset(T, covariance, MIDDLE, twists, np.zeros(24))
    assert offset is not None and abs(offset.seconds - TAU) < 0.008


def test_few_frames_are_not_asked() -> None:
    T, covariance = seen(np.random.default_rng(5), 7, TAU, np.zeros(7), np.ones((7, 6)))
    assert find_time_offset(T, covariance, MIDDLE, np.ones((7, 6)), np.zeros(7)) is None


def test_words_say_which_is_later() -> None:
    assert "40.0 +- 2.0 ms later than" in TimeOffset(0.04, 0.002, 20).in_words()
    assert "40.0 +- 2.0 ms earlier than" in TimeOffset(-0.04, 0.002, 20).in_words()
    assert TimeOffset(0.04, 0.002, 20, taken=True).in_words().endswith("taken into account")
    assert not TimeOffset(3.0, 0.002, 20).shown  # frames that far apart are no pairs


def test_clouds_are_brought_to_the_exposure() -> None:
    """The world stands still, so that the cloud moved on is what the LiDAR would have seen then."""
    source = LateSource("street", seed=1, frames=3, lidar="vlp16")
    sample = source[1]
    assert sample.T_world_lidar is not None and sample.stamp_cloud is not None and gap_of(sample) == 0
    later = source._pose_at(sample.stamp_cloud + TAU)
    twist = se3.log_se3(se3.inverse(sample.T_world_lidar) @ later) / TAU
    moved, kept = at_exposure([sample, sample], [twist, None], TAU)
    expected = se3.transform(se3.inverse(later) @ sample.T_world_lidar, sample.cloud.xyz)
    np.testing.assert_allclose(moved.cloud.xyz, expected, atol=1e-4)
    assert kept is sample


def test_late_images_are_those_of_a_later_drive() -> None:
    """What a late image shows is what an image in time shows from there."""
    late, even = (LateSource("street", seed=1, frames=3, late=ms) for ms in (100, 0))
    assert not np.array_equal(late[1].image, even[1].image)
    np.testing.assert_array_equal(late[1].cloud.xyz, even[1].cloud.xyz)
    with pytest.raises(InputError, match="late=5000"):
        LateSource(late=5000)


class LateDrive:
    """Frames straight ahead at changing speed. What is registered is late by what clouds were not moved by, seen up to
    `reach` s; it serves as the registrar, too. moved: s that each cloud was moved by when it was last looked at."""

    def __init__(self, tau: float, gaps: np.ndarray, reach: float = 1.0, sigma_m: float = 0.01) -> None:
        rng = np.random.default_rng(8)
        self.tau, self.gaps, self.reach, self.moved = tau, gaps, reach, np.zeros(len(gaps))
        self.speeds, self.sigma = rng.uniform(1, 12, len(gaps)), np.array([1e-4] * 3 + [sigma_m] * 3)
        self.noise = se3.exp_se3(rng.normal(size=(len(gaps), 6)) * self.sigma)
        image, camera = np.zeros((4, 4, 3), np.uint8), Camera(np.diag([500.0, 500, 1]), 4, 4)
        samples = tuple(Sample(str(i), image, camera, PointCloud(np.zeros((1, 3), np.float32)), None, None,
                               stamp_image=i + gap, stamp_cloud=float(i)) for i, gap in enumerate(gaps))
        self.twists = tuple(np.array([0, 0, 0, speed, 0, 0]) for speed in self.speeds)
        self.read = Read(samples, (), self.twists)

    def register(self, sample: Sample, _: Prior) -> Registration:
        i = int(sample.name)
        self.moved[i] = -sample.cloud.xyz[0, 0] / self.speeds[i]
        left = np.clip(self.tau + self.gaps[i] - self.moved[i], -self.reach, self.reach)
        T = self.noise[i] @ MIDDLE @ se3.exp_se3(-left * self.twists[i])
        return Registration(T, np.diag(self.sigma**2), "ok", "fits", 1.0, 0.5, 0.0)

    def register_joint(self, samples: list[Sample], prior: Prior, *_: object) -> Registration:
        return replace(self.register(samples[0], prior), T_cam_lidar=np.asarray(prior.T_cam_lidar))

    def look(self, samples: Any, which: int = 100) -> Seen:
        found = [self.register(sample, Prior(MIDDLE, 1, 1)) for sample in samples][:which]
        return Seen(tuple(samples), tuple(Looked("", one, "") for one in found), tuple(range(len(found))), agree(
            np.array([one.T_cam_lidar for one in found]), np.array([one.covariance for one in found])))


def test_what_lies_between_the_stamps_is_undone_where_there_is_no_offset_beside_it() -> None:
    drive = LateDrive(0.0, np.random.default_rng(7).uniform(-0.05, 0.05, 20))
    _, offset = look_in_time(drive.read, drive.look)
    np.testing.assert_allclose(drive.moved, drive.gaps, atol=1e-6)
    assert offset is not None and offset.taken and offset.seconds == 0 and offset.sigma_s < 0.003
    assert "between them is taken into account" in offset.in_words()


def test_stamps_are_not_believed_where_the_motion_does_not_tell() -> None:
    drive = LateDrive(0.0, np.full(20, 0.02), sigma_m=1.0)
    _, offset = look_in_time(drive.read, drive.look)
    assert offset is not None and not offset.taken and not drive.moved.any()


def test_the_offset_that_is_told_is_the_one_that_was_undone() -> None:
    drive = LateDrive(0.3, np.zeros(20), reach=0.05)
    _, offset = look_in_time(drive.read, drive.look)
    assert offset is not None and offset.taken and 0.1 < offset.seconds < 0.2
    np.testing.assert_allclose(drive.moved, offset.seconds, atol=1e-6)
    assert offset.sigma_s > 0.04  # of which it has seen that it is left


def test_an_offset_never_grows_beyond_what_a_pair_may_be_apart() -> None:
    """A calibration file would refuse it, and all that was found with it."""
    drive = LateDrive(1.4, np.zeros(20), reach=0.6)
    _, offset = look_in_time(drive.read, drive.look)
    assert offset is not None and offset.taken and offset.seconds < 0.7 and offset.sigma_s > 0.5


def test_clouds_that_were_moved_are_said_to_be_moved() -> None:
    """Even where too few frames can be registered afterwards to look for a rest."""
    drive = LateDrive(0.1, np.zeros(20))
    seen = chain([100] * 8, repeat(3))  # all at first, and when asked for a hidden offset
    _, offset = look_in_time(drive.read, lambda samples: drive.look(samples, next(seen)))
    assert offset is not None and offset.taken and offset.seconds == pytest.approx(drive.moved[0], abs=1e-6)
    assert offset.in_words().endswith("taken into account")


class HidingDrive(LateDrive):
    """Beyond `reach_m` of shift a frame ends anywhere within it, and fits badly. calls: frames registered."""

    reach_m, calls = 0.3, 0

    def register(self, sample: Sample, prior: Prior) -> Registration:
        self.calls += 1
        right = super().register(sample, prior)
        i = int(sample.name)
        if abs(self.tau - self.moved[i]) * self.speeds[i] < self.reach_m:
            return replace(right, cost_after=-10.0)
        aside = np.random.default_rng(i).uniform(-self.reach_m, self.reach_m, 3)
        return replace(right, T_cam_lidar=se3.make(np.eye(3), aside) @ MIDDLE, cost_after=-6.0)


@pytest.mark.parametrize("tau", [0.1, -0.13])
def test_an_offset_that_the_bounds_of_the_search_hide_is_found(tau: float) -> None:
    drive = HidingDrive(tau, np.zeros(20))
    seen, offset = look_in_time(drive.read, drive.look)
    assert offset is not None and offset.taken and offset.seconds == pytest.approx(tau, abs=0.003)
    assert seen.frames_agree > 0.9


def test_frames_that_agree_are_not_asked_for_a_hidden_offset() -> None:
    drive = HidingDrive(0.0, np.zeros(20))
    look_in_time(drive.read, drive.look)
    assert drive.calls == 20


def test_frames_that_never_agree_show_no_offset() -> None:
    drive = HidingDrive(0.6, np.zeros(20))
    _, offset = look_in_time(drive.read, drive.look)
    assert offset is not None and not offset.shown


def test_twelve_milliseconds_at_ten_metres_a_second_are_twelve_centimetres() -> None:
    ahead = np.array([0, 0, 0, 10.0, 0, 0])
    found = covariance_to_ros(clock_error(MIDDLE, [ahead, None, ahead], 0.012), MIDDLE)
    assert np.sqrt(np.trace(found[:3, :3])) == pytest.approx(0.12)
    assert not clock_error(MIDDLE, [None], 0.012).any()


def test_clocks_are_as_unsure_as_motion_and_settings_leave_them() -> None:
    told, untold = TimeOffset(0.001, 0.002, 20), TimeOffset(0.0, 50.0, 20)
    assert clock_sigma(replace(told, taken=True), 0.005) == 0.002
    assert 0.0018 < clock_sigma(told, 0.005) < 0.002
    assert clock_sigma(untold, 0.005) == pytest.approx(0.005)
    assert clock_sigma(told, 0.0) == 0
    assert 0.010 < clock_sigma(TimeOffset(0.03, 0.012, 20), 0.002) < 0.012  # not shown, and no reason to believe clocks


def test_a_calibration_is_no_surer_than_its_clocks() -> None:
    """At 10 m/s all the time nothing tells of them: 5 ms are 5 cm along, whatever the frames agree on."""
    steady = LateDrive(0.0, np.zeros(20))
    read = replace(steady.read, twists=(np.array([0, 0, 0, 10.0, 0, 0]),) * 20)
    config = replace(CalibrateConfig(), folds=0)
    told = {seconds: calibrate(read, Prior(MIDDLE, 1, 1), steady, replace(config, clock_s=seconds), lambda *_: None)
            for seconds in (0.0, 0.005)}
    assert told[0.0].verdict.status == "ok" and told[0.005].verdict.status == "uncertain"
    assert "frames of different speeds" in told[0.005].verdict.reason
    late = LateDrive(0.1, np.zeros(20))
    found = calibrate(late.read, Prior(MIDDLE, 1, 1), late, config, lambda *_: None)
    assert found.offset is not None and found.offset.taken and found.used == tuple(each.name for each in found.samples)
    shifts = [each.cloud.xyz[0, 0] / late.speeds[int(each.name)] for each in found.samples]
    np.testing.assert_allclose(shifts, -found.offset.seconds, atol=1e-6)  # pictures show them where they were


def test_why_nobody_looks_for_an_offset_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("synthetic:street?seed=1&frames=2&camera=small&lidar=vlp16")

    def read(moving: bool = True) -> str:
        return read_frames(source, [0, 1], 2, lambda *_: None, moving).why_still

    assert read() == "" and read(moving=False) == "switched off"
    monkeypatch.setattr(Track, "twist", lambda self, index: None)
    assert "how the LiDAR moved" in read()

    def without_open3d(self: Track, index: int) -> None:
        raise InputError("open3d is missing")

    monkeypatch.setattr(Track, "twist", without_open3d)
    assert read() == "open3d is missing"


@pytest.mark.slow
def test_images_that_are_late_are_noticed_and_put_right(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("candidates: 16\nframes: 8\nfolds: 0\n")
    told = {}
    for time_offset in ("auto", "off"):
        settings.write_text(f"candidates: 16\nframes: 8\nfolds: 0\ntime_offset: {time_offset}\n")
        outcome = crossi2p("calibrate", "synthetic:street?seed=1&frames=16&late=100&camera=kitti", "--perturb", "1,10",
                           "--search", "2,40", "--weights", "none", "--config", settings, "--json")
        assert outcome.code == 0, outcome
        told[time_offset], = json.loads(outcome.out)["cameras"]
    assert told["off"]["time_offset"] is None and told["off"]["error_cm"] > 10
    assert told["off"]["time_offset_not_looked_for"] == "switched off"
    offset = told["auto"]["time_offset"]
    assert offset["taken"] and offset["seconds"] == pytest.approx(0.1, abs=0.015)
    assert told["auto"]["error_cm"] < 5


@pytest.mark.slow
def test_a_calibration_of_late_images_is_watched_with_scans_moved_to_them(tmp_path: Path) -> None:
    """Else its time offset would look like a camera that moved: 100 ms are 2 m at the beginning of this drive."""
    late = "synthetic:street?seed=2&frames=20&camera=kitti&late=100"
    write_calibration(tmp_path / "found.yaml", Extrinsic(open_source(late)[0].T_cam_lidar, time_offset_s=0.1))
    watch = ("monitor", late, "--frames", "2:14", "--weights", "none", "--init", tmp_path / "found.yaml")
    assert crossi2p(*watch).code == 0
    assert crossi2p(*watch, "--time-offset", "0").code == 1
