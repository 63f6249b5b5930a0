"""Exported programs: written and checked, read back, refused where they differ."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import assert_refused, crossi2p
from test_network import SMALL
from torch import Tensor

from crossi2p_core import export_half
from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.export import load_exported, sidecar, write_export
from crossi2p_core.export_check import differences
from crossi2p_core.export_half import write_half
from crossi2p_core.matcher import load_network
from crossi2p_core.model.batch import Batch, collate
from crossi2p_core.model.coarse import CoarseScores
from crossi2p_core.model.inputs import make_batch
from crossi2p_core.model.network import Matches, Network
from crossi2p_core.model.plain import INPUTS, OUTPUTS, PlainNetwork, plain_inputs
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.solve.from_matches import poses_from_matches
from crossi2p_core.train.checkpoint import Checkpoint, load, save

SOURCE = "synthetic:street?seed=2&frames=3&camera=kitti&lidar=vlp16"
TINY = replace(SMALL, points=replace(SMALL.points, neighbours=4))


@pytest.fixture(scope="module", autouse=True)
def no_trace_logs() -> Iterator[None]:
    """torch tells every step of tracing to whoever listens; pytest does, and it takes longer than the tracing."""
    logger = logging.getLogger("torch.__trace")
    before, logger.propagate = logger.propagate, False
    yield
    logger.propagate = before


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(TINY).eval()


@pytest.fixture(scope="module")
def batch() -> Batch:
    return collate([make_batch(sample, TINY) for sample in open_source(SOURCE)])


@pytest.fixture(scope="module")
def weights(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {"network": parse_yaml(dump_config(TINY), "the settings")}
    kept = Checkpoint(1, config, {}, "", network.state_dict(), {}, {}, None)
    return save(tmp_path_factory.mktemp("weights"), kept, keep=1)


@pytest.fixture(scope="module")
def program(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Any number of pairs, written by the command."""
    path = tmp_path_factory.mktemp("exported") / "tiny.pt2"
    ended = crossi2p("export", weights, path, "--source", SOURCE)
    assert ended.code == 0, ended
    assert all(name in ended.out for name in OUTPUTS) and "any number of pairs" in ended.out
    return path


def with_outputs(own: Matches, said: Mapping[str, Tensor]) -> Matches:
    """What a network would have said."""
    scores = CoarseScores(said["similarity"], said["in_view"], said["covered"])
    fine = replace(own.fine, points=said["fine_points"], pixels=said["fine_pixels"], weights=said["fine_weights"],
                   valid=said["fine_valid"])
    return replace(own, scores=scores, fine=fine, chosen=said["chosen"], inside=said["superpixel_inside"])


def test_a_program_read_back_finds_the_same_pose(program: Path, network: Network, batch: Batch) -> None:
    exported = load_exported(program)
    assert exported.config == TINY
    for pairs in (1, 3):
        some = batch.first(pairs)
        with torch.no_grad():
            own = network(some)
        found = poses_from_matches(with_outputs(own, exported(some)), some, TINY.grid)
        torch.testing.assert_close(found.T, poses_from_matches(own, some, TINY.grid).T, rtol=0, atol=1e-4)


def test_its_json_tells_what_goes_in_and_comes_out(program: Path, batch: Batch) -> None:
    told = json.loads(sidecar(program).read_text())
    assert told["kind"] == "pt2" and told["batch"] == "any" and told["grid"] == list(TINY.grid)
    assert set(told["largest_differences"]) == set(OUTPUTS)
    assert all(value <= 1e-3 for value in told["largest_differences"].values())
    tensors = plain_inputs(batch)
    assert [each["name"] for each in told["inputs"]] == list(INPUTS) == list(tensors)
    for each in told["inputs"]:
        assert each["shape"][1:] == list(tensors[each["name"]].shape[1:]) and each["meaning"]
        assert f"torch.{each['type']}" == str(tensors[each["name"]].dtype)
        assert len(each["sizes"].split()) == tensors[each["name"]].dim()
    assert [each["name"] for each in told["outputs"]] == list(OUTPUTS)


