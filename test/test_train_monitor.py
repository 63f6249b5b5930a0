"""Each failure signature of the paper fires on the run that it describes, and on no healthy one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from crossi2p_core.errors import InputError
from crossi2p_core.train.monitor import REPEAT, Monitor

Run = Callable[[float], dict[str, float]]  # numbers of a step by the share of the run that is done


def healthy(done: float) -> dict[str, float]:
    fall = math.exp(-6 * done)
    return {"coarse_loss": 5 * fall + 1, "fine_loss": 4 * fall + 0.5, "pose": 30 * fall - 2,
            "coarse_recall": 0.9 * (1 - fall), "gradient.alignment": 1.0, "gradient.correspondence": 1.2,
            "gradient.pose": 0.9}


def without_context(done: float) -> dict[str, float]:
    return healthy(done) | {"coarse_loss": 5.8 - 0.3 * done}


def misbalanced(done: float) -> dict[str, float]:
    return healthy(done) | {"gradient.alignment": math.exp(-12 * done), "coarse_recall": 0.4 + 0.1 * done}


def unaligned(done: float) -> dict[str, float]:
    return healthy(done) | {"coarse_recall": 0.1 + 0.1 * done}


def watch(run: Run, monitor: Monitor | None = None, begin: int = 0, end: int = 3000) -> list[str]:
    """Everything the monitor says in 3000 noisy steps."""
    monitor, rng = monitor or Monitor(), np.random.default_rng(begin)
    said = []
    for step in range(begin, end):
        said += monitor.observe({name: value * rng.uniform(0.7, 1.3) for name, value in run(step / 3000).items()})
    return said


def test_a_healthy_run_passes_in_silence() -> None:
    assert watch(healthy) == []


@pytest.mark.parametrize(("run", "name", "advice"), [
    (without_context, "global context missing", "coarse layers"),
    (misbalanced, "contrastive gradient vanishing", "gradnorm.alpha"),
    (unaligned, "feature alignment suboptimal", "pose_from_step"),
])
def test_each_failure_is_named_with_what_to_do(run: Run, name: str, advice: str) -> None:
    said = watch(run)
    assert 1 <= len(said) <= math.ceil(3000 / REPEAT)
    assert all(sentence.startswith(name) and advice in sentence and "%" in sentence for sentence in said)


def test_nothing_is_judged_that_is_not_reported() -> None:
    for missing in ("coarse_loss", "coarse_recall"):
        assert not watch(lambda done, missing=missing: {
            name: value for name, value in without_context(done).items() if name != missing
        } if missing == "coarse_loss" else {"pose": 1 - done})
    assert watch(lambda done: {}) == []


def test_a_loss_that_enters_late_is_measured_from_its_own_start() -> None:
    def late(done: float) -> dict[str, float]:
        numbers = unaligned(done)
        return numbers | {"pose": 30.0} if done > 0.5 else {n: v for n, v in numbers.items() if n != "pose"}

    assert watch(late) == []


def test_numbers_that_are_not_finite_change_nothing() -> None:
    monitor = Monitor()
    watch(healthy, monitor, end=100)
    before = monitor.state()
    monitor.observe({"coarse_loss": math.nan, "fine_loss": math.inf})
    assert monitor.state() == before | {"steps": before["steps"] + 1}


def test_its_state_goes_through_json_and_on() -> None:
    whole, parts = Monitor(), Monitor()
    watch(unaligned, whole, end=700)
    watch(unaligned, parts, end=700)
    again = Monitor()
    again.restore(json.loads(json.dumps(parts.state())), "here")
    assert watch(unaligned, whole, begin=700) == watch(unaligned, again, begin=700)
    assert whole.state() == again.state()
    for damage in (None, {}, parts.state() | {"means": {"odd": 1.0}}, parts.state() | {"said": {"odd": 1}}):
        with pytest.raises(InputError, match="here: the state of the monitor is damaged"):
            Monitor().restore(damage, "here")
