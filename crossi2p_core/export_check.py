"""Does an exported program compute what the network computes? The largest difference of each output says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .model.batch import Batch
from .model.coarse import CoarseScores
from .model.network import Network
from .model.plain import OUTPUTS, plain_inputs, plain_outputs

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""A program: INPUTS by name to OUTPUTS by name, see model/plain.py."""

_LEAST = 1e-30  # of a probability, so that it has a logarithm; below, all count as equally improbable


@torch.no_grad()
def differences(network: Network, run: Run, batches: Sequence[Batch]) -> dict[str, float]:
    """The largest difference per output over all batches; infinite for a wrong shape or type, NaN for NaN.

    In parts of the larger of 1 and the network's own value. Of `chosen` it is by how much the log probability of a
    match is off from that of the network's own match of that rank: equally probable ones may trade places. What the
    fine stage says is then compared at the program's matches, so that nothing there is excused by another choice.
    """
    worst = dict.fromkeys(OUTPUTS, 0.0)
    for batch in batches:
        for name, value in _of_one(network, run(plain_inputs(batch)), batch).items():
            worst[name] = worse(worst[name], value)
    return worst


def _of_one(network: Network, said: Mapping[str, Tensor], batch: Batch) -> dict[str, float]:
    """The largest difference per output of one batch."""
    own = network(batch)
    want = plain_outputs(own)
    said = {name: tensor.to(batch.image.device) for name, tensor in said.items()}
    chosen = _choice(own.scores, said["chosen"], want["chosen"])
    if chosen == math.inf:  # no indices, so nothing can be looked at there
        fine = {name: math.inf for name in OUTPUTS if name.startswith("fine_")}
    else:
        there = plain_outputs(network(batch, said["chosen"]))
        fine = {name: _apart(said[name], there[name]) for name in OUTPUTS if name.startswith("fine_")}
    rest = {name: _apart(said[name], want[name]) for name in OUTPUTS if name != "chosen" and name not in fine}
    found = {"chosen": chosen} | fine | rest
    return {name: found[name] for name in OUTPUTS}


def worse(a: float, b: float) -> float:
    """The larger one; NaN is worse than any number."""
    return a if math.isnan(a) or a >= b else b


def _apart(said: Tensor, want: Tensor) -> float:
    """Largest |said - want| / max(1, |want|)."""
    if said.shape != want.shape or said.dtype != want.dtype:
        return math.inf
    said, want = said.double(), want.double()
    return float(((said - want).abs() / want.abs().clamp(min=1.0)).max())


def _choice(scores: CoarseScores, said: Tensor, want: Tensor) -> float:
    """By how much the log probabilities of matches said (B, K, 2) are off from those of want (B, K, 2), rank by rank.

    Infinite unless said are indices of superpoints, each at most once, and of superpixels.
    """
    if said.shape != want.shape or said.dtype != want.dtype:
        return math.inf
    probability = scores.dual_softmax()  # (B, M, C)
    limits = torch.tensor(probability.shape[1:], device=said.device)
    if ((said < 0) | (said >= limits)).any():
        return math.inf
    superpoints = said[..., 0].sort(dim=1).values
    if (superpoints[:, 1:] == superpoints[:, :-1]).any():
        return math.inf
    return float((_log_at(probability, said) - _log_at(probability, want)).abs().max())


def _log_at(probability: Tensor, chosen: Tensor) -> Tensor:
    """(B, K) log of probability (B, M, C) at chosen (B, K, 2), the most probable first."""
    flat = chosen[..., 0] * probability.shape[2] + chosen[..., 1]
    return probability.flatten(1).gather(1, flat).clamp(min=_LEAST).log().sort(dim=1, descending=True).values