def test_a_damaged_program_is_refused(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pt2"
    with pytest.raises(InputError, match=r"copy\.pt2\.json"):
        load_exported(copy)
    sidecar(copy).write_text(sidecar(program).read_text())
    with pytest.raises(InputError, match=r"beside its \.json"):
        load_exported(copy)
    copy.write_bytes(program.read_bytes()[:-1])
    with pytest.raises(InputError, match="is damaged"):
        load_exported(copy)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_check_sees_every_output(network: Network, batch: Batch, name: str) -> None:
    def wrong(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said = right(network, inputs)
        changed = said[name].clone()
        if name == "chosen":
            changed[-1, 0, 1] = (changed[-1, 0, 1] + 7) % (TINY.grid[0] * TINY.grid[1])
        elif changed.dtype == torch.bool:
            changed[-1, -1] = ~changed[-1, -1]
        else:
            changed[-1, -1] += 0.01 * changed[-1, -1].abs().clamp(min=1)
        return said | {name: changed}

    found = differences(network, wrong, [batch])
    assert found[name] > 1e-3
    touched = {name} if name != "chosen" else {each for each in OUTPUTS if each.startswith(("fine_", "chosen"))}
    assert all(value == 0 for each, value in found.items() if each not in touched)


def test_the_check_forgives_order_alone_and_never_nan(network: Network, batch: Batch) -> None:
    def turned_round(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said = right(network, inputs)
        return {key: tensor.flip(1) if key == "chosen" or key.startswith("fine_") else tensor
                for key, tensor in said.items()}

    def spoilt(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said = right(network, inputs)
        return said | {"in_view": said["in_view"] * torch.nan, "chosen": said["chosen"] + 10**6}

    assert max(differences(network, turned_round, [batch]).values()) < 1e-5
    said = iter([spoilt, turned_round])
    odd = differences(network, lambda inputs: next(said)(inputs), [batch, batch])
    assert math.isnan(odd["in_view"]) and odd["chosen"] == math.inf == odd["fine_pixels"]


def right(network: Network, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the network itself says."""
    return PlainNetwork(network)(*inputs.values())


def test_a_program_that_differs_leaves_what_was_there(network: Network, batch: Batch, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from crossi2p_core import export

    def other(data: bytes) -> object:
        return lambda inputs: {key: tensor + 1 if key == "similarity" else tensor
                               for key, tensor in right(network, inputs).items()}

    monkeypatch.setitem(export._PROGRAMS, "pt2", export._Program(lambda *_: b"a program", other))
    path = tmp_path / "kept.pt2"
    path.write_bytes(b"former")
    with torch.no_grad(), pytest.raises(InputError, match="differs from the network in similarity by"):
        write_export(network, path, "pt2", [batch], 1e-3, True, {})
    assert path.read_bytes() == b"former" and not sidecar(path).exists()


def test_half_the_size_says_nearly_the_same(weights: Path, network: Network, batch: Batch, tmp_path: Path) -> None:
    path = tmp_path / "light.safetensors"
    ended = crossi2p("export", weights, path, "--format", "half", "--source", SOURCE)
    assert ended.code == 0 and "similarity" in ended.out and "light.json" in ended.out, ended
    assert path.stat().st_size < 0.55 * weights.with_suffix(".safetensors").stat().st_size
    read = load_network(path).eval()
    with torch.no_grad():
        torch.testing.assert_close(read(batch).scores.in_view, network(batch).scores.in_view, atol=0.05, rtol=0.05)


def test_weights_that_half_the_bits_cannot_hold_are_not_written(weights: Path, batch: Batch, tmp_path: Path) -> None:
    kept = load(weights)
    name = next(name for name in kept.weights if "projector" in name and name.endswith("weight"))
    one = kept.weights[name].clone()
    one.view(-1)[0] = 1e6
    large = save(tmp_path, replace(kept, weights=kept.weights | {name: one}), keep=1)
    with pytest.raises(InputError, match=f"float16 holds numbers up to 65504, and {name} has larger ones"):
        write_half(large, tmp_path / "half.safetensors", [batch], 0.5)
    with pytest.raises(InputError, match="in float16 the weights say something else"):
        write_half(weights, tmp_path / "half.safetensors", [batch], 1e-12)
    with pytest.raises(InputError, match="ending"):
        write_half(weights, tmp_path / "half.pt", [batch], 0.5)
    assert not list(tmp_path.glob("half*"))


def test_an_answer_that_is_no_number_is_no_small_difference(weights: Path, batch: Batch, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_half, "differences", lambda *_: {})  # so that nothing but the probabilities is compared
    spoilt = replace(batch, image=batch.image * torch.nan)
    for batches in ([spoilt], [batch, spoilt], [spoilt, batch]):
        with pytest.raises(InputError, match="similarity by nan"):
            write_half(weights, tmp_path / "half.safetensors", batches, 0.5)
    assert not list(tmp_path.iterdir())


def test_bad_options_are_refused_in_words(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pt2"
    assert_refused(crossi2p("export", weights, out, "--format", "tflite"), "--format tflite", "onnx or half")
    assert_refused(crossi2p("export", weights, out, "--batch", "0"), "--batch 0", "any")
    assert_refused(crossi2p("export", weights, out, "--tolerance", "0"), "--tolerance 0")
    assert_refused(crossi2p("export", tmp_path / "no.json", out), "no.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("out", "form"), [("step-000000001", "pt2"), ("x/../step-000000001.safetensors", "half"),
                                            ("step-000000001.json", "pt2")])
def test_the_checkpoint_itself_is_not_written_over(weights: Path, tmp_path: Path, out: str, form: str) -> None:
    (tmp_path / "x").mkdir()
    for ending in (".json", ".safetensors"):
        (tmp_path / f"step-000000001{ending}").write_bytes(weights.with_suffix(ending).read_bytes())
    before = {file.name: file.read_bytes() for file in tmp_path.glob("step-*")}
    assert_refused(crossi2p("export", tmp_path / "step-000000001.safetensors", tmp_path / out, "--format", form),
                   "overwrite the checkpoint itself")
    assert {file.name: file.read_bytes() for file in tmp_path.glob("step-*")} == before


@pytest.mark.skipif(importlib.util.find_spec("onnx") is not None, reason="onnx is installed here")
def test_onnx_says_what_to_install(weights: Path, tmp_path: Path) -> None:
    refused = crossi2p("export", weights, tmp_path / "out.onnx", "--format", "onnx", "--batch", "1", "--source", SOURCE)
    assert_refused(refused, "pip install onnx onnxscript onnxruntime")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["any", "1"])
def test_an_onnx_model_says_the_same(weights: Path, network: Network, batch: Batch, tmp_path: Path, pairs: str) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX is optional: pip install onnx onnxscript onnxruntime")
    path = tmp_path / "tiny.onnx"
    ended = crossi2p("export", weights, path, "--format", "onnx", "--batch", pairs, "--source", SOURCE)
    assert ended.code == 0, ended
    assert max(differences(network, load_exported(path).run, [batch.first(1)]).values()) < 1e-3
