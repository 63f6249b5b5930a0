"""Two processes over gloo train what one process with twice the batch trains."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import multiprocessing
from toy_training import ToyExamples, ToyTask, toy_config, toy_model

from crossi2p_core.errors import InputError
from crossi2p_core.train import checkpoint
from crossi2p_core.train.distributed import check_agreement, joined_world, mean_over
from crossi2p_core.train.trainer import Trainer

SETTINGS = {"gradnorm": {"mode": "fixed", "weights": {"correspondence": 0.5}, "pose_from_step": 4}, "accumulate": 2}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_of_two(rank: int, out: str, port: int) -> None:
    """What torchrun would start."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        trainer = Trainer(toy_config(out, batch=2, **SETTINGS), toy_model(), ToyTask(), ToyExamples(broken=[13]), world)
        outcome = trainer.run()
        assert outcome.finished and (outcome.best is not None) == world.is_first
        assert mean_over(world, torch.tensor([float(rank)])).item() == 0.5
        check_agreement(world, 7, "a number")
        with pytest.raises(InputError, match=r"do not agree on a number \(from 0 to 1\)"):
            check_agreement(world, rank, "a number")
        # GradNorm's norms are means over the processes, so both hold the same weights
        Path(out, f"rank{rank}.json").write_text(json.dumps([trainer.gradnorm.state(), trainer.seen]))
    # One that still lets go of a tensor while the interpreter ends would abort the process, once in a hundred runs.
    assert not any("gloo" in thread.read_text() for thread in Path("/proc/self/task").glob("*/comm"))


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    single = Trainer(toy_config(tmp_path / "one", batch=4, **SETTINGS), toy_model(), ToyTask(), ToyExamples([13]))
    single.run()
    (tmp_path / "two").mkdir()
    multiprocessing.spawn(one_of_two, (str(tmp_path / "two"), free_port()), nprocs=2)
    found = checkpoint.load(checkpoint.latest(tmp_path / "two" / "checkpoints"))
    expected = checkpoint.load(checkpoint.latest(tmp_path / "one" / "checkpoints"))
    assert found.step == expected.step == 12 and found.state["seen"] == expected.state["seen"] == 96
    assert found.training.keys() == expected.training.keys()
    for name, value in expected.training.items():
        torch.testing.assert_close(found.training[name], value, rtol=1e-4, atol=1e-6)
    states = [json.loads((tmp_path / "two" / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert states[0] == states[1]
    logs = [[json.loads(line) for line in (tmp_path / part / "log.jsonl").read_text().splitlines()]
            for part in ("one", "two")]
    for one, two in zip(*logs, strict=True):
        assert one["step"] == two["step"] and ("note" in one) == ("note" in two)
        for name in ToyTask.loss_names:
            if one.get(f"loss.{name}") is not None:
                assert two[f"loss.{name}"] == pytest.approx(one[f"loss.{name}"], rel=1e-4)


def test_alone_there_is_nobody_to_agree_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined_world("cpu") as world:
        assert world.is_first and world.size == 1
        check_agreement(world, 3, "a number")
    with pytest.raises(InputError, match="there is no device 'gpu'"), joined_world("gpu"):
        pass
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="has no GPU 3 here"), joined_world("cuda:3"):
            pass
