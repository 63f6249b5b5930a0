"""Checkpoints: whole or not there, the right ones kept, and nothing believed that a file says."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from toy_training import toy_config

from crossi2p_core.errors import InputError
from crossi2p_core.train.checkpoint import Checkpoint, best, latest, load, load_weights, save
from crossi2p_core.train.optimizer import Optimizer


def checkpoint(step: int = 5, score: float | None = None) -> Checkpoint:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)}
    return Checkpoint(step, {"lr": 1e-3}, {"recall": 0.1 + 0.2, "odd": float("nan")}, "abc", tensors,
                      {"model.x": torch.ones(3)}, {"gradnorm": {"weights": {"pose": 1 / 3}}}, score)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint(), keep=3)
    found = load(path)
    assert found.step == 5 and found.state == {"gradnorm": {"weights": {"pose": 1 / 3}}}
    assert found.metrics == {"recall": 0.1 + 0.2, "odd": None}
    assert found.weights["half"].dtype == torch.bfloat16
    assert torch.equal(found.weights["a.weight"], checkpoint().weights["a.weight"])
    assert torch.equal(found.training["model.x"], torch.ones(3))
    assert load(path.with_suffix(".safetensors"), training=False).training == {}


def test_a_run_of_thousands_of_sources_is_read_again(tmp_path: Path) -> None:
    sources = [{"path": f"recordings/drive_{number:05d}", "weight": 1.0} for number in range(20_000)]
    path = save(tmp_path, replace(checkpoint(), config={"sources": sources}), keep=1)
    assert path.stat().st_size > 1e6 and load(path).config["sources"] == sources


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    for step, score in enumerate([0.1, 0.9, 0.3, 0.2, None, 0.4]):
        save(tmp_path, checkpoint(step, score), keep=2)
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [f"step-{step:09d}.json" for step in (1, 4, 5)]
    assert len(list(tmp_path.iterdir())) == 9
    assert best(tmp_path) == tmp_path / "step-000000001.json" and latest(tmp_path) == tmp_path / "step-000000005.json"
    assert latest(tmp_path / "nowhere") is None and best(tmp_path / "nowhere") is None


def test_tensors_without_their_json_are_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(3), keep=3)
    save(tmp_path, checkpoint(4), keep=3).unlink()  # as if the process had died before the last file
    assert latest(tmp_path) == tmp_path / "step-000000003.json"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write"):
        save(tmp_path, checkpoint(), keep=3)


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def replace_weights(path: Path, data: bytes) -> None:
    """Other bytes, with a digest that fits them: the sidecar may be as hostile as the rest."""
    import hashlib

    path.with_suffix(".safetensors").write_bytes(data)
    digests = json.loads(path.read_text())["sha256"] | {"safetensors": hashlib.sha256(data).hexdigest()}
    change_json(path, sha256=digests)


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.abort, ()


HUGE_HEADER = (2**62).to_bytes(8, "little") + b"{}"
LYING_HEADER = b'{"a":{"dtype":"F32","shape":[999999999,999999],"data_offsets":[0,4]}}'


@pytest.mark.parametrize("damage", [
    lambda path: path.write_text(""), lambda path: path.write_text("[]"), lambda path: path.write_text("{"),
    lambda path: path.write_bytes(pickle.dumps(Bomb())),
    lambda path: path.write_text("[" * 100_000), lambda path: path.write_text(" " * 300_000),
    lambda path: change_json(path, format="other"), lambda path: change_json(path, step="5"),
    lambda path: change_json(path, step=-1), lambda path: change_json(path, score=[]),
    lambda path: change_json(path, config=3), lambda path: change_json(path, sha256={}),
    lambda path: path.with_suffix(".safetensors").unlink(),
    lambda path: path.with_suffix(".training.safetensors").write_bytes(b""),
    lambda path: os.truncate(path.with_suffix(".safetensors"), 40),
    lambda path: replace_weights(path, b""), lambda path: replace_weights(path, pickle.dumps(Bomb())),
    lambda path: replace_weights(path, HUGE_HEADER),
    lambda path: replace_weights(path, len(LYING_HEADER).to_bytes(8, "little") + LYING_HEADER + b"1234"),
    lambda path: replace_weights(path, safetensors.torch.save({"a": torch.tensor([1.0, torch.nan])})),
])
def test_damaged_and_hostile_files_are_refused_in_one_sentence(tmp_path: Path, damage: object) -> None:
    path = save(tmp_path, checkpoint(), keep=3)
    damage(path)  # type: ignore[operator]
    with pytest.raises(InputError) as refused:
        load(path)
    assert "\n" not in str(refused.value) and str(tmp_path) in str(refused.value)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, checkpoint(), keep=3)
    weights = path.with_suffix(".safetensors")
    data = bytearray(weights.read_bytes())
    data[-3] ^= 4
    weights.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        load(path)


def test_weights_of_another_network_are_refused() -> None:
    module = nn.Linear(3, 2)
    for tensors, words in (({"weight": torch.ones(2, 3)}, "lacks bias"),
                           ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "odd": torch.ones(1)}, "has odd"),
                           ({"weight": torch.ones(3, 3), "bias": torch.ones(2)}, "weight is \\(3, 3\\), here")):
        with pytest.raises(InputError, match=words):
            load_weights(module, tensors, "here")


def test_moments_that_do_not_fit_are_refused() -> None:
    module = nn.Linear(3, 2)
    optimizer = Optimizer(module, toy_config("out", optimizer="adamw"))
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step(1e-3)
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors(module).items()}
    assert len(kept) == 6
    for tensors in (kept | {"odd.exp_avg": torch.ones(1)}, kept | {"weight.exp_avg": torch.ones(1)},
                    {name: tensor for name, tensor in kept.items() if name != "bias.step"}):
        with pytest.raises(InputError, match="moments"):
            Optimizer(module, toy_config("out", optimizer="adamw")).restore(module, tensors, "here")
