"""`crossi2p train`: settings are understood or refused in words; the real network goes through all of the machinery."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, crossi2p

from crossi2p_core.config import dump_config, load_config
from crossi2p_core.datasets import Source
from crossi2p_core.datasets.compact_writer import prepare
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.model.config import preset
from crossi2p_core.train import checkpoint
from crossi2p_core.train.config import TrainConfig
from crossi2p_core.train.read_config import read_config
from crossi2p_core.types import Camera, PointCloud, Sample

TINY = {
    "preset": "light", "size": [64, 128], "image": {"layers": [1, 1, 1, 1], "width": 8},
    "points": {"points": 1024, "dims": [16, 16, 32], "dynamic_layers": 0}, "coarse": {"layers": 1},
    "fine": {"matches": 8, "layers": 0},
}


class Walls(Source):
    """A camera and a scan in a room of four walls."""

    kind = "walls"

    def __init__(self) -> None:
        super().__init__("walls", ["000", "001", "002"])

    def _load(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        direction = rng.normal(size=(3000, 3)) * [1, 1, 0.2]
        xyz = 12 * direction / np.abs(direction[:, :2]).max(1, keepdims=True)
        T = se3.make(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.1, -0.2, 0.3]))
        camera = Camera(np.array([[120.0, 0, 63.5], [0, 120, 31.5], [0, 0, 1]]), 128, 64)
        image = rng.integers(0, 255, (64, 128, 3), dtype=np.uint8)
        return Sample(self.names[index], image, camera, PointCloud.from_arrays(xyz), T)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames as files."""
    path = tmp_path_factory.mktemp("walls")
    prepare(Walls(), path)
    return path


@pytest.fixture
def settings(tmp_path: Path, recording: Path) -> Path:
    """Two steps on two of them, the third for validation."""
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({
        "out": str(tmp_path / "out"), "network": TINY, "steps": 2, "warm_up": 1, "batch": 1, "workers": 0,
        "sources": [{"path": str(recording), "frames": "0:2"}],
        "validation": [{"path": str(recording), "frames": "2"}],
        "gradnorm": {"pose_from_step": 1}}))
    return path


def test_it_trains_goes_on_and_starts_others(settings: Path, tmp_path: Path) -> None:
    outcome = crossi2p("train", settings, "--device", "cpu")
    assert outcome.code == 0, outcome
    assert outcome.out.startswith("2 of 2 steps done; best checkpoint: ") and "coarse_recall" in outcome.out
    out = tmp_path / "out"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "note" not in line]
    assert {"loss.alignment", "loss.correspondence", "loss.pose", "coarse_recall", "coarse_loss", "fine_loss",
            "gradient.alignment", "weight.pose"} <= steps[1].keys()
    assert "loss.pose" not in steps[0]
    assert load_config(TrainConfig, out / "config.yaml") == read_config(settings)
    # on to a third step, and other runs from these weights
    again = crossi2p("train", settings, "steps=3", "--resume", "--device", "cpu")
    assert again.code == 0 and again.out.startswith("3 of 3 steps done"), again
    assert len([line for line in (out / "log.jsonl").read_text().splitlines() if "loss" in line]) == 3
    kept = checkpoint.latest(out / "checkpoints")
    other = crossi2p("train", settings, f"out={tmp_path / 'other'}", f"weights={kept}", "steps=1", "warm_up=0",
                     "validation=[]", "lr=1e-8", "ema=0", "--device", "cpu")
    assert other.code == 0, other
    before, after = (checkpoint.load(path) for path in (kept, checkpoint.latest(tmp_path / "other" / "checkpoints")))
    assert all(torch.allclose(after.weights[name].float(), value.float(), atol=1e-3)
               for name, value in before.weights.items() if "num_batches" not in name)


def test_a_preset_is_changed_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("network: light\ngradnorm: {mode: off}\n")
    config = read_config(path, ["network.coarse.layers=7", "lr=1e-3", "sources=[{path: a}]", "sources.0.weight=2",
                                "augment.turn_deg=[1, 2, 3]", "gradnorm.weights.pose=0.5"])
    light = preset("light")
    assert config.network.coarse.layers == 7 and config.network.image == light.image
    assert config.lr == 1e-3 and config.sources[0].weight == 2 and config.augment.turn_deg == (1, 2, 3)
    assert config.gradnorm.mode == "off" and config.gradnorm.weights == {"pose": 0.5}
    assert read_config(path, ["network=full"]).network == preset("full")
    own = tmp_path / "own.yaml"
    dump_config(config.network, own)
    assert read_config(path, [f"network={own}"]).network == config.network


@pytest.mark.parametrize(("changes", "words"), [
    (["learning_rate=1"], ["unknown key learning_rate"]), (["warmup=1"], ["did you mean warm_up"]),
    (["lr"], ["'lr' is no change of a setting"]), (["lr=fast"], ["lr must be a finite number", "'fast'"]),
    (["=1"], ["is no change of a setting"]), (["lr=[1"], ["lr=[1", "not valid YAML"]),
    (["batch=0"], ["batch must be at least 1"]), (["precision=fp16"], ["precision must be one of fp32, bf16"]),
    (["sources.3.weight=1"], ["there is no number 3"]), (["sources.0.weight=0"], ["every source has weight 0"]),
    (["sources=[]"], ["name no sources"]), (["sources=[{weight: 1}]"], ["a source needs a path"]),
    (["sources=[{path: /nowhere}]"], ["/nowhere does not exist"]),
    (["steps.more=1"], ["cannot be set"]), (["network=medium"], ["there is no network 'medium'"]),
    (["network=3"], ["network must name one of full, light"]), (["network.size=[100, 512]"], ["multiples of 32"]),
    (["gradnorm.weights.colour=1"], ["there is no loss 'colour'"]),
    (["gradnorm.weights.pose=-1"], ["the weight of pose must be 0 or more"]),
    (["augment.zoom=[2, 1]"], ["zoom", "smaller to the larger"]), (["warm_up=5"], ["warm_up 5 must be shorter"]),
    (["weights=/nowhere.json"], ["/nowhere.json is not a file"]),
    (["image_weights=/nowhere.pth"], ["there is no file of weights at /nowhere.pth"]),
    (["--resume"], ["no checkpoint to go on from"]), (["--device", "gpu"], ["there is no device 'gpu'"]),
    (["--device", "mps"], ["nothing is trained on the device 'mps'"]),
])
def test_what_cannot_be_meant_is_refused_in_one_sentence(settings: Path, changes: list[str], words: list[str]) -> None:
    assert_refused(crossi2p("train", settings, *changes), *words)


def test_a_checkpoint_of_another_network_is_refused(settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoints"
    checkpoint.save(folder, checkpoint.Checkpoint(1, {"network": {"size": [1, 2]}}, {}, "", {}), keep=1)
    assert_refused(crossi2p("train", settings), "network.", "another out")


@pytest.mark.parametrize("text", ["[]", "3", "a: [", "sources: 4", "network: {preset: [light]}"])
def test_files_that_are_no_settings_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_config(path)


@pytest.mark.parametrize("recipe", sorted((Path(__file__).parents[1] / "config" / "train").glob("*.yaml")),
                         ids=lambda path: path.stem)
def test_the_recipes_are_understood_and_keep_frames_back(recipe: Path) -> None:
    settings = read_config(recipe)
    assert settings.sources and settings.validation
    learned = {(source.path, source.frames) for source in settings.sources}
    assert not any((source.path, None) in learned or (source.path, source.frames) in learned
                   for source in settings.validation)
    named = recipe.read_text()
    assert f"crossi2p_core train config/train/{recipe.name}" in named
