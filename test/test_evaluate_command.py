"""`crossi2p evaluate`: pairs first, then predictions, then figures; goes on where it stopped; bad frames count."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import assert_refused, crossi2p
from scipy.spatial import cKDTree
from test_network import SMALL
from test_train_command import Walls

from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.datasets.selection import select_frames
from crossi2p_core.evaluate.methods import _answer, _estimated
from crossi2p_core.evaluate.pairs import draw_pairs, read_pairs
from crossi2p_core.evaluate.predict import NOT_APPLICABLE
from crossi2p_core.evaluate.protocols import PROTOCOLS, WINDOW, draw, pose
from crossi2p_core.evaluate.run import Wanted, list_pairs
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.pose_covariance import covariance_from_ros
from crossi2p_core.model.network import Network
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.train.checkpoint import Checkpoint, save
from crossi2p_core.types import Prior


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames as files."""
    path = tmp_path_factory.mktemp("walls")
    prepare(Walls(), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that knows nothing."""
    torch.manual_seed(0)
    config = {"network": parse_yaml(dump_config(SMALL), "the settings")}
    return save(tmp_path_factory.mktemp("weights"), Checkpoint(1, config, {}, "", Network(SMALL).state_dict()), keep=1)


def test_an_evaluation_writes_all_and_goes_on_where_it_stopped(recording: Path, weights: Path, tmp_path: Path) -> None:
    call = ("evaluate", recording, "--protocol", "A", "--weights", weights, "--no-refine", "--device", "cpu", "--out",
            tmp_path)
    first = crossi2p(*call)
    assert first.code == 0, first
    assert "wrong image" in first.out and "no image" in first.out and "recall, right" in first.out
    path = tmp_path / "predictions-0.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) == 3 and len(read_pairs(tmp_path).pairs) == 3
    assert "http" not in (tmp_path / "report.html").read_text().replace(str(tmp_path), "")
    # stopped in the middle of the second line: the first stands, the others are asked again and say the same
    path.write_text(lines[0] + "\n" + lines[1][:40])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert crossi2p(*call).code == 0
    again = path.read_text().splitlines()
    assert again[0] == lines[0] and len(again) == 4
    assert [json.loads(line)["pair"] for line in (again[0], *again[2:])] == [0, 1, 2]
    assert json.loads((tmp_path / "metrics.json").read_text())["table"] == metrics["table"]
    assert_refused(crossi2p(*call, "--seed", 1), "holds another evaluation", "--out")


@pytest.mark.parametrize("protocol", "ABCD")
def test_the_same_call_twice_asks_nothing_again(recording: Path, weights: Path, tmp_path: Path, protocol: str) -> None:
    call = ("evaluate", recording, "--protocol", protocol, "--weights", weights, "--no-refine", "--device", "cpu",
            "--frames", "0-1", "--out", tmp_path)
    assert crossi2p(*call).code == 0
    lines = (tmp_path / "predictions-0.jsonl").read_text()
    again = crossi2p(*call)
    assert again.code == 0, again
    assert (tmp_path / "predictions-0.jsonl").read_text() == lines


def test_answers_to_another_list_are_not_counted(recording: Path, weights: Path, tmp_path: Path) -> None:
    call = ("evaluate", recording, "--protocol", "D", "--weights", weights, "--no-refine", "--device", "cpu", "--out",
            tmp_path, "--json", "--frames", "0-1")
    first = json.loads(crossi2p(*call, "--seed", 1).out)
    (tmp_path / "pairs.json").unlink()
    second = json.loads(crossi2p(*call, "--seed", 2).out)
    assert len((tmp_path / "predictions-0.jsonl").read_text().splitlines()) == 4
    assert first["methods"]["network"]["right"]["rre_deg"] != second["methods"]["network"]["right"]["rre_deg"]


def test_weights_that_the_settings_name_are_a_network(recording: Path, weights: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"weights: {weights}\n")
    outcome = crossi2p("evaluate", recording, "--protocol", "C", "--config", settings, "--no-refine", "--device", "cpu",
                       "--frames", "0", "--json", "--out", tmp_path / "out")
    told = json.loads(outcome.out)
    assert [row["method"] for row in told["table"]] == ["start", "network"] and told["about"]["weights"]


def test_the_wrong_image_is_not_a_neighbours() -> None:
    pairs = draw_pairs([str(i) for i in range(30)], range(30), 4, 0, lambda rng: {"scan_seed": 0})
    apart = [abs(pair.frame - pair.wrong_frame) for pair in pairs if pair.wrong_frame is not None]
    assert len(apart) == 120 and min(min(each, 30 - each) for each in apart) >= 10
    assert len({pair.wrong_frame for pair in pairs}) > 20
    two = draw_pairs(["a", "b"], [0, 1], 1, 0, lambda rng: {"scan_seed": 0})
    assert [pair.wrong_frame for pair in two] == [1, 0]
    (one,) = draw_pairs(["a"], [0], 1, 0, lambda rng: {"scan_seed": 0})
    assert one.wrong_frame is None


def test_a_bad_frame_is_a_failure_with_its_reason(recording: Path, weights: Path, tmp_path: Path) -> None:
    source = tmp_path / "walls"
    source.mkdir()
    for file in recording.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    next(iter(sorted(source.glob("*.npz")))).write_bytes(b"nothing")
    outcome = crossi2p("evaluate", source, "--protocol", "D", "--weights", weights, "--no-refine", "--device", "cpu",
                       "--json", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome
    told = json.loads(outcome.out)
    assert list(told["bad_frames"]) == ["000"]
    right = told["methods"]["network"]["right"]
    assert (right["pairs"], right["unanswered"], right["failed"]) == (3, 1, 1)
    told = [json.loads(line) for line in (tmp_path / "out/predictions-0.jsonl").read_text().splitlines()]
    broken = next(one for one in told if one["failed"])
    assert [one["status"] for one in broken["answers"] if one["method"] == "image-free"] == [NOT_APPLICABLE]


@pytest.mark.parametrize("metres", [0.3, 10.0])
def test_sigmas_are_of_the_rotation_and_the_translation_of_the_camera(metres: float) -> None:
    T = se3.make(np.eye(3), np.array([metres, 0.0, 0.0]))
    around_itself = covariance_from_ros(np.diag([0.05**2] * 3 + [np.radians(0.5)**2] * 3), T)
    sigma = _answer(T, around_itself, "ok", "", 0.0)["sigma"]
    assert sigma == pytest.approx([0.5 * 3**0.5, 0.05 * 3**0.5])


def test_another_flow_network_is_another_evaluation(recording: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(f"flow: {tmp_path / 'flow.json'}\n")
    digests = []
    for content in (b"one", b"two"):
        (tmp_path / "flow.safetensors").write_bytes(content)
        source = open_source(recording)
        wanted = Wanted(source, [0], "C", tmp_path / "out", weights, True, config=tmp_path / "settings.yaml")
        digests.append(list_pairs(wanted).digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(("more", "words"), [
    (("--protocol", "A", "--no-refine", "--weights", "none"), ("--weights",)),
    (("--protocol", "A", "--start", "2,20"), ("--start", "protocol C")),
    (("--protocol", "C", "--frames", "9"), ("numbered 0 to 2",)),
    (("--protocol", "C", "--weights", "missing.json"), ("missing.json",)),
])
def test_what_cannot_be_evaluated_is_refused(recording: Path, tmp_path: Path, more: tuple, words: tuple) -> None:
    assert_refused(crossi2p("evaluate", recording, "--out", tmp_path, "--device", "cpu", *more), *words)


def test_a_folder_with_a_foreign_list_is_refused(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.json").write_text('{"format": "another", "pairs": 3}')
    assert_refused(crossi2p("evaluate", recording, "--protocol", "C", "--device", "cpu", "--out", tmp_path),
                   "pairs.json", "not a list of pairs")


def test_frames_can_be_a_range_with_both_ends(recording: Path) -> None:
    assert select_frames(open_source(recording), "0-1") == [0, 1]


@pytest.mark.parametrize("name", "ABCDE")
def test_each_protocol_moves_what_it_says_and_keeps_the_truth_true(name: str) -> None:
    protocol, source = PROTOCOLS[name], Walls()
    pairs = draw_pairs(source.names, [0, 1, 2], 1, 0, lambda rng: draw(protocol, rng, (10.0, 0.25)))
    assert pairs == draw_pairs(source.names, [0, 1, 2], 1, 0, lambda rng: draw(protocol, rng, (10.0, 0.25)))
    pair, sample = pairs[1], source[1]
    assert pair.wrong_frame in (0, 2)
    posed = pose(protocol, pair, sample, source[pair.wrong_frame])
    assert not np.array_equal(posed.right.image, posed.wrong.image)
    assert np.array_equal(posed.right.cloud.xyz, posed.wrong.cloud.xyz)
    truth = np.asarray(posed.right.T_cam_lidar)
    if name == "C":
        assert posed.start is not None and np.array_equal(truth, sample.T_cam_lidar)
        assert 0 < se3.rotation_error_deg(posed.start, truth) <= 10
        assert 0 < se3.translation_error_m(posed.start, truth) <= 0.25
        return
    assert posed.start is None
    if name == "E":
        assert np.array_equal(truth, sample.T_cam_lidar) and posed.right.image.shape == sample.image.shape
        return
    distance = np.linalg.norm(se3.transform(truth, posed.right.cloud.xyz.astype(float)), axis=1)
    before = np.linalg.norm(se3.transform(np.asarray(sample.T_cam_lidar), sample.cloud.xyz.astype(float)), axis=1)
    assert cKDTree(before[:, None]).query(distance[:, None])[0].max() < 1e-3  # m: the same points, seen from as far
    turn = se3.rotation_error_deg(truth, sample.T_cam_lidar)
    assert turn > 1 and (name == "D") == (posed.right.image.shape[:2] == WINDOW)


def test_a_network_is_sure_only_where_nobody_told_it_where_to_look() -> None:
    class Sure:
        def estimate(self, sample: object, prior: Prior | None) -> SimpleNamespace:
            return SimpleNamespace(T_cam_lidar=np.eye(4), covariance=np.eye(6), margin=1e6)

    ask = _estimated(Sure())
    assert ask(None, None)["status"] == "ok" and ask(None, Prior(np.eye(4)))["status"] == "uncertain"
