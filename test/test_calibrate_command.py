"""`crossi2p calibrate` on synthetic drives, whose extrinsic is known exactly, from files to files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_refused, crossi2p

from crossi2p_core.calibration_file import read_calibration, read_extrinsic
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3

SETTINGS = "candidates: 6\nframes: 6\nfolds: 2\ngood_m: 0.2\n"  # six frames cannot tell 10 cm, 99 times of 100
FILES = {"extrinsic.yaml", "extrinsic.urdf.xml", "static_transform.txt", "sensor_kit_calibration.yaml", "camchain.yaml",
         "report.html", "report.json"}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of a street, as KITTI's camera sees it."""
    folder = tmp_path_factory.mktemp("calibrate") / "drive"
    assert crossi2p("synth", folder, "--frames", 6, "--seed", 1, "--camera", "kitti").code == 0
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "settings.yaml"
    file.write_text(SETTINGS)
    return file


@pytest.fixture(scope="module")
def calibrated(drive: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The record of a calibration from a wrong start, and the folder with its files."""
    out = tmp_path_factory.mktemp("out") / "rig"
    outcome = crossi2p("calibrate", drive, "--perturb", "2,20", "--seed", 3, "--config", settings, "--out", out,
                       "--camera-frame", "front_optical", "--lidar-frame", "top", "--json")
    assert outcome.code == 0, outcome
    return json.loads(outcome.out), out


def test_a_wrong_start_is_repaired_and_called_wrong(calibrated: tuple[dict[str, Any], Path]) -> None:
    told = calibrated[0]["cameras"][0]
    assert told["moved_deg"] > 0.5
    assert told["error_deg"] < 0.25
    assert told["error_cm"] < 5
    assert (told["status"], told["start_was"]) == ("ok", "wrong")
    assert told["start_off_at_most_deg"] > told["moved_deg"]
    assert len(told["frames"]) == 6
    assert set(told["used"]) <= {frame["name"] for frame in told["frames"]}


def test_every_file_holds_the_answer(calibrated: tuple[dict[str, Any], Path]) -> None:
    told, out = calibrated[0]["cameras"][0], calibrated[1]
    names = {file.name for file in out.iterdir()}
    assert names >= FILES
    assert len(names - FILES) == 3  # pictures
    assert json.loads((out / "report.json").read_text()) == calibrated[0]
    extrinsic = read_extrinsic(out / "extrinsic.yaml")
    assert np.allclose(extrinsic.T_cam_lidar, told["T_cam_lidar"])
    assert np.allclose(extrinsic.covariance, told["covariance"])
    assert 'child link="front_optical"' in (out / "extrinsic.urdf.xml").read_text()
    assert "--frame-id top" in (out / "static_transform.txt").read_text()
    page = (out / "report.html").read_text()
    assert page.count("<img") == 3 and told["status"] in page
    assert "http" not in page  # opens without a network


def test_the_covariance_is_as_large_as_the_error(calibrated: tuple[dict[str, Any], Path], drive: Path) -> None:
    told = calibrated[0]["cameras"][0]
    truth = open_source(drive)[0].T_cam_lidar
    assert truth is not None
    xi = se3.log_se3(np.asarray(told["T_cam_lidar"]) @ se3.inverse(truth))
    assert xi @ np.linalg.solve(np.asarray(told["covariance"]), xi) < 6 * 3**2


def test_a_good_calibration_is_called_good_and_backed_up(drive: Path, settings: Path, tmp_path: Path) -> None:
    (tmp_path / "rig").mkdir()
    former = tmp_path / "rig" / "extrinsic.yaml"
    former.write_text("T_cam_lidar: [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]\n")
    outcome = crossi2p("calibrate", drive, "--config", settings, "--out", tmp_path / "rig")
    assert outcome.code == 0
    assert "still good" in outcome.out
    backups = [file for file in (tmp_path / "rig").iterdir() if file.name.startswith("extrinsic.yaml.")]
    assert [np.allclose(read_calibration(file), np.eye(4)) for file in backups] == [True]


def test_an_unreadable_frame_is_said_and_left_out(drive: Path, settings: Path, tmp_path: Path) -> None:
    broken = tmp_path / "drive"
    shutil.copytree(drive, broken)
    image = broken / "000002.jpg"
    image.write_bytes(image.read_bytes()[:100])
    outcome = crossi2p("calibrate", broken, "--config", settings, "--json")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.out)["cameras"][0]
    lost = [frame for frame in told["frames"] if frame["status"] == "failed"]
    assert len(lost) == 1
    assert image.name in lost[0]["reason"]
    assert told["used"] and lost[0]["name"] not in told["used"]


def test_what_cannot_be_used_is_refused_in_words(drive: Path, tmp_path: Path) -> None:
    assert_refused(crossi2p("calibrate", drive, "--camera", "a,a"), "--camera a,a")
    assert_refused(crossi2p("calibrate", drive, "--camera-frame", "a,b"), "2 frames for 1 cameras")
    assert_refused(crossi2p("calibrate", tmp_path / "nowhere"), "nowhere")
    hostile = tmp_path / "settings.yaml"
    hostile.write_text("candidates: -3\n")
    assert_refused(crossi2p("calibrate", drive, "--config", hostile), "candidates")
    (tmp_path / "file").write_text("")
    assert_refused(crossi2p("calibrate", drive, "--frames", "0", "--out", tmp_path / "file"), "file")
