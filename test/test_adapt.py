"""`crossi2p adapt`: a tiny network on a synthetic drive whose recorded extrinsic it must not look at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import assert_refused, crossi2p

from crossi2p_core.adapt.config import AdaptConfig
from crossi2p_core.adapt.rounds import Stopped, _settings
from crossi2p_core.calibration_file import Extrinsic, read_extrinsic, write_calibration
from crossi2p_core.config import load_config
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.train import checkpoint
from crossi2p_core.train.assemble import _open
from crossi2p_core.train.config import SourceConfig
from crossi2p_core.weights import find_weights

TINY = {
    "preset": "light", "size": [64, 128], "image": {"layers": [1, 1, 1, 1], "width": 8},
    "points": {"points": 1024, "dims": [16, 16, 32], "dynamic_layers": 0}, "coarse": {"layers": 1},
    "fine": {"matches": 8, "layers": 0},
}
SETTINGS = {"rounds": 2, "steps": 2, "batch": 1, "warm_up": 1, "workers": 0,
            "calibrate": {"candidates": 4, "frames": 4, "folds": 2}}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt") / "drive"
    assert crossi2p("synth", folder, "--frames", 4, "--seed", 1).code == 0
    return folder


@pytest.fixture(scope="module")
def weights(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has seen next to nothing."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "train.yaml").write_text(yaml.safe_dump({
        "out": str(folder), "network": TINY, "steps": 1, "warm_up": 0, "batch": 1, "workers": 0,
        "sources": [{"path": str(drive)}]}))
    assert crossi2p("train", folder / "train.yaml", "--device", "cpu").code == 0
    found = checkpoint.latest(folder / "checkpoints")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "adapt.yaml"
    file.write_text(yaml.safe_dump(SETTINGS))
    return file


@pytest.fixture(scope="module")
def adapted(drive: Path, weights: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run from a wrong start."""
    out = tmp_path_factory.mktemp("out")
    outcome = crossi2p("adapt", drive, "--weights", weights, "--out", out, "--perturb", "1,10", "--seed", 2, "--config",
                       settings, "--device", "cpu")
    assert outcome.code == 0, outcome
    return out


def test_what_is_learned_beside_the_drive_keeps_its_own_extrinsic(tmp_path: Path) -> None:
    config = load_config(AdaptConfig, {"beside": [{"path": "synthetic:hall?frames=3", "weight": 0.5}]})
    drive, beside = _settings(Path("default"), SourceConfig(path="drive"), tmp_path, config).sources
    assert (drive.path, drive.extrinsic, drive.weight) == ("drive", str(tmp_path / "extrinsic.yaml"), 1.0)
    assert (beside.path, beside.extrinsic, beside.weight) == ("synthetic:hall?frames=3", None, 0.5)


def test_a_teacher_of_the_weights_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = replace(checkpoint.load(find_weights(None), training=False))
    taught.config.update(teacher="out/full.json", labels="teacher")
    monkeypatch.setattr(checkpoint, "load", lambda *_, **__: taught)
    run = _settings(Path("default"), SourceConfig(path="drive"), tmp_path, AdaptConfig())
    assert (run.teacher, run.labels) == (None, "recorded")


def test_it_learns_what_the_frames_agree_on(adapted: Path, drive: Path) -> None:
    told = json.loads((adapted / "report.json").read_text())["rounds"]
    assert [one["round"] for one in told] == [1, 2]
    run = yaml.safe_load((adapted / "round_1" / "train" / "config.yaml").read_text())
    assert [(one["path"], one["extrinsic"]) for one in run["sources"]] == [
        (str(drive), str(adapted / "round_1" / "extrinsic.yaml"))]
    found = read_extrinsic(adapted / "round_1" / "extrinsic.yaml")
    truth = open_source(drive)[0].T_cam_lidar
    assert np.allclose(found.T_cam_lidar, told[0]["T_cam_lidar"])
    assert not np.allclose(found.T_cam_lidar, truth)  # the recorded one is nobody's business
    assert se3.rotation_error_deg(found.T_cam_lidar, truth) < 1.0


def test_an_answer_that_stands_still_is_not_learned_again(adapted: Path) -> None:
    first, second = json.loads((adapted / "report.json").read_text())["rounds"]
    assert first["weights"] and first["moved_sigmas"] is None
    assert second["weights"] is None and second["moved_sigmas"] < 1.0
    assert not (adapted / "round_2" / "train").exists()
    assert read_extrinsic(adapted / "extrinsic.yaml").status == second["status"]


