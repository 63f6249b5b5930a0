"""What the command does of a drive: which frames a repair rests on, where it starts, and when there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from crossi2p_core.audition import Between, Start
from crossi2p_core.calibrate.config import CalibrateConfig
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.follow import Followed, Follower
from crossi2p_core.monitor.states import State
from crossi2p_core.monitor.watch import Watch
from crossi2p_core.types import Camera, PointCloud, Prior, Registration, Sample

SIGMA = np.array([math.radians(0.12)] * 3 + [0.015] * 3)
EASY = CalibrateConfig(folds=0, ok_deg=1.0, ok_m=0.2)  # how sure a repair has to be is not what is tested here
CAMERA = Camera(np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]]), 640, 480)
CLOUD, IMAGE = PointCloud.from_arrays(np.ones((5, 3))), np.zeros((480, 640, 3), np.uint8)


def turned(degrees: float) -> np.ndarray:
    return se3.exp_se3(np.array([0, math.radians(degrees), 0, 0, 0, 0]))


def off_by(T: np.ndarray, degrees: float) -> float:
    return float(se3.rotation_error_deg(T, turned(degrees)))


@dataclass
class Eyes:
    """A registrar that finds the truth of most of the frames, with noise, if it lies within the bounds of the search.
    doubt: about every start. starts: how often one was looked for, which a `lost` one never finds."""

    lost: bool = False
    doubt: float = 0.01
    starts: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def register(self, sample: Sample, prior: Prior) -> Registration:
        return self.register_joint([sample], prior)

    def register_joint(self, samples: Sequence[Sample], prior: Prior, *_: object) -> Registration:
        truth, sigma = self._most(samples), SIGMA / math.sqrt(len(samples))
        if se3.rotation_error_deg(truth, prior.T_cam_lidar) > prior.max_deg:
            return Registration(np.asarray(prior.T_cam_lidar), np.diag(SIGMA**2), "uncertain", "nothing fits", 0.0, 0.0)
        T = se3.exp_se3(sigma * self.rng.normal(size=6)) @ truth
        return Registration(T, np.diag(sigma**2), "ok", "fits", -1.0, -2.0, doubt_before=self.doubt, convincing=True)

    def guess(self, samples: Sequence[Sample], between: Between = lambda: None) -> Start:
        self.starts += 1
        if self.lost:
            raise InputError("nobody knows where to start")
        return Start(Prior(self._most(samples), 2.0, 0.2), "")

    def _most(self, samples: Sequence[Sample]) -> np.ndarray:
        """The truth that most of the frames share."""
        truths = [np.asarray(sample.T_cam_lidar) for sample in samples]
        return max(truths, key=lambda T: sum(np.allclose(T, other) for other in truths))


@dataclass
class Drive:
    """A follower, and the frames of a camera that is turned by so much."""

    eyes: Any
    follower: Follower
    count: int = 0

    @classmethod
    def of(cls, policy: Any = "apply", **settings: Any) -> Drive:
        config = {name: settings.pop(name) for name in list(settings) if name in MonitorConfig.__dataclass_fields__}
        eyes = Eyes(**settings)
        return cls(eyes, Follower(Watch(np.eye(4), MonitorConfig(**config)), eyes, policy, EASY))

    def sees(self, degrees: float, frames: int) -> list[Followed]:
        return [self._sees(degrees) for _ in range(frames)]

    def _sees(self, degrees: float) -> Followed:
        self.count += 1
        sample = Sample(str(self.count), IMAGE, CAMERA, CLOUD, T_cam_lidar=turned(degrees))
        return self.follower.after(sample, self.eyes.register(sample, Prior(self.follower.watch.T_in_use)))


def repairs(said: list[Followed]) -> list[np.ndarray]:
    return [one.repair.found.T_cam_lidar for one in said if one.repair is not None]


def test_a_knock_too_large_for_the_search_is_repaired_where_the_camera_is_now() -> None:
    drive = Drive.of()
    drive.sees(0.0, 30)
    assert drive.follower.watch.state is State.CALIBRATED
    said = drive.sees(20.0, 12)
    found = repairs(said)
    assert len(found) == 1 and off_by(found[0], 20.0) < 0.3 and drive.eyes.starts == 1
    assert drive.sees(20.0, 20)[-1].state is State.CALIBRATED


def test_after_a_small_move_a_large_one_does_not_start_from_the_small_one() -> None:
    drive = Drive.of(repair_frames=12)
    drive.sees(0.0, 30)
    assert drive.sees(1.2, 8)[-1].said.state is State.DECALIBRATED
    assert [off_by(T, 20.0) < 0.3 for T in repairs(drive.sees(20.0, 20))] == [True]


def test_where_nothing_fits_and_no_start_is_found_it_is_said_and_tried_again() -> None:
    drive = Drive.of(lost=True)
    drive.sees(0.0, 30)
    said = drive.sees(20.0, 40)
    failed = [one.failed for one in said if one.failed]
    assert said[-1].state is State.SUSPECT and not repairs(said)
    assert len(failed) == drive.eyes.starts > 2 and all("nobody knows where to start" in words for words in failed)


def test_a_repair_that_came_to_nothing_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive.of()
    drive.sees(0.0, 30)
    with monkeypatch.context() as patch:
        patch.setattr(Eyes, "guess", lambda self, samples, between: (_ for _ in ()).throw(InputError("no answer")))
        said = drive.sees(20.0, 16)
    tries = [number for number, one in enumerate(said, 1) if one.failed]
    assert tries == [10, 15] and "no repair: no answer" in said[9].failed
    assert off_by(repairs(drive.sees(20.0, 20))[0], 20.0) < 0.3


def test_a_repair_is_not_made_again_in_the_middle_of_the_next_move() -> None:
    drive = Drive.of(repair_frames=6)
    drive.sees(0.0, 20)
    assert len(repairs(drive.sees(1.5, 7))) == 1
    found = repairs(drive.sees(3.5, 30))  # the second repair again would be due four frames into this
    assert found and all(off_by(T, 3.5) < 0.3 for T in found), [off_by(T, 3.5) for T in found]


def test_a_proposal_is_made_once_while_nothing_fits() -> None:
    drive = Drive.of("propose")
    drive.sees(0.0, 20)
    said = drive.sees(20.0, 40)
    assert len(repairs(said)) == 1 and drive.eyes.starts == 1 and said[-1].state is State.SUSPECT


def test_doubts_alone_invent_no_amount_and_repair_nothing() -> None:
    """Something fits better nearby, frame after frame, and yet all frames together see the camera where it was: the
    intrinsics are wrong, or the stamps."""
    drive = Drive.of(doubt=0.35)
    said = drive.sees(0.0, 200)
    assert said[-1].state is State.DECALIBRATED and not repairs(said)
    assert {one.said.since for one in said} == {None} and all(math.isnan(one.said.moved[0]) for one in said)
    assert said[-1].words == "off, by an amount that the frames leave open"
    failed = [one.failed for one in said if one.failed]
    assert 0 < len(failed) <= 12 and all("find nothing better than the calibration in use" in why for why in failed)


def test_after_doubts_alone_a_repair_rests_on_the_frames_that_raised_them() -> None:
    drive = Drive.of(least_deg=0.8)  # half of that is too much for 0.45 deg to be told by the frames' own answers
    drive.sees(0.0, 40)
    drive.eyes.doubt = 0.3
    said = drive.sees(0.45, 20)
    first = next(one for one in said if one.state is State.DECALIBRATED or one.failed or one.repair)
    assert first.said.doubted is not None and int(first.said.doubted) >= 40
    assert [off_by(T, 0.45) < 0.2 for T in repairs(said)][:1] == [True]


def test_frames_that_cannot_be_read_change_nothing() -> None:
    drive = Drive.of()
    drive.sees(0.0, 20)
    said = [drive.follower.without(str(number), "the PNG ends early") for number in range(19)]
    assert said[-1].state is State.CALIBRATED


def test_a_parked_robot_repairs_nothing() -> None:
    drive = Drive.of()
    drive.sees(0.0, 30)
    drive.follower._places.of = lambda _: 0  # it stands from now on
    assert not repairs(drive.sees(20.0, 30)) and drive.eyes.starts == 0


def test_an_uncertain_repair_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    drive, joint = Drive.of(), Eyes.register_joint
    drive.sees(0.0, 30)

    def unsure(self: Eyes, samples: Sequence[Sample], *given: Any) -> Registration:
        found = joint(self, samples, *given)
        return found if len(samples) == 1 else replace(found, status="uncertain", reason="hardly fits")

    monkeypatch.setattr(Eyes, "register_joint", unsure)
    said = drive.sees(2.0, 40)
    assert not repairs(said) and any("no repair that one can trust" in one.failed for one in said)
    assert drive.follower.watch.state is State.DECALIBRATED


def test_a_proposal_that_was_outlived_can_be_made_again() -> None:
    drive = Drive.of("propose", window=10, calm=5)
    drive.sees(0.0, 20)
    assert len(repairs(drive.sees(2.0, 20))) == 1
    assert drive.sees(0.0, 60)[-1].state is State.CALIBRATED
    assert len(repairs(drive.sees(2.0, 30))) == 1
