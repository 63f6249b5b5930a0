"""`crossi2p monitor` over frames that are broken, of another rig, or of a turn, and what is kept if it ends early."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_refused, crossi2p
from test_monitor_follow import CAMERA, CLOUD, IMAGE, Eyes, turned

from crossi2p_core.calibration_file import Extrinsic, write_calibration
from crossi2p_core.datasets.source import Source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Prior, Registration, Sample

FRAMES = 12


class Frames(Source):
    """Frames that a test may break or change, one by one."""

    def __init__(self) -> None:
        super().__init__("frames", [f"{number:02}" for number in range(FRAMES)])
        self.change: dict[int, Callable[[Sample], Sample]] = {}

    def _load(self, index: int) -> Sample:
        sample = Sample(self.names[index], IMAGE, CAMERA, CLOUD, turned(0.0), stamp_cloud=0.1 * index, rig="one")
        return self.change.get(index, lambda same: same)(sample)


def broken(sample: Sample) -> Sample:
    raise InputError(f"{sample.name}: the PNG ends early")


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Frames:
    source = Frames()
    monkeypatch.setattr("crossi2p_core.commands.monitor.open_source", lambda *_, **__: source)
    monkeypatch.setattr("crossi2p_core.registrar.Registrar", lambda *_: Eyes())
    return source


def rows(*arguments: object) -> list[dict[str, Any]]:
    ended = crossi2p("monitor", "frames", "--json", *arguments)
    assert ended.err == "" and ended.out, ended
    return list(json.loads(ended.out)["frames"])


@pytest.mark.parametrize("given", [True, False])
def test_a_broken_first_frame_is_passed_over(frames: Frames, tmp_path: Path, given: bool) -> None:
    frames.change = {0: broken, 1: broken}
    write_calibration(tmp_path / "in_use.yaml", Extrinsic(turned(0.0)))
    told = rows(*(["--init", tmp_path / "in_use.yaml"] if given else []))
    assert told[0]["usable_frames"] == 0 and told[-1]["state"] == "calibrated" and told[-1]["usable_frames"] == 10


def test_a_drive_of_broken_frames_is_refused(frames: Frames) -> None:
    frames.change = dict.fromkeys(range(FRAMES), broken)
    assert_refused(crossi2p("monitor", "frames"), "none of the 12 frames can be read", "00: the PNG ends early")


def test_frames_of_another_rig_say_nothing(frames: Frames) -> None:
    elsewhere = {index: lambda sample: replace(sample, rig="other", T_cam_lidar=turned(1.5)) for index in range(4, 12)}
    frames.change = dict(elsewhere)
    told = rows()
    assert told[-1]["state"] == "calibrated" and told[-1]["usable_frames"] == 4
    alone = crossi2p("monitor", "frames", "--frames", "4:")  # by themselves they are watched
    assert alone.code == 0 and "calibrated" in alone.out


def test_frames_of_fast_turns_say_nothing_if_that_is_asked(frames: Frames) -> None:
    def at(index: int) -> Callable[[Sample], Sample]:
        angle = np.radians(3.0 * max(0, index - 5))  # 15 deg/s at frame 5, 30 afterwards
        T = se3.make(se3.exp_so3(np.array([0, 0, angle])), np.zeros(3))
        return lambda sample: replace(sample, T_world_lidar=T)

    frames.change = {index: at(index) for index in range(FRAMES)}
    assert rows()[-1]["usable_frames"] == FRAMES
    assert rows("--max-turn", "20")[-1]["usable_frames"] == 6
    assert rows("--max-turn", "40")[-1]["usable_frames"] == FRAMES


class Clouds(Eyes):
    """Keeps how far along each scan was handed to it."""

    def __init__(self) -> None:
        super().__init__()
        self.along: list[float] = []

    def register(self, sample: Sample, prior: Prior) -> Registration:
        self.along.append(float((sample.cloud.xyz - CLOUD.xyz)[0, 0]))
        return super().register(sample, prior)


def test_scans_are_moved_to_where_a_late_image_was_taken(frames: Frames, monkeypatch: pytest.MonkeyPatch,
                                                         tmp_path: Path) -> None:
    """At 10 m/s: by what is asked, else by what `calibrate` wrote; and a stamp that is missing tells no motion."""
    def at(index: int) -> Callable[[Sample], Sample]:
        T = se3.make(np.eye(3), np.array([1.0 * index, 0, 0]))
        return lambda sample: replace(sample, T_world_lidar=T, stamp_cloud=None if index == 11 else sample.stamp_cloud)

    frames.change = {index: at(index) for index in range(FRAMES)}
    write_calibration(tmp_path / "found.yaml", Extrinsic(turned(0.0), time_offset_s=0.04))
    for arguments, along in (([], 0.0), (["--time-offset", "0.05"], -0.5), (["--init", tmp_path / "found.yaml"], -0.4),
                             (["--init", tmp_path / "found.yaml", "--time-offset", "0"], 0.0)):
        eyes = Clouds()
        monkeypatch.setattr("crossi2p_core.registrar.Registrar", lambda *_, eyes=eyes: eyes)
        told = rows(*arguments)
        np.testing.assert_allclose(eyes.along, along, atol=1e-6)
        assert told[-1]["usable_frames"] == (11 if "--time-offset" in arguments or along else 12)


def test_what_is_known_is_kept_when_it_is_interrupted(frames: Frames, tmp_path: Path) -> None:
    def interrupted(sample: Sample) -> Sample:
        raise SystemExit(130)  # as the handler of Ctrl-C does

    frames.change = {8: interrupted}
    assert crossi2p("monitor", "frames", "--state", tmp_path / "watch.json").code == 130
    kept = json.loads((tmp_path / "watch.json").read_text())
    assert kept["frames"] == 8 and kept["state"] == "calibrated"


def test_a_state_that_cannot_be_written_is_refused_before_the_drive(frames: Frames, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    frames.change = {5: lambda sample: pytest.fail("it went on")}
    path = tmp_path / "file" / "watch.json"
    assert_refused(crossi2p("monitor", "frames", "--state", path), "cannot write", "watch.json")


def test_a_state_with_numbers_that_cannot_be_is_refused_in_words(frames: Frames, tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    rows("--state", path)
    path.write_text(path.read_text().replace('"doubts": 0.0', '"doubts": Infinity'))
    assert_refused(crossi2p("monitor", "frames", "--state", path), "the state of the watch is damaged", "doubts")