def test_what_is_done_is_not_done_again(adapted: Path, drive: Path, weights: Path, settings: Path) -> None:
    """A later round's extrinsic that another run left is taken as it is, and so is its training."""
    found = checkpoint.latest(adapted / "round_1" / "train" / "checkpoints")
    assert found is not None
    before, file = found.stat().st_mtime_ns, adapted / "round_2" / "extrinsic.yaml"
    former = read_extrinsic(file)
    moved = se3.make(np.eye(3), np.array([0.0, 0.0, 5.0])) @ former.T_cam_lidar
    write_calibration(file, Extrinsic(moved, covariance=former.covariance, status="ok", reason="of another run"))
    outcome = crossi2p("adapt", drive, "--weights", weights, "--out", adapted, "--perturb", "1,10", "--seed", 2,
                       "--config", settings, "--device", "cpu")
    assert outcome.code == 0, outcome
    assert found.stat().st_mtime_ns == before
    second = json.loads((adapted / "report.json").read_text())["rounds"][1]
    assert second["reason"] == "of another run" and "round_2" in second["weights"]


def test_what_another_drive_or_start_has_led_to_is_not_handed_on(adapted: Path, drive: Path, weights: Path,
                                                                  settings: Path, tmp_path: Path) -> None:
    assert crossi2p("synth", tmp_path / "other", "--frames", 4, "--seed", 2).code == 0
    usual = ("--weights", weights, "--out", adapted, "--config", settings, "--device", "cpu")
    before = (adapted / "extrinsic.yaml").read_bytes()
    for source, start, name in ((tmp_path / "other", ("--perturb", "1,10", "--seed", 2), "drive"),
                                (drive, ("--perturb", "1,10", "--seed", 3), "start"),
                                (drive, ("--perturb", "1,10", "--seed", 2, "--frames", "0:3"), "frames")):
        outcome = crossi2p("adapt", source, *usual, *start)
        assert outcome.code == 2 and "another adaptation" in outcome.err and name in outcome.err
    assert (adapted / "extrinsic.yaml").read_bytes() == before


def test_one_rig_of_several_is_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of one rig comes first, two of another follow: what is learned holds for the two alone."""
    for name, frames in (("a", 1), ("b", 2)):
        assert crossi2p("synth", tmp_path / "both" / name, "--frames", frames, "--seed", frames).code == 0
    asked: list[Any] = []

    def adapted(*arguments: Any) -> None:
        asked.extend(arguments)
        raise Stopped(2)

    monkeypatch.setattr("crossi2p_core.adapt.rounds.adapt", adapted)
    assert crossi2p("adapt", tmp_path / "both", "--weights", "none", "--out", tmp_path / "out").code == 130
    read, learn_from, prior = asked[:3]
    recorded = open_source(tmp_path / "both" / "b")[0].T_cam_lidar
    assert recorded is not None and len(read.samples) == 2
    np.testing.assert_allclose(prior.T_cam_lidar, recorded)
    write_calibration(tmp_path / "extrinsic.yaml", Extrinsic(np.eye(4)))
    source = _open(replace(learn_from, extrinsic=str(tmp_path / "extrinsic.yaml")))
    np.testing.assert_allclose(source[1].T_cam_lidar, np.eye(4))
    with pytest.raises(InputError, match="is of the rig"):
        source[0]
    of_all = replace(learn_from, extrinsic=str(tmp_path / "extrinsic.yaml"), rig=None)
    assert source.identity() != _open(of_all).identity()


def test_what_cannot_be_used_is_refused(drive: Path, weights: Path, settings: Path, tmp_path: Path) -> None:
    assert_refused(crossi2p("adapt", drive, "--weights", tmp_path / "none.json", "--out", tmp_path / "a"), "none.json")
    hostile = tmp_path / "adapt.yaml"
    hostile.write_text("rounds: 0\n")
    assert_refused(crossi2p("adapt", drive, "--weights", weights, "--out", tmp_path / "b", "--config", hostile),
                   "rounds")
    (tmp_path / "file").write_text("")
    outcome = crossi2p("adapt", drive, "--weights", weights, "--out", tmp_path / "file", "--config", settings,
                       "--frames", "0")
    assert outcome.code == 2 and "file" in outcome.err
