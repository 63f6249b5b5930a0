"""The training loop: it learns, resumes exactly, survives what is not finite, and ends when asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_training import ToyExamples, ToyTask, toy_config, toy_model

from crossi2p_core.errors import InputError
from crossi2p_core.train import checkpoint
from crossi2p_core.train.ema import AveragedModel
from crossi2p_core.train.interruption import Interruption
from crossi2p_core.train.schedule import ema_decay, learning_rate
from crossi2p_core.train.task import Terms
from crossi2p_core.train.trainer import Outcome, Trainer


def train(out: Path, examples: ToyExamples | None = None, task: Any = None, dropout: float = 0.3,
          **values: Any) -> tuple[Trainer, Outcome]:
    trainer = Trainer(toy_config(out, **values), toy_model(dropout), task or ToyTask(), examples or ToyExamples(),
                      validate=lambda model: {"coarse_recall": float(torch.rand(()))})  # draws: must not disturb
    return trainer, trainer.run()


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in ("time", "seconds")} for line in lines]


def everything(trainer: Trainer) -> dict[str, Tensor]:
    moments = trainer.optimizer.tensors(trainer.model)
    average = {f"average {name}": value for name, value in trainer.average.module.state_dict().items()}
    return trainer.model.state_dict() | average | moments


@pytest.mark.parametrize("values", [
    {}, {"accumulate": 2, "precision": "bf16"}, {"ema": 0.0, "workers": 1}, {"optimizer": "adamw"}])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, values: dict[str, Any]) -> None:
    whole, _ = train(tmp_path / "whole", **values)

    class StopsItself(ToyTask):
        calls = 0

        def terms(self, model: nn.Module, batch: Any, active: Any) -> Terms:
            StopsItself.calls += 1
            if StopsItself.calls == 5 * values.get("accumulate", 1):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().terms(model, batch, active)

    _, stopped = train(tmp_path / "parts", task=StopsItself(), **values)
    assert not stopped.finished and stopped.signal == signal.SIGTERM and 4 < stopped.step < 12
    resumed, outcome = train(tmp_path / "parts", **values)
    assert outcome.finished and outcome.step == 12
    expected, found = everything(whole), everything(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert whole.gradnorm.state() == resumed.gradnorm.state()
    assert whole.monitor.state() == resumed.monitor.state()
    steps = [[line for line in log_of(tmp_path / part) if "note" not in line] for part in ("whole", "parts")]
    assert steps[0] == steps[1] and len(steps[0]) == 12


def test_a_run_resumed_without_average_goes_on_from_what_was_trained(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, steps=6, ema=0.9)
    resumed = Trainer(toy_config(tmp_path, steps=6, ema=0.0), toy_model(), ToyTask(), ToyExamples())
    resumed._resume()
    trained, average = whole.model.state_dict(), whole.average.module.state_dict()
    assert any(not torch.equal(trained[name], average[name]) for name in trained)
    assert all(torch.equal(value, trained[name]) for name, value in resumed.model.state_dict().items())


def test_it_learns_and_its_log_tells_everything(tmp_path: Path) -> None:
    trainer, outcome = train(tmp_path, steps=150, dropout=0.0, gradnorm={"pose_from_step": 10})
    steps = [line for line in log_of(tmp_path) if "note" not in line]
    first, last = steps[10], steps[-1]
    for name in ToyTask.loss_names:
        assert last[f"loss.{name}"] < 0.5 * first[f"loss.{name}"]
        assert {f"weight.{name}", f"gradient.{name}", "lr", "gradient", "coarse_recall"} <= last.keys()
    assert sum(last[f"weight.{name}"] for name in ToyTask.loss_names) == pytest.approx(3)
    assert "loss.pose" not in steps[9] and "loss.pose" in steps[10]
    assert outcome.best is not None and outcome.best.is_file()
    assert trainer.seen == 150 * 4


def test_a_batch_that_is_not_finite_is_skipped_and_told(tmp_path: Path) -> None:
    trainer, outcome = train(tmp_path, ToyExamples(broken=[5, 17]))
    assert outcome.finished
    assert all(torch.isfinite(value).all() for value in everything(trainer).values())
    notes = [line["note"] for line in log_of(tmp_path) if "not finite" in line.get("note", "")]
    assert len(notes) == 2
    assert log_of(tmp_path)[1]["loss.alignment"] is None


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_running_statistics_of_a_bad_step_are_taken_back(decay: float) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average = AveragedModel(model, decay)
    model(torch.randn(8, 3))
    average.update(model, 0)
    good = [buffer.clone() for buffer in model.buffers()]
    model(torch.full((8, 3), torch.nan))
    assert not all(torch.isfinite(buffer).all() for buffer in model.buffers())
    average.restore_buffers(model)
    assert all(map(torch.equal, good, model.buffers())) and all(map(torch.equal, good, average.module.buffers()))


def test_losses_that_stay_nan_end_the_run_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"3 steps in a row up to step 8 had no finite losses.*lower lr"):
        train(tmp_path, ToyExamples(broken=range(24, 100)), bad_steps=3)
    assert checkpoint.latest(tmp_path / "checkpoints") is not None


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    large, _ = train(tmp_path / "large", dropout=0.0, batch=8, gradnorm={"mode": "off"})
    small, _ = train(tmp_path / "small", dropout=0.0, batch=4, accumulate=2, gradnorm={"mode": "off"})
    for name, value in large.model.state_dict().items():
        torch.testing.assert_close(small.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_other_settings_are_told_and_another_network_is_refused(tmp_path: Path) -> None:
    train(tmp_path, steps=6)
    train(tmp_path, steps=8, lr=2e-2)
    notes = " ".join(line.get("note", "") for line in log_of(tmp_path))
    assert "lr is 0.02 from here on, it was 0.01" in notes and "steps is 8 from here on" in notes
    with pytest.raises(InputError, match=r"network\.coarse\.layers=4, this run wants 5"):
        train(tmp_path, network={"coarse": {"layers": 5}})
    flow = toy_config(tmp_path, task="flow", gradnorm={"mode": "off"})
    with pytest.raises(InputError, match=r"has task=matches, this run wants flow"):
        Trainer(flow, toy_model(), ToyTask(), ToyExamples()).run()


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    train(tmp_path)
    before = log_of(tmp_path)
    _, outcome = train(tmp_path)
    assert outcome.finished and log_of(tmp_path) == before


def test_the_best_checkpoint_is_one_that_was_judged_itself(tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.4])
    trainer = Trainer(toy_config(tmp_path, validate_every=4, checkpoint_every=1, keep=2), toy_model(), ToyTask(),
                      ToyExamples(), validate=lambda model: {"coarse_recall": next(scores)})
    outcome = trainer.run()
    assert outcome.best == tmp_path / "checkpoints" / "step-000000008.json"  # not 9 to 11, which still knew of it
    kept = sorted(int(path.stem[5:]) for path in (tmp_path / "checkpoints").glob("*.json"))
    assert kept == [8, 11, 12]


def test_a_metric_that_nobody_measures_is_told(tmp_path: Path) -> None:
    _, outcome = train(tmp_path, best_by="beauty")
    assert any("there is no beauty to compare; set best_by to one of coarse_recall" in line.get("note", "")
               for line in log_of(tmp_path))
    assert outcome.best == checkpoint.latest(tmp_path / "checkpoints")


def test_the_learning_rate_rises_then_falls_to_its_floor() -> None:
    rates = [learning_rate(step, 2.0, 10, 100, 0.1) for step in range(120)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == rates[10] == 2.0
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == pytest.approx(0.2) and rates[119] == rates[99]
    late = [learning_rate(step, 2.0, 10, 100, 0.1, 0.25) for step in range(120)]
    assert late[:10] == rates[:10] and set(late[10:76]) == {2.0} and late[99] == pytest.approx(0.2)
    assert late[75:] == sorted(late[75:], reverse=True) and late[60] == learning_rate(60, 2.0, 10, 400, 0.1, 0.25)
    assert learning_rate(0, 1.0, 0, 1) == learning_rate(0, 1.0, 0, 1, fall=0.0) == 1.0
    assert ema_decay(0, 0.999) == 0.1 and ema_decay(10**6, 0.999) == 0.999


def test_between_two_looks_at_the_gradients_the_balance_stays(tmp_path: Path) -> None:
    train(tmp_path, gradnorm={"pose_from_step": 4, "every": 3})
    log = [row for row in log_of(tmp_path) if "loss.alignment" in row]
    looked = [row["step"] for row in log if "gradient.alignment" in row]
    assert looked == [0, 3, 6, 9]
    weights = [row["weight.alignment"] for row in log]
    assert weights[4] == weights[5] == weights[6] != weights[7]


def test_a_run_that_is_past_its_steps_is_finished(tmp_path: Path) -> None:
    train(tmp_path)
    _, outcome = train(tmp_path, steps=6)
    assert outcome.finished and outcome.signal is None and outcome.step == 12


def test_a_stop_does_not_wait_for_a_validation(tmp_path: Path) -> None:
    class StopsItself(ToyTask):
        calls = 0

        def terms(self, model: nn.Module, batch: Any, active: Any) -> Terms:
            StopsItself.calls += 1
            if StopsItself.calls == 5:  # asked in the fifth step, heard in the sixth, after which one is due
                os.kill(os.getpid(), signal.SIGTERM)
            return super().terms(model, batch, active)

    _, outcome = train(tmp_path, task=StopsItself(), validate_every=1)
    validations = [line for line in log_of(tmp_path) if "validation" in str(line.get("note", ""))]
    assert outcome.signal == signal.SIGTERM and len(validations) == outcome.step - 1


def test_statistics_of_a_step_that_is_not_taken_are_not_kept(tmp_path: Path) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.rest = nn.BatchNorm2d(3), toy_model()

        def forward(self, batch: Any) -> dict[str, Tensor]:
            return self.rest(replace(batch, image=self.norm(batch.image)))

    class Task(ToyTask):
        def shared_layers(self, model: nn.Module) -> list[nn.Parameter]:
            return list(model.rest.shared.parameters())

    trainer = Trainer(toy_config(tmp_path), Normed(), Task(), ToyExamples(broken=[9]))
    assert trainer.run().finished
    assert all(torch.isfinite(buffer).all() for buffer in trainer.model.buffers())
    assert checkpoint.load(checkpoint.latest(tmp_path / "checkpoints")).step == 12


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_loop() -> None:
    code = ("import signal; from crossi2p_core.train.examples import begin_worker; begin_worker(0); "
            "print([signal.getsignal(s) == signal.SIG_IGN for s in (signal.SIGINT, signal.SIGTERM)])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, True]"


def test_bad_steps_apart_from_each_other_end_nothing(tmp_path: Path) -> None:
    assert train(tmp_path, ToyExamples(broken=[5, 17, 29]), bad_steps=2)[1].finished


def test_bad_steps_in_a_row_are_counted_through_a_pause(tmp_path: Path) -> None:
    train(tmp_path, ToyExamples(broken=list(range(16, 24))), steps=6, bad_steps=3)
    with pytest.raises(InputError, match="3 steps in a row"):
        train(tmp_path, ToyExamples(broken=list(range(16, 28))), steps=12, bad_steps=3)


@pytest.mark.parametrize(("best_is", "step"), [("high", 8), ("low", 4)])
def test_the_best_is_what_was_asked_for(tmp_path: Path, best_is: str, step: int) -> None:
    scores = iter([0.2, 0.9, 0.4])
    config = toy_config(tmp_path, validate_every=4, checkpoint_every=1, keep=3, best_is=best_is)
    outcome = Trainer(config, toy_model(), ToyTask(), ToyExamples(),
                      validate=lambda model: {"coarse_recall": next(scores)}).run()
    assert outcome.best is not None and outcome.best.name == f"step-{step:09d}.json"
    assert checkpoint.load(tmp_path / "checkpoints/step-000000011.json").score is None  # nobody has judged that one


def test_a_run_resumed_on_other_frames_says_so(tmp_path: Path) -> None:
    train(tmp_path, steps=6)
    Trainer(toy_config(tmp_path, steps=8), toy_model(), ToyTask(), ToyExamples(), fingerprint="others").run()
    assert any("the frames are not those of before" in line.get("note", "") for line in log_of(tmp_path))


def test_a_second_ctrl_c_counts_once_a_moment_has_passed() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same, once to the command and once to its group
        assert interruption.signal == signal.SIGINT
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        interruption._since -= 3.0
        os.kill(os.getpid(), signal.SIGINT)
