"""No guess at all: where is the camera of a drive? `python -m benchmarks.from_scratch DATA [--seeds 0:5]`.

The scans of a recording are turned by any yaw and shifted by up to a metre along x and along y, all of them alike, so
that neither the recorded extrinsic nor what is usual for cars helps; their nearest 3 m, the vehicle itself, are cut
away. Beside each run stands one with the images of other frames. Lines of `out/from_scratch.jsonl` are not computed
again. The table goes into `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .calibration import drawn, errors_of, frames_of, one_thread, source_of
from .page import replace_between
from .refinement import TABLE

SOURCES = ("compact/kitti_raw_drive", "compact/kitti_stereo2015")
COUNTS = (1, 5, 10, 20)
SHIFT_M, VEHICLE_M = 1.0, 3.0
LIMIT = (0.5, 5.0)  # deg, cm
NEAR = (5.0, 200.0)
RECORDS = Path("out/from_scratch.jsonl")


@dataclass(frozen=True)
class Run:
    """One registration. wrong: with the images of other frames."""

    source: str
    count: int
    seed: int
    wrong: bool
    weights: str


def main() -> None:
    """Measure what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="folder with compact/")
    parser.add_argument("--seeds", default="0:5", help="range of seeds, 0:5 is 0 to 4")
    parser.add_argument("--weights", default="default", help="a checkpoint; default: the package's own")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-table", action="store_true")
    asked = parser.parse_args()
    if not asked.only_table:
        measure(asked.data, range(*map(int, asked.seeds.split(":"))), asked.weights, asked.jobs)
    records = [json.loads(line) for line in RECORDS.read_text().splitlines()]
    text = "\n".join(table([each for each in records if each["run"]["weights"] == asked.weights]))
    print(text)
    replace_between(TABLE, "from scratch", text)


def measure(data: str, seeds: range, weights: str, jobs: int) -> None:
    """Run all that is not yet recorded, appending a line for each."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    done = {json.dumps(json.loads(line)["run"]) for line in RECORDS.open()} if RECORDS.exists() else set()
    every = [Run(source, count, seed, wrong, weights) for seed in seeds for count in COUNTS for source in SOURCES
             for wrong in (False, True)]
    todo = [run for run in every if json.dumps(asdict(run)) not in done]
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    with ProcessPoolExecutor(jobs, fresh, initializer=one_thread) as pool, RECORDS.open("a") as file:
        for count, record in enumerate(pool.map(execute, [data] * len(todo), todo), 1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{count} of {len(todo)}: {record}", flush=True)


def execute(data: str, run: Run) -> dict[str, Any]:
    """One registration; a record ready for JSON."""
    from crossi2p_core.registrar import Registrar
    from crossi2p_core.train.augment_cloud import draw_plane_motion, move_scan, without_vehicle
    from crossi2p_core.weights import find_weights

    chosen = drawn(frames_of(data, run.source), run.count, run.seed)
    motion = draw_plane_motion(np.random.default_rng(run.seed), 180.0, SHIFT_M)
    samples = [source_of(data, run.source)[i] for i in chosen]
    images = [sample.image for sample in (_others(data, run, chosen) if run.wrong else samples)]
    samples = [move_scan(replace(sample, cloud=without_vehicle(sample.cloud, VEHICLE_M), image=image), motion)
               for sample, image in zip(samples, images, strict=True)]
    truth = np.asarray(samples[0].T_cam_lidar)
    registrar = Registrar(device="cpu", weights=find_weights(None if run.weights == "default" else run.weights))
    begin = time.perf_counter()
    found = registrar.register_joint(samples)
    return {"run": asdict(run), "status": found.status, "reason": found.reason,
            "error": errors_of(found.T_cam_lidar, truth), "seconds": time.perf_counter() - begin}


def _others(data: str, run: Run, chosen: list[int]) -> list[Any]:
    """Frames of the same camera, each of them half a recording away."""
    frames = frames_of(data, run.source)
    source = source_of(data, run.source)
    return [source[frames[(frames.index(i) + len(frames) // 2) % len(frames)]] for i in chosen]


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown."""
    yield ("| recording | frames | images | runs | median | within 5 deg / 2 m | within 0.5 deg / 5 cm | ok | ok, not "
           "within 0.5 / 5 | seconds |\n|---|---|---|---|---|---|---|---|---|---|")
    for source in SOURCES:
        for count in COUNTS:
            for wrong in (False, True):
                wanted = (source, count, wrong)
                some = [each for each in records
                        if tuple(each["run"][name] for name in ("source", "count", "wrong")) == wanted]
                if some:
                    yield f"| {source.partition('/')[2]} | {count} | {'wrong' if wrong else 'right'} | {_row(some)} |"


def _row(records: list[dict[str, Any]]) -> str:
    error = np.array([each["error"] for each in records])
    near, within = (error <= NEAR).all(axis=1), (error <= LIMIT).all(axis=1)
    ok = np.array([each["status"] == "ok" for each in records])
    degrees, centimetres = np.median(error, axis=0)
    return (f"{len(records)} | {degrees:.2f} deg / {centimetres:.1f} cm | {100 * near.mean():.0f} % | "
            f"{100 * within.mean():.0f} % | {100 * ok.mean():.0f} % | {(ok & ~within).sum()} | "
            f"{np.median([each['seconds'] for each in records]):.0f}")


if __name__ == "__main__":
    main()
