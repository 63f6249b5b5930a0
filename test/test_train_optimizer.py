"""Muon's steps against their definition, and which weights each optimizer changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_training import toy_config

from crossi2p_core.errors import InputError
from crossi2p_core.train.muon import MOMENTUM, RMS, Muon, orthogonal
from crossi2p_core.train.optimizer import Optimizer


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_singular_values_come_out_alike_and_vectors_stay(rows: int, columns: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(rows, rows, generator=generator)).Q
    v = torch.linalg.qr(torch.randn(columns, columns, generator=generator)).Q
    count = min(rows, columns)
    values = torch.linspace(1.0, 0.3, count)
    found = orthogonal(scale * u[:, :count] @ torch.diag(values) @ v[:, :count].T)
    assert found.shape == (rows, columns) and found.dtype == torch.float32
    turned = u[:, :count].T @ found @ v[:, :count]  # diagonal where the singular vectors are kept
    assert (turned.diag() > 0.6).all() and (turned.diag() < 1.3).all()
    assert (turned - torch.diag(turned.diag())).abs().max() < 0.1


def test_nothing_comes_of_no_gradient() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("layer", [nn.Linear(64, 64, bias=False), nn.Linear(128, 32, bias=False),
                                   nn.Conv2d(16, 32, 3, bias=False).to(memory_format=torch.channels_last)])
def test_a_step_has_the_size_of_adams_and_goes_downhill(layer: nn.Module) -> None:
    weight = next(layer.parameters())
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    before = weight.detach().clone()
    Muon([weight], 0.01, 0.0).step()
    step = weight.detach() - before
    assert 0.6 * RMS * 0.01 < step.square().mean().sqrt() < 1.2 * RMS * 0.01
    assert (step * weight.grad).sum() < 0


def test_momentum_and_decay_follow_their_definition() -> None:
    weight = nn.Parameter(torch.eye(4))
    optimizer = Muon([weight], 0.1, 0.5)
    first, second = torch.diag(torch.tensor([1.0, 2, 3, 4])), torch.diag(torch.tensor([4.0, 3, 2, 1]))
    expected = torch.eye(4)
    momentum = torch.zeros(4, 4)
    for gradient in (first, second):
        weight.grad = gradient.clone()
        optimizer.step()
        momentum = MOMENTUM * momentum + gradient
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * RMS * 2.0 * orthogonal(gradient + MOMENTUM * momentum)
    assert torch.allclose(weight.detach(), expected, atol=1e-6)


def test_a_weight_without_gradient_stays() -> None:
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([used, unused], 0.1, 0.5)
    used.grad = torch.ones(2, 2)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(2, 2)) and not torch.equal(used.detach(), torch.ones(2, 2))


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 2))


def stepped(kind: str, network: nn.Module) -> Optimizer:
    optimizer = Optimizer(network, toy_config("out", optimizer=kind))
    network(torch.ones(2, 3, 3, 3)).square().sum().backward()
    optimizer.step(1e-3)
    return optimizer


def test_matrices_are_muons_and_all_else_is_adams() -> None:
    network = model()
    names = {kind: set(stepped(kind, network).tensors(network)) for kind in ("muon", "adamw")}
    assert {name for name in names["muon"] if name.endswith("momentum")} == {"0.weight.momentum", "3.weight.momentum"}
    assert "2.weight.exp_avg" in names["muon"] and "0.weight.exp_avg" not in names["muon"]
    assert not any(name.endswith("momentum") for name in names["adamw"]) and "0.weight.exp_avg" in names["adamw"]


def test_both_take_the_learning_rate_of_the_step() -> None:
    network = model()
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = Optimizer(network, toy_config("out", optimizer="muon", weight_decay=0.0))
    network(torch.ones(2, 3, 3, 3)).square().sum().backward()
    optimizer.step(0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_one_optimizers_moments_are_refused_by_the_other(tmp_path: Path) -> None:
    network = model()
    tensors = stepped("adamw", network).tensors(network)
    with pytest.raises(InputError, match="optimizer that it was trained with"):
        Optimizer(network, toy_config(tmp_path, optimizer="muon")).restore(network, tensors, "here")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weights_decay_and_biases_do_not(optimizer: str) -> None:
    model = nn.Linear(3, 2)
    parts = Optimizer(model, toy_config("unused", optimizer=optimizer, weight_decay=0.3)).parts
    decay = {id(parameter): group["weight_decay"] for part in parts for group in part.param_groups
             for parameter in group["params"]}
    assert decay[id(model.bias)] == 0 and decay[id(model.weight)] == 0.3
