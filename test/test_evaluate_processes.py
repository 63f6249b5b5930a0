"""Two processes evaluate what one does: each its share, counted once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from test_train_ddp import free_port
from torch import multiprocessing

from crossi2p_core.datasets import open_source
from crossi2p_core.evaluate.run import Wanted, evaluate
from crossi2p_core.train.distributed import World, joined_world

SOURCE = "synthetic:street?seed=6&frames=3&camera=small&lidar=vlp16"


def wanted(out: Path) -> Wanted:
    return Wanted(open_source(SOURCE), [0, 1, 2], "C", out, Path("none"), bounds=(1.0, 0.05))


def one_of_two(rank: int, out: str, port: int) -> None:
    """What torchrun would start."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        assert (evaluate(wanted(Path(out)), world, lambda *_: None) is not None) == world.is_first


def test_each_answers_its_share_and_the_figures_are_those_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(one_of_two, (str(tmp_path / "two"), free_port()), nprocs=2)
    shares = [[json.loads(line)["pair"] for line in (tmp_path / "two" / f"predictions-{rank}.jsonl").open()]
              for rank in (0, 1)]
    assert sorted(map(sorted, shares)) == [[0, 2], [1]]
    evaluate(wanted(tmp_path / "one"), World(), lambda *_: None)
    two, one = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("two", "one"))
    assert two["methods"]["refine"]["right"]["rre_deg"] == one["methods"]["refine"]["right"]["rre_deg"]
    assert two["methods"]["refine"]["right"]["pairs"] == 3
