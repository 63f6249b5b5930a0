"""Learning-free refinement measured on recordings: `python -m benchmarks.refinement DATA [--seeds 0:5] [--jobs 2]`.

Every run is a line of `out/refinement.jsonl`; runs that stand there already are not repeated, so that the measurement
can be stopped and taken up again (delete the file after a change of the method). The table of `docs/results.md` is made
from that file at the end, and by `--only-table`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .refinement_table import write_table

LEVELS = ((0.5, 5.0), (1.0, 10.0), (2.0, 20.0), (5.0, 25.0), (10.0, 50.0))  # deg, cm
SOURCES = ("compact/kitti_raw_drive", "compact/kitti_stereo2015", "compact/kitti_object_training", "rigs")
JOINT_SOURCES = SOURCES[:3]
JOINT_FRAMES = (10, 20)
RECORDS = Path("out/refinement.jsonl")
TABLE = Path("docs/results.md")


@dataclass(frozen=True)
class Run:
    """One registration: which frames of which source, from which start. frames: one index, or several jointly."""

    source: str
    frames: tuple[int, ...]
    deg: float
    cm: float
    seed: int
    wrong_image: bool = False


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    parser.add_argument("--seeds", default="0:5", help="range of seeds, 0:5 is 0 to 4")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.only_table:
        low, high = map(int, arguments.seeds.split(":"))
        _measure(arguments.data, range(low, high), arguments.jobs)
    if not RECORDS.exists():
        parser.error(f"{RECORDS} holds no runs yet; leave --only-table away")
    write_table(RECORDS, TABLE)


def _measure(data: str, seeds: range, jobs: int) -> None:
    """Run all that is not yet recorded, seed by seed, appending a line for each."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    done = {_key(json.loads(line)["run"]) for line in RECORDS.open()} if RECORDS.exists() else set()
    todo = [run for seed in seeds for run in _runs(data, seed) if _key(asdict(run)) not in done]
    begin = time.perf_counter()
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    with ProcessPoolExecutor(jobs, fresh, initializer=_one_thread) as pool, RECORDS.open("a") as file:
        for count, record in enumerate(pool.map(_execute, [data] * len(todo), todo, chunksize=8), 1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            if count % 100 == 0:
                print(f"{count} of {len(todo)} runs, {time.perf_counter() - begin:.0f} s", flush=True)


def _runs(data: str, seed: int) -> Iterator[Run]:
    """All runs of one seed: single frames, joint ones, and the wrong-image control."""
    for deg, cm in LEVELS:
        for name in SOURCES:
            for index in range(len(_source(data, name))):
                yield Run(name, (index,), deg, cm, seed)
        for name in JOINT_SOURCES:
            usual = _usual_rig(data, name)
            for count in JOINT_FRAMES:
                rng = np.random.default_rng([seed, count])
                yield Run(name, tuple(sorted(rng.permutation(usual)[:count].tolist())), deg, cm, seed)
    for name in JOINT_SOURCES:
        for index in range(0, len(_source(data, name)), 3):
            yield Run(name, (index,), 2.0, 20.0, seed, wrong_image=True)


@lru_cache
def _usual_rig(data: str, name: str) -> list[int]:
    """Indices of the frames of the rig that has more than half of them."""
    rigs = [sample.rig for sample in _source(data, name)]
    return [i for i, rig in enumerate(rigs) if rigs.count(rig) > len(rigs) // 2]


def _execute(data: str, run: Run) -> dict[str, Any]:
    """Register one run as `crossi2p register --perturb` would; a record ready for JSON."""
    from crossi2p_core.geometry import se3
    from crossi2p_core.registrar import Registrar
    from crossi2p_core.types import Prior

    samples = [_source(data, run.source)[i] for i in run.frames]
    if run.wrong_image:
        samples = [_with_image_of(sample, _source(data, run.source), run.frames[0]) for sample in samples]
    truth = samples[0].T_cam_lidar
    key = [run.seed, run.frames[0]] if len(run.frames) == 1 else run.seed
    start = se3.perturb(truth, np.random.default_rng(key), run.deg, run.cm / 100)
    prior = Prior(start, max(run.deg, 0.5), max(run.cm / 100, 0.05))
    begin = time.perf_counter()
    found = Registrar(device="cpu", weights="none").register_joint(samples, prior)
    seconds = time.perf_counter() - begin
    sigma = np.sqrt([np.trace(found.covariance[:3, :3]), np.trace(found.covariance[3:, 3:])])
    return {
        "run": asdict(run), "name": samples[0].name, "status": found.status, "seconds": round(seconds, 3),
        "init": _errors(start, truth), "error": _errors(found.T_cam_lidar, truth),
        "sigma": [round(float(np.degrees(sigma[0])), 4), round(float(100 * sigma[1]), 3)],
        "cost": [round(found.cost_before, 4), round(found.cost_after, 4)],
    }


def _with_image_of(sample: Any, source: Any, index: int) -> Any:
    """The sample with the image of the frame half the recording away, cut or padded to its size."""
    from dataclasses import replace

    other = source[(index + len(source) // 2) % len(source)].image
    height, width = sample.image.shape[:2]
    padding = ((0, max(0, height - other.shape[0])), (0, max(0, width - other.shape[1])), (0, 0))
    return replace(sample, image=np.ascontiguousarray(np.pad(other, padding, mode="edge")[:height, :width]))


def _errors(T: np.ndarray, truth: np.ndarray) -> list[float]:
    """Degrees and centimetres."""
    from crossi2p_core.geometry import se3

    return [round(float(se3.rotation_error_deg(T, truth)), 4), round(100 * float(se3.translation_error_m(T, truth)), 3)]


@lru_cache(maxsize=8)
def _source(data: str, name: str) -> Any:
    from crossi2p_core.datasets import open_source

    return open_source(f"{data}/{name}")


def _one_thread() -> None:
    """Two processes on two cores are faster than two threads in each."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _key(run: dict[str, Any]) -> str:
    return json.dumps({**run, "frames": list(run["frames"])}, sort_keys=True)


if __name__ == "__main__":
    main()
