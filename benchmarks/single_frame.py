"""One frame and no guess at all: where is its camera? `python -m benchmarks.single_frame DATA`.

Every scan is turned by a yaw of its own, so that neither the recorded extrinsic nor what is usual for cars helps; it
stays about its LiDAR, as a scan is. Beside each frame stands the same with another frame's image. Lines of
`out/single_frame.jsonl` are not computed again; those of the table are kept in `benchmarks/records`. The table goes
into `docs/results.md`.
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

from .calibration import errors_of, one_thread, source_of
from .page import replace_between
from .refinement import TABLE

# every third of the thirty KITTI frames was looked at when limits were chosen (docs/results.md, "One frame")
FRAMES = {
    "compact/kitti_stereo2015": [each for each in range(2, 77, 4) if each not in (10, 58)],
    "compact/kitti_raw_drive": list(range(4, 50, 8)),
    "compact/kitti_object_training": [2, 6, 8, 12, 14, 18, 20],
    "rigs": [1, 3, 5, 7, *range(8, 21)],
}
LIMITS = ((5.0, 200.0), (1.0, 30.0), (0.5, 5.0))  # deg, cm
RECORDS = Path("out/single_frame.jsonl")


@dataclass(frozen=True)
class Run:
    """One registration. wrong: with the image of another frame."""

    source: str
    frame: int
    wrong: bool


def main() -> None:
    """Measure what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only-table", action="store_true")
    asked = parser.parse_args()
    if not asked.only_table:
        measure(asked.data, asked.jobs)
    text = "\n".join(table([json.loads(line) for line in RECORDS.read_text().splitlines()]))
    print(text)
    replace_between(TABLE, "single frame", text)


def measure(data: str, jobs: int) -> None:
    """Run all that is not yet recorded, appending a line for each."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    done = {json.dumps(json.loads(line)["run"]) for line in RECORDS.open()} if RECORDS.exists() else set()
    every = [Run(source, frame, wrong) for wrong in (False, True) for source, frames in FRAMES.items()
             for frame in frames]
    todo = [run for run in every if json.dumps(asdict(run)) not in done]
    fresh = multiprocessing.get_context("spawn")  # a forked process inherits cv2's locks but not its threads
    with ProcessPoolExecutor(jobs, fresh, initializer=one_thread) as pool, RECORDS.open("a") as file:
        for count, record in enumerate(pool.map(execute, [data] * len(todo), todo), 1):
            file.write(json.dumps(record) + "\n")
            file.flush()
            print(f"{count} of {len(todo)}: {record}", flush=True)


def execute(data: str, run: Run) -> dict[str, Any]:
    """One registration; a record ready for JSON."""
    from crossi2p_core.errors import InputError
    from crossi2p_core.registrar import Registrar
    from crossi2p_core.train.augment_cloud import draw_plane_motion, move_scan
    from crossi2p_core.train.augment_view import fitted

    source = source_of(data, run.source)
    sample = source[run.frame]
    if run.wrong:
        other = source[(run.frame + len(source) // 2) % len(source)].image
        sample = replace(sample, image=fitted(other, sample.camera))
    sample = move_scan(sample, draw_plane_motion(np.random.default_rng(run.frame), 180.0, 0.0))
    begin = time.perf_counter()
    try:
        found = Registrar(device="cpu").register_anywhere([sample])
    except InputError as error:
        return {"run": asdict(run), "status": "failed", "reason": str(error), "error": [180.0, 1e4],
                "seconds": time.perf_counter() - begin}
    return {"run": asdict(run), "status": found.status, "reason": found.reason,
            "error": errors_of(found.T_cam_lidar, np.asarray(sample.T_cam_lidar)),
            "seconds": time.perf_counter() - begin}


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Lines of Markdown."""
    within = " | ".join(f"within {deg:g} deg / {cm:g} cm" for deg, cm in LIMITS)
    yield f"| recording | image | frames | median | {within} | ok | ok, not within 1 / 30 | seconds |"
    yield "|---" * 10 + "|"
    for source in FRAMES:
        for wrong in (False, True):
            some = [each for each in records if (each["run"]["source"], each["run"]["wrong"]) == (source, wrong)]
            if some:
                yield f"| {source.rpartition('/')[2]} | {'wrong' if wrong else 'right'} | {len(some)} | {_row(some)} |"


def _row(records: list[dict[str, Any]]) -> str:
    error = np.array([each["error"] for each in records])
    within = [(error <= limit).all(axis=1) for limit in LIMITS]
    ok = np.array([each["status"] == "ok" for each in records])
    degrees, centimetres = np.median(error, axis=0)
    shares = " | ".join(f"{100 * each.mean():.0f} %" for each in within)
    return (f"{degrees:.2f} deg / {centimetres:.0f} cm | {shares} | {100 * ok.mean():.0f} % | "
            f"{(ok & ~within[1]).sum()} | {np.median([each['seconds'] for each in records]):.0f}")


if __name__ == "__main__":
    main()
