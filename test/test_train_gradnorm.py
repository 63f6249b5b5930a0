"""GradNorm: exactly the published rule, and it does what it is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from crossi2p_core.config import load_config
from crossi2p_core.errors import InputError
from crossi2p_core.train.config import GradNormConfig
from crossi2p_core.train.gradnorm import GradNorm, gradient_norms, weight_gradient

TWO = ("alignment", "correspondence")


def config(**values: object) -> GradNormConfig:
    return load_config(GradNormConfig, values)


def two_tasks(steps: int, gradnorm: GradNorm, scale: float) -> tuple[dict[str, float], dict[str, float]]:
    """Two regressions on one shared layer, one `scale` times as steep; the weighted norms and losses at the end."""
    torch.manual_seed(0)
    shared, inputs = nn.Linear(8, 8), torch.randn(64, 8)
    heads = {name: torch.randn(8, 4) for name in TWO}
    wanted = {name: torch.randn(64, 4) for name in TWO}
    descent = torch.optim.SGD(shared.parameters(), lr=1e-4)
    for step in range(steps):
        hidden = torch.tanh(shared(inputs))
        losses = {name: factor * (hidden @ heads[name] - wanted[name]).square().mean()
                  for name, factor in zip(TWO, (1.0, scale), strict=True)}
        norms = gradient_norms(losses, list(shared.parameters()))
        weights = gradnorm.weights_at(step)
        descent.zero_grad()
        sum(weights[name] * losses[name] for name in TWO).backward()
        descent.step()
        gradnorm.update(step, {k: v.item() for k, v in losses.items()}, {k: v.item() for k, v in norms.items()})
        assert sum(gradnorm.weights_at(step + 1).values()) == pytest.approx(2)
    weights = gradnorm.weights_at(steps)
    return {name: weights[name] * norms[name].item() for name in TWO}, weights


def test_two_tasks_of_unlike_scale_come_to_pull_alike() -> None:
    norms, weights = two_tasks(400, GradNorm(config(alpha=0.0, lr=0.01), TWO), scale=20.0)
    assert norms["alignment"] == pytest.approx(norms["correspondence"], rel=0.2)
    assert weights["alignment"] > 5 * weights["correspondence"]
    norms, _ = two_tasks(50, GradNorm(config(mode="off"), TWO), scale=20.0)
    assert norms["correspondence"] > 5 * norms["alignment"]  # the problem is not balanced by itself


def test_the_gradient_of_the_weights_is_that_of_the_published_loss() -> None:
    torch.manual_seed(1)
    shared, alpha = torch.randn(6, requires_grad=True), 1.5
    losses = {"alignment": (shared**2).sum(), "correspondence": 3 * shared.cos().sum().square(),
              "pose": (shared - 1).abs().sum()}
    weights = {name: torch.tensor(value, requires_grad=True)
               for name, value in zip(losses, (0.7, 1.9, 0.4), strict=True)}
    rates = {"alignment": 0.8, "correspondence": 1.3, "pose": 0.9}
    norms = [torch.autograd.grad(weights[n] * losses[n], shared, create_graph=True)[0].norm() for n in losses]
    mean = torch.stack(norms).mean()
    total = sum((norm - (mean * rate**alpha).detach()).abs() for norm, rate in zip(norms, rates.values(), strict=True))
    expected = torch.autograd.grad(total, list(weights.values()))
    plain = {name: norm.item() for name, norm in gradient_norms(losses, [shared]).items()}
    found = weight_gradient({name: weight.item() for name, weight in weights.items()}, plain, rates, alpha)
    assert list(found.values()) == pytest.approx([value.item() for value in expected], rel=1e-5)


def test_the_slower_task_gets_more_weight() -> None:
    gradnorm = GradNorm(config(alpha=1.5), TWO)
    gradnorm.update(0, {"alignment": 1.0, "correspondence": 1.0}, {"alignment": 1.0, "correspondence": 1.0})
    for step in range(1, 20):
        gradnorm.update(step, {"alignment": 0.9, "correspondence": 0.2}, {"alignment": 1.0, "correspondence": 1.0})
    weights = gradnorm.weights_at(20)
    assert weights["alignment"] > 1.2 > 0.8 > weights["correspondence"]


def test_a_loss_that_enters_late_starts_from_its_own_first_value() -> None:
    gradnorm = GradNorm(config(pose_from_step=3), (*TWO, "pose"))
    for step in range(5):
        active = gradnorm.active(step)
        assert ("pose" in active) == (step >= 3)
        before = gradnorm.weights_at(step)
        assert sum(before.values()) == pytest.approx(len(active))
        if step == 3:
            assert before["pose"] == 1
        gradnorm.update(step, {name: 10.0 - step for name in active}, {name: 1.0 for name in active})
    assert gradnorm.initial == {"alignment": 10.0, "correspondence": 10.0, "pose": 7.0}


def test_off_and_fixed_never_move() -> None:
    for mode, expected in (("off", 1.0), ("fixed", 0.25)):
        gradnorm = GradNorm(config(mode=mode, weights={"alignment": 0.25}), TWO)
        for step in range(5):
            gradnorm.update(step, {"alignment": 1.0, "correspondence": 9.0}, {"alignment": 1.0, "correspondence": 9.0})
        assert gradnorm.weights_at(5) == {"alignment": expected, "correspondence": 1.0}


def test_weights_stay_positive_and_a_loss_below_zero_does_no_harm() -> None:
    gradnorm = GradNorm(config(lr=1.0), TWO)
    for step in range(50):
        gradnorm.update(step, {"alignment": -1.0 + step % 3, "correspondence": 1.0},
                        {"alignment": 1e3, "correspondence": 1e-3})
        weights = gradnorm.weights_at(step + 1)
        assert all(math.isfinite(weight) and weight > 0 for weight in weights.values())
        assert sum(weights.values()) == pytest.approx(2)


def test_a_loss_without_gradient_at_the_shared_layer_has_norm_zero() -> None:
    shared, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    norms = gradient_norms({"alignment": (2 * shared).sum(), "pose": other.sum()}, [shared])
    assert norms["alignment"].item() == pytest.approx(2 * 3**0.5) and norms["pose"].item() == 0
    assert shared.grad is None


def test_a_loss_that_had_nothing_to_count_begins_later() -> None:
    gradnorm, norms = GradNorm(config(), TWO), dict.fromkeys(TWO, 1.0)
    gradnorm.update(0, {"alignment": 0.0, "correspondence": 4.0}, norms)
    assert gradnorm.initial == {"correspondence": 4.0} and set(gradnorm.weights) == set(TWO)
    gradnorm.update(1, {"alignment": 5.0, "correspondence": 2.0}, norms)
    assert gradnorm.initial == {"alignment": 5.0, "correspondence": 4.0}
    assert gradnorm.rates({"alignment": 5.0, "correspondence": 2.0}) == pytest.approx(
        {"alignment": 4 / 3, "correspondence": 2 / 3})


@pytest.mark.parametrize("damage", [
    None, {}, {"weights": {"alignment": -1.0}, "initial": {}, "moments": {}},
    {"weights": {"alignment": math.nan}, "initial": {}, "moments": {}},
    {"weights": {"colour": 1.0}, "initial": {}, "moments": {}},
    {"weights": {}, "initial": {}, "moments": {"alignment": [1.0]}},
    {"weights": {}, "initial": {"alignment": "x"}, "moments": {}},
])
def test_a_damaged_state_is_refused_in_words(damage: object) -> None:
    with pytest.raises(InputError, match="here: the state of GradNorm is damaged"):
        GradNorm(config(), TWO).restore(damage, "here")
