"""`crossi2p monitor` over synthetic drives: good ones, one with a knock, one in the dark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, crossi2p

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.commands.monitor import _Drive
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.follow import Follower
from crossi2p_core.monitor.knock import knocked, random_knock
from crossi2p_core.monitor.states import State
from crossi2p_core.monitor.watch import Watch
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Prior, Sample

DRIVE = "synthetic:street?seed=2&frames=16&camera=small&lidar=hdl64"
QUICK = "least_deg: 0.8\nleast_m: 0.15\nrepair_frames: 5\n"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict, Path]:
    """A camera that is turned by 1.5 deg before the ninth frame, and repaired."""
    out = tmp_path_factory.mktemp("watched")
    (out / "quick.yaml").write_text(QUICK)
    ended = crossi2p("monitor", DRIVE, "--knock", "1.5,0@8", "--policy", "apply", "--config", out / "quick.yaml",
                     "--weights", "none", "--state", out / "state.json", "--out", out / "found", "--json")
    assert ended.err == "", ended
    return ended.code, json.loads(ended.out), out


def test_a_knock_is_noticed_repaired_and_saved(watched: tuple[int, dict, Path]) -> None:
    code, report, out = watched
    states = [row["state"] for row in report["frames"]]
    assert "decalibrated" not in states[:8] and "calibrated" in states[:8]
    assert "decalibrated" in states[8:13]
    repaired = [row for row in report["frames"] if row["repair"] is not None]
    assert repaired and all(row["repair"]["applied"] for row in repaired)
    assert report["state"] in ("repaired", "calibrated") and code == 0
    truth = knocked(open_source(DRIVE)[8], random_knock(1.5, 0.0, np.random.default_rng(0))).T_cam_lidar
    found = read_calibration(out / "found" / "extrinsic.yaml")
    np.testing.assert_allclose(found, repaired[-1]["repair"]["T_cam_lidar"], atol=1e-6)
    assert se3.rotation_error_deg(found, truth) < 0.5 and se3.translation_error_m(found, truth) < 0.06
    assert json.loads((out / "found" / "timeline.json").read_text()) == report


def test_what_the_watch_knows_is_kept_and_read_again(watched: tuple[int, dict, Path]) -> None:
    _, _, out = watched
    kept = json.loads((out / "state.json").read_text())
    again = crossi2p("monitor", DRIVE, "--frames", "15", "--init", out / "found" / "extrinsic.yaml", "--config",
                     out / "quick.yaml", "--weights", "none", "--state", out / "state.json", "--json")
    assert "another calibration" not in again.err, again
    assert json.loads((out / "state.json").read_text())["frames"] == kept["frames"] + 1


def test_a_good_calibration_is_left_alone() -> None:
    ended = crossi2p("monitor", DRIVE, "--frames", "0:5", "--weights", "none")
    assert ended.code == 0 and "calibrated: moved by less than" in ended.out and "decal" not in ended.out, ended


@pytest.mark.parametrize("dim", [0, 3])
def test_the_dark_says_nothing(dim: int) -> None:
    sample = open_source(DRIVE)[0]
    dark = replace(sample, image=np.full_like(sample.image, dim))
    T = np.asarray(sample.T_cam_lidar)
    follower = Follower(Watch(T, MonitorConfig(blind_after=3)), Registrar(device="cpu", weights="none"), "apply")
    said = [follower.after(dark, follower._registrar.register(dark, Prior(T))) for _ in range(4)]
    assert said[-1].said.state is State.UNKNOWN and "cannot tell: 4 frames" in said[-1].said.words
    assert said[-1].repair is None


def test_a_broken_frame_is_passed_over_with_its_reason() -> None:
    follower = Follower(Watch(np.eye(4)), Registrar(device="cpu", weights="none"))
    assert follower.without("7", "the PNG ends early").said.words.startswith("cannot tell yet")


def test_a_knocked_sample_still_projects_onto_its_picture() -> None:
    sample: Sample = open_source(DRIVE)[0]
    xi = random_knock(2.0, 0.1, np.random.default_rng(3))
    moved = knocked(sample, xi)
    before, after = (se3.transform(np.asarray(each.T_cam_lidar), each.cloud.xyz) for each in (sample, moved))
    np.testing.assert_allclose(before, after, atol=1e-4)
    assert se3.rotation_error_deg(moved.T_cam_lidar, sample.T_cam_lidar) == pytest.approx(2.0)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--knock", "1,5"], ["--knock 1,5", "1,5@25"]), (["--knock", "a,b@3"], ["--knock"]),
    (["--init", "nowhere.yaml"], ["nowhere.yaml"]), (["--config", "nowhere.yaml"], ["nowhere.yaml"])])
def test_bad_options_are_refused_in_words(arguments: list[str], words: list[str]) -> None:
    assert_refused(crossi2p("monitor", DRIVE, *arguments), *words)


def test_frames_of_another_rig_are_not_judged() -> None:
    source = open_source("synthetic:street?frames=1&camera=small")
    watched_drive = _Drive(source, [0], "another", Prior(np.eye(4)), None, None, None, None)
    with pytest.raises(InputError, match="the one watched is 'another'"):
        watched_drive._read(0, 0)
