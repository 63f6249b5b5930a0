"""One extrinsic from many frames: how good, against how many? `python -m benchmarks.calibration DATA [--seeds 0:10]`.

Each run is a calibration by the code of `crossi2p calibrate`, on so many frames of one rig. All of these are looked at
and registered jointly (the command looks at 40 and takes the 20 that tell most), without the vehicle's motion and so
without a time offset. Lines of `out/calibration.jsonl` are not computed again. The tables go into `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .calibration_table import tables
from .page import replace_between
from .refinement import TABLE

STARTS = ((0.2, 2.0), (1.0, 10.0), (2.0, 20.0), (5.0, 25.0))  # deg, cm
COUNTS = (1, 5, 10, 20, 50)
DRIVES = ("compact/kitti_raw_drive", "kitti_raw/2011_09_26/2011_09_26_drive_0000_sync")
OTHERS = ("compact/kitti_stereo2015",)  # single frames of many drives, of the rig that most of them have
WORLDS = tuple(f"synthetic:{kind}?seed={seed}&frames=10" for seed in range(3) for kind in ("street", "yard", "hall"))
RECORDS = Path("out/calibration.jsonl")


@dataclass(frozen=True)
class Run:
    """One calibration. half: of the frames, even or odd ones alone; empty for a draw of `count` frames."""

    source: str
    count: int
    deg: float
    cm: float
    seed: int
    half: str = ""


def main() -> None:
    """Measure what is missing, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and kitti_raw/")
    parser.add_argument("--seeds", default="0:10", help="range of seeds, 0:10 is 0 to 9")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.only_table:
        low, high = map(int, arguments.seeds.split(":"))
        measure(arguments.data, range(low, high), arguments.jobs)
    text = "\n".join(tables([json.loads(line) for line in RECORDS.read_text().splitlines()]))
    print(text)
    replace_between(TABLE, "calibration", text)


def measure(data: str, seeds: range, jobs: int) -> None:
    """Run all that is not yet recorded, seed by seed, appending a line for each."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    done = {json.dumps(json.loads(line)["run"]) for line in RECORDS.open()} if RECORDS.exists() else set()
    todo = [run for seed in seeds for run in runs(data, seed) if json.dumps(asdict(run)) not in done]
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    with ProcessPoolExecutor(jobs, fresh, initializer=one_thread) as pool, RECORDS.open("a") as file:
        for count, record in enumerate(pool.map(execute, [data] * len(todo), todo), 1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{count} of {len(todo)}: {record}", flush=True)


def runs(data: str, seed: int) -> Iterator[Run]:
    """All runs of one seed: cheap ones first."""
    for count in COUNTS:
        for name in (*DRIVES, *OTHERS):
            if count <= len(frames_of(data, name)) and (count < 50 or name in DRIVES):
                yield from (Run(name, count, *start, seed) for start in STARTS)
    if seed == 0:
        yield from (Run(name, len(frames_of(data, name)) // 2, 1.0, 10.0, seed, half)
                    for name in (DRIVES[0], *OTHERS) for half in ("even", "odd"))
        yield from (Run(name, 10, 1.0, 10.0, seed) for name in WORLDS)


def execute(data: str, run: Run) -> dict[str, Any]:
    """One calibration; a record ready for JSON, with what tells another covariance's verdict without another run."""
    from crossi2p_core.calibrate.config import CalibrateConfig
    from crossi2p_core.calibrate.frames import Read
    from crossi2p_core.calibrate.run import calibrate
    from crossi2p_core.geometry import se3
    from crossi2p_core.registrar import Registrar
    from crossi2p_core.types import Prior

    frames = frames_of(data, run.source)
    halves = {"even": frames[::2], "odd": frames[1::2]}
    chosen = halves[run.half] if run.half else drawn(frames, run.count, run.seed)
    samples = tuple(source_of(data, run.source)[i] for i in chosen)
    truth = np.asarray(samples[0].T_cam_lidar)
    start = se3.perturb(truth, np.random.default_rng(run.seed), run.deg, run.cm / 100)
    prior = Prior(start, max(run.deg, 0.5), max(run.cm / 100, 0.05))
    config = replace(CalibrateConfig(), candidates=len(samples), frames=len(samples))
    found = calibrate(Read(samples, ()), prior, Registrar(device="cpu", weights="none"), config, lambda *_: None)
    T = found.T_cam_lidar
    xi = se3.log_se3(truth @ se3.inverse(T))
    return {"run": asdict(run), "status": found.verdict.status, "start_was": found.verdict.start,
            "init": errors_of(start, truth), "error": errors_of(T, truth), "T_cam_lidar": T.tolist(),
            "sigmas": float(np.sqrt(xi @ np.linalg.solve(found.covariance, xi))), "moved_sigmas": found.moved.sigmas,
            "start_off_at_most": [found.moved.at_most_deg, 100 * found.moved.at_most_m],
            "covariance": found.covariance.tolist(), "joint_covariance": found.joint.covariance.tolist(),
            "weak": list(found.weak)}


def drawn(frames: list[int], count: int, seed: int) -> list[int]:
    """`count` of them, in order."""
    return sorted(np.random.default_rng([seed, count]).permutation(frames)[:count].tolist())


@lru_cache
def frames_of(data: str, name: str) -> list[int]:
    """Indices of the frames of the rig that most of them have."""
    if name.startswith("synthetic:"):
        return list(range(len(source_of(data, name))))
    rigs = [sample.rig for sample in source_of(data, name)]
    return [i for i, rig in enumerate(rigs) if rig == max(dict.fromkeys(rigs), key=rigs.count)]


@lru_cache(maxsize=4)
def source_of(data: str, name: str) -> Any:
    from crossi2p_core.datasets import open_source

    return open_source(name if name.startswith("synthetic:") else f"{data}/{name}")


def errors_of(T: np.ndarray, truth: np.ndarray) -> list[float]:
    """Degrees and centimetres."""
    from crossi2p_core.geometry import se3

    return [float(se3.rotation_error_deg(T, truth)), 100 * float(se3.translation_error_m(T, truth))]


def one_thread() -> None:
    """Two processes on two cores are faster than two threads in each."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


if __name__ == "__main__":
    main()
