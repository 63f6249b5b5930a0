"""How soon is a move noticed, and how often is one noticed that never was? `python -m benchmarks.monitor DATA`

Every frame is registered from the true extrinsic and from ones that are off by exactly so much, the same for twenty
frames in a row; what each says is kept in `out/monitor.jsonl`, and a run that was stopped goes on. From that:
areas under the ROC curve for windows of so many frames, false alarms over drives of 10 000 frames drawn from the frames
at the true extrinsic, and delays after a move. The tables go into `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from crossi2p_core.monitor.evidence import Evidence

from .monitor_table import LEVELS, TOGETHER, Frames, tables
from .page import replace_between
from .refinement import JOINT_SOURCES, TABLE

DRIVES = tuple(f"synthetic:{kind}?seed={seed}&frames=20&camera=kitti"
               for seed in (11, 12) for kind in ("street", "yard", "hall"))
SOURCES = (*JOINT_SOURCES, "rigs", *DRIVES)
KEPT = Path("out/monitor.jsonl")
Task = tuple[str, int, int]  # source, number of the level, frame


def main() -> None:
    """Measure what is missing, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.only_table:
        measure(arguments.data, arguments.jobs)
    text = "\n".join(tables(read()))
    print(text)
    replace_between(TABLE, "monitor", text)


def measure(data: str, jobs: int) -> None:
    """Register every frame at every level."""
    KEPT.parent.mkdir(exist_ok=True)
    done = {(row["source"], row["level"], row["frame"]) for row in _rows()}
    todo = [task for name in SOURCES for frame in range(len(_source(data, name)))
            for level in range(len(LEVELS)) if (task := (name, level, frame)) not in done]
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    with ProcessPoolExecutor(jobs, fresh, initializer=_one_thread) as pool, KEPT.open("a") as file:
        for count, row in enumerate(pool.map(look, [data] * len(todo), todo, chunksize=len(LEVELS)), 1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            if count % 50 == 0:
                print(f"{count} of {len(todo)}", flush=True)


def look(data: str, task: Task) -> dict[str, Any]:
    """What one frame says from one start; a record ready for JSON."""
    from crossi2p_core.geometry import se3
    from crossi2p_core.monitor.evidence import evidence_of
    from crossi2p_core.monitor.knock import random_knock
    from crossi2p_core.registrar import Registrar
    from crossi2p_core.types import Prior

    name, level, frame = task
    sample = _sample(data, name, frame)
    knock = random_knock(*LEVELS[level], np.random.default_rng([level, frame // TOGETHER]))
    in_use = se3.exp_se3(knock) @ np.asarray(sample.T_cam_lidar)
    found = Registrar(device="cpu", weights="none").register(sample, Prior(in_use, 2.0, 0.2))
    said = evidence_of(sample.name, found, in_use)
    return {"source": name, "level": level, "frame": frame, "name": sample.name, "doubt": said.doubt,
            "xi": None if said.xi is None else said.xi.tolist(), "misfit": said.misfit,
            "covariance": None if said.covariance is None else said.covariance.tolist()}


def read() -> Frames:
    """All that has been measured."""
    found: Frames = defaultdict(dict)
    for row in _rows():
        xi, covariance = (None if row[key] is None else np.array(row[key]) for key in ("xi", "covariance"))
        found[row["source"], row["level"]][row["frame"]] = Evidence(row["name"], xi, covariance, "", row["doubt"],
                                                                   row["misfit"])
    return found


@lru_cache(maxsize=2)
def _sample(data: str, name: str, frame: int) -> Any:
    """Kept for the levels that follow each other: a synthetic frame takes longer to make than to register."""
    return _source(data, name)[frame]


@lru_cache(maxsize=4)
def _source(data: str, name: str) -> Any:
    from crossi2p_core.datasets import open_source

    return open_source(name if name.startswith("synthetic:") else f"{data}/{name}")


def _one_thread() -> None:
    """Two processes on two cores are faster than two threads in each."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _rows() -> Iterator[dict[str, Any]]:
    if KEPT.exists():
        yield from (json.loads(line) for line in KEPT.read_text().splitlines())


if __name__ == "__main__":
    main()
