"""`crossi2p register` and its sisters on a synthetic drive, from files to files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import crossi2p

from crossi2p_core.calibration_file import read_calibration

KEYS = {"name", "init_error_deg", "init_error_cm", "error_deg", "error_cm", "status", "reason", "cost_before",
        "cost_after", "doubt_before", "reprojection_px", "matches", "inliers", "overlap", "timings_s", "seconds",
        "T_cam_lidar", "peak_memory_mb", "speeds_m_s", "from_scratch"}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of a synthetic street in the compact layout."""
    folder = tmp_path_factory.mktemp("synth") / "drive"
    assert crossi2p("synth", folder, "--frames", 3).code == 0
    return folder


def report(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The JSON object of `crossi2p register ... --json`, which is all that it prints."""
    outcome = crossi2p("register", *arguments, "--json")
    assert outcome.code == code, outcome
    assert outcome.out.count("\n") == 1
    return json.loads(outcome.out)


def test_every_frame_is_reported_and_repaired(drive: Path, tmp_path: Path) -> None:
    told = report(drive, "--perturb", "2,10", "--seed", 32, "--out", tmp_path / "out")
    assert told.keys() == {"frames", "summary"}
    assert [set(frame) for frame in told["frames"]] == [KEYS] * 3
    for frame in told["frames"]:
        assert 0 < frame["init_error_deg"] <= 2
        assert 0 < frame["init_error_cm"] <= 10
    assert told["summary"]["error_deg_median"] < 0.5 * told["summary"]["init_error_deg_median"]
    assert told == json.loads((tmp_path / "out" / "report.json").read_text())
    for frame in told["frames"]:
        stem = tmp_path / "out" / frame["name"]
        assert np.allclose(read_calibration(f"{stem}.yaml"), frame["T_cam_lidar"])
        picture = cv2.imread(f"{stem}_before_after.jpg")
        assert picture is not None and picture.std() > 5
    assert len(list((tmp_path / "out").iterdir())) == 7


def test_the_start_of_a_frame_does_not_depend_on_its_company(drive: Path) -> None:
    alone = report(drive, "--frames", "1", "--perturb", "1,5", "--seed", 7)["frames"]
    together = report(drive, "--frames", "0:2", "--perturb", "1,5", "--seed", 7)["frames"]
    assert alone[0]["init_error_deg"] == pytest.approx(together[1]["init_error_deg"], rel=1e-9)
    assert alone[0]["init_error_deg"] != pytest.approx(together[0]["init_error_deg"], rel=1e-9)


def test_a_written_extrinsic_is_a_start(drive: Path, tmp_path: Path) -> None:
    first = report(drive, "--frames", "0", "--perturb", "1,5", "--out", tmp_path)["frames"][0]
    again = report(drive, "--frames", "0", "--init", tmp_path / f"{first['name']}.yaml")["frames"][0]
    assert again["init_error_deg"] == pytest.approx(first["error_deg"], abs=1e-6)


def test_joint_takes_the_largest_rig_and_names_the_rest(drive: Path, tmp_path: Path) -> None:
    for name, frames in (("major", 2), ("minor", 1)):
        shutil.copytree(drive, tmp_path / name)
        index = json.loads((drive / "index.json").read_text())
        kept = dict(list(index.items())[:frames])
        (tmp_path / name / "index.json").write_text(json.dumps(kept))
    outcome = crossi2p("register", tmp_path, "--joint", "--perturb", "1,10", "--json", "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "left out" in outcome.err
    (joint,) = json.loads(outcome.out)["frames"]
    assert joint.keys() == KEYS | {"rig", "used", "left_out"}
    assert [name.partition("/")[0] for name in joint["used"]] == ["major", "major"]
    assert [name.partition("/")[0] for name in joint["left_out"]] == ["minor"]
    assert joint["error_deg"] < 1.0
    assert np.allclose(read_calibration(tmp_path / "out" / "joint.yaml"), joint["T_cam_lidar"])


def test_an_image_that_shows_nothing_is_not_registered(drive: Path, tmp_path: Path) -> None:
    shutil.copytree(drive, tmp_path / "dark")
    for file in (tmp_path / "dark").glob("*.jpg"):
        cv2.imwrite(str(file), np.zeros_like(cv2.imread(str(file))))
    told = report(tmp_path / "dark", "--frames", "0", "--perturb", "1,10", code=1)
    assert told["frames"][0]["status"] == "failed"
    assert told["frames"][0]["reason"]
    assert told["frames"][0]["error_deg"] == pytest.approx(told["frames"][0]["init_error_deg"], rel=1e-9)


def test_words_for_people(drive: Path) -> None:
    outcome = crossi2p("register", drive, "--frames", "0", "--perturb", "1,10")
    assert outcome.code == 0
    assert outcome.err == ""
    assert "median" in outcome.out


def test_interrupted_leaves_nothing(drive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "crossi2p_core", "register", drive, "--perturb", "1,10", "--out", target],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not target.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "crossi2p: interrupted\n")
    assert not target.exists()


def test_info_and_view(drive: Path, tmp_path: Path) -> None:
    facts = json.loads(crossi2p("info", drive, "--json").out)
    assert (facts["frames"], facts["has_truth"]) == (3, True)
    assert "frames: 3" in crossi2p("info", drive).out
    assert crossi2p("view", drive, "--frame", "-1", "--out", tmp_path / "view.png").code == 0
    assert cv2.imread(str(tmp_path / "view.png")).std() > 5


def test_prepare_takes_the_chosen_frames_and_goes_on(drive: Path, tmp_path: Path) -> None:
    for _ in range(2):
        outcome = crossi2p("prepare", drive, tmp_path / "small", "--frames", "0,2")
        assert outcome == (0, f"2 frames in {tmp_path / 'small'}\n", "")
    assert json.loads(crossi2p("info", tmp_path / "small", "--json").out)["frames"] == 2


def test_synthetic_bag(tmp_path: Path) -> None:
    assert crossi2p("synth", tmp_path / "bag", "--frames", 2, "--bag").code == 0
    assert json.loads(crossi2p("info", tmp_path / "bag", "--json").out)["frames"] == 2
