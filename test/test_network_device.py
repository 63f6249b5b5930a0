"""The forward pass never makes the host wait for the device, and a compiler can take it whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from test_network import SMALL
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from crossi2p_core.model.batch import Batch, PointPyramid
from crossi2p_core.model.network import Network
from crossi2p_core.model.point_features import POINT_FEATURES

HOST_WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "item", "is_nonzero", "equal", "allclose", "unique",
              "_unique2", "repeat_interleave", "bincount")


class NoWaiting(TorchDispatchMode):
    """Fails on an operation whose answer the host, or the shape of a tensor, would depend on."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        assert name not in HOST_WAITS, f"{name} makes the host wait for the device"
        return func(*args, **(kwargs or {}))


def empty_batch(pairs: int = 2) -> Batch:
    """Of the right sizes; nothing in it is ever looked at."""
    counts, k, (height, width) = SMALL.points.level_sizes, SMALL.points.neighbours, SMALL.size

    def index(*sizes: int) -> Tensor:
        return torch.zeros(pairs, *sizes, dtype=torch.int64)

    def yes(*sizes: int) -> Tensor:
        return torch.ones(pairs, *sizes, dtype=torch.bool)

    cloud = PointPyramid(tuple(torch.ones(pairs, n, 3) for n in counts), tuple(yes(n) for n in counts),
                         tuple(index(n, k) for n in counts), tuple(index(n, k) for n in counts[1:]),
                         tuple(index(n) for n in counts[:-1]), torch.zeros(pairs, counts[0], len(POINT_FEATURES)))
    return Batch(torch.zeros(pairs, 3, height, width), torch.ones(pairs, 3, 3), yes(height, width), cloud)


@pytest.mark.parametrize("gradients", [False, True])  # edges are made one after the other, or all at once
def test_the_forward_pass_never_asks_for_a_value(gradients: bool) -> None:
    with FakeTensorMode(), torch.set_grad_enabled(gradients):  # values that are not there cannot be asked for
        network, batch = Network(SMALL).eval(), empty_batch()
        with NoWaiting():
            matches = network(batch)
    assert matches.fine.pixels.shape == (2, SMALL.fine.matches, SMALL.fine.points, 2)


WAITS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(), "if": lambda x: bool(x.sum() > 0), "nonzero": torch.nonzero,
    "mask": lambda x: x[x > 0], "list": lambda x: x.tolist(), "numpy": lambda x: x.numpy()}


@pytest.mark.parametrize("name", WAITS)
def test_waiting_would_be_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described = Network.describe

    def waiting(self: Network, batch: Batch) -> Any:
        WAITS[name](batch.image)
        return described(self, batch)

    monkeypatch.setattr(Network, "describe", waiting)
    with FakeTensorMode(), torch.no_grad():
        network, batch = Network(SMALL).eval(), empty_batch()
        with NoWaiting(), pytest.raises((AssertionError, RuntimeError)):
            network(batch)


def test_everything_is_made_where_the_batch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *settings, **more: contextlib.nullcontext())  # does not know meta
    with torch.device("meta"), torch.no_grad():
        network, batch = Network(SMALL).eval(), empty_batch()
    with torch.no_grad():  # the default device is the host's again: a tensor made there would not fit the others
        matches = network(batch)
    assert matches.fine.pixels.is_meta and matches.scores.similarity.is_meta
