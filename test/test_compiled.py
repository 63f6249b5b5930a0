"""torch.compile: the same answers and gradients; where it does not work, a sentence and the plain network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_network import SMALL
from torch import Tensor, nn
from toy_training import ToyExamples, ToyTask, toy_config, toy_model

from crossi2p_core.config import dump_config
from crossi2p_core.datasets import open_source
from crossi2p_core.matcher import Matcher
from crossi2p_core.model.compiled import WORDS, CompiledForward, compile_forward
from crossi2p_core.model.inputs import make_batch
from crossi2p_core.model.network import Network
from crossi2p_core.registrar import Registrar, RegistrarConfig
from crossi2p_core.safe_yaml import parse_yaml
from crossi2p_core.train.checkpoint import Checkpoint, save
from crossi2p_core.train.trainer import Trainer

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: apt-get "
                                                                        "install g++")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Neither a C++ compiler nor anything that one has built before."""
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    with config.patch({"cpp.cxx": (None, str(tmp_path / "no-such-compiler"))}):
        yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = {"network": parse_yaml(dump_config(SMALL), "the settings")}
    return save(tmp_path_factory.mktemp("weights"), Checkpoint(1, config, {}, "", Network(SMALL).state_dict()), keep=1)


def test_without_a_compiler_the_plain_network_answers(no_compiler: None) -> None:
    layer, told = nn.Sequential(nn.Linear(3, 3), nn.GELU()), list[str]()  # a product alone would need no compiler
    x = torch.rand(2, 3)
    want = layer(x)
    compile_forward(layer, told.append)
    for _ in range(2):
        torch.testing.assert_close(layer(x), want, rtol=0, atol=0)
    assert len(told) == 1
    assert "torch.compile does not work here" in told[0] and "\n" not in told[0] and len(told[0]) < 2 * WORDS


def test_bad_input_is_no_failure_of_the_compiler() -> None:
    told: list[str] = []
    forward = CompiledForward(nn.Linear(3, 3), told.append)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        forward(torch.rand(2, 4))
    assert not told and not forward._failed


def test_names_of_weights_stay() -> None:
    layer = nn.Linear(3, 3)
    before = list(layer.state_dict())
    compile_forward(layer, print)
    assert list(layer.state_dict()) == before


def final_weights(out: Path, **values: object) -> tuple[dict[str, Tensor], str]:
    """Of a run of the toy, with what its log says."""
    trainer = Trainer(toy_config(out, **values), toy_model(), ToyTask(), ToyExamples())
    assert trainer.run().finished
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return trainer.model.state_dict(), json.dumps(lines)


@needs_compiler
def test_a_compiled_run_learns_the_same(tmp_path: Path) -> None:
    # All losses from the start: a head without a loss has no gradient, compiled it has one of zeros, and then decays.
    same = {"steps": 6, "gradnorm": {"pose_from_step": 0}}
    plain, _ = final_weights(tmp_path / "plain", **same)
    compiled, log = final_weights(tmp_path / "compiled", compile=True, **same)
    assert list(plain) == list(compiled) and "torch.compile" not in log
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_run_without_a_compiler_says_so_and_goes_on(no_compiler: None, tmp_path: Path) -> None:
    plain, _ = final_weights(tmp_path / "plain", steps=6)
    fallen_back, log = final_weights(tmp_path / "compiled", steps=6, compile=True)
    assert log.count("torch.compile does not work here") == 1
    for name, tensor in plain.items():
        torch.testing.assert_close(fallen_back[name], tensor, rtol=0, atol=0)


def test_the_network_is_one_graph() -> None:
    torch.manual_seed(0)
    network = Network(SMALL).eval()
    batch = make_batch(open_source("synthetic:street?seed=2&frames=1&camera=kitti&lidar=vlp16")[0], SMALL)
    with torch.no_grad():
        whole = torch.compile(network, backend="eager", fullgraph=True)(batch)  # raises where the graph breaks
        own = network(batch)
    assert torch.equal(whole.chosen, own.chosen)
    torch.testing.assert_close(whole.scores.similarity, own.scores.similarity, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whole.fine.pixels, own.fine.pixels, rtol=1e-4, atol=1e-3)


def test_the_setting_reaches_the_network(weights: Path) -> None:
    registrar = Registrar(RegistrarConfig(compile=True), device="cpu", weights=weights)
    assert registrar.matcher is not None and isinstance(registrar.matcher.network.forward, CompiledForward)


@pytest.mark.slow
@needs_compiler
def test_a_compiled_matcher_says_the_same(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = open_source("synthetic:street?seed=2&frames=1&camera=kitti&lidar=hdl64")[0]
    plain, compiled = Matcher(weights), Matcher(weights, compiled=True)
    plain._half = compiled._half = False  # of bf16 each rounds in places of its own
    batch = make_batch(sample, SMALL)
    with torch.inference_mode():
        own, other = plain.network(batch), compiled.network(batch)
    assert "torch.compile" not in capsys.readouterr().err
    torch.testing.assert_close(other.scores.similarity, own.scores.similarity, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(other.scores.in_view, own.scores.in_view, rtol=1e-3, atol=1e-3)
    compiled.estimate(sample)
