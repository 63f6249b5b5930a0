"""What does `crossi2p adapt` teach from wrong starts? `python -m benchmarks.adaptation DATA`.

The first thirty frames of the KITTI drive teach the package's weights: with the recorded extrinsic, with what the
frames agree on from a start that is 5 deg / 25 cm off at most, from no guess at all, and with the recorded extrinsic
and as many pairs of synthetic worlds (`out/worlds_near`, `out/worlds_more`; docs/training.md). Every one is judged by
frames that taught none of them, beside wrong images (`recall.py`): those further along the street, single ones of other
drives, other rigs. Runs in `out/adaptation` are not made again. The table goes into `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from crossi2p_core import atomic
from crossi2p_core.calibration_file import Extrinsic, write_calibration
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.matcher import load_network

from .page import replace_between
from .recall import groups, recall
from .refinement import TABLE

DRIVE, FRAMES = "compact/kitti_raw_drive", "0:30"
TRUE, BESIDE = "true", "true; half of the pairs synthetic"
STARTS: dict[str, list[str]] = {
    TRUE: [], "5 deg / 25 cm off at most": ["--perturb", "5,25", "--seed", "1"], "none": ["--from-scratch"],
    BESIDE: []}
WORLDS = ("out/worlds_near", "out/worlds_more")  # as docs/training.md makes them
OUT = Path("out/adaptation")
SEEDS = range(3)
PACKAGE = "the package's weights"


def main() -> None:
    """Teach from each start, judge what was learned, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="folder with compact/ and rigs/")
    parser.add_argument("--steps", type=int, default=300, help="in each round")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with ThreadPoolExecutor(asked.jobs) as pool:
        list(pool.map(lambda start: teach(asked.data, start, asked.steps), STARTS))  # by processes of their own
        records = list(pool.map(lambda start: judged(asked.data, start), [PACKAGE, *STARTS]))
    text = "\n".join(table(records))
    print(text)
    replace_between(TABLE, "adaptation", text)


def folder_of(start: str) -> Path:
    """Of all that comes of a start."""
    return OUT / start.replace(" ", "_").replace("/", "").replace(";", "")


def teach(data: str, start: str, steps: int) -> None:
    """`crossi2p adapt` as a user calls it; from the true extrinsic one round of it, whose answer is there already."""
    out = folder_of(start)
    if (out / "report.json").exists():
        return
    settings = out.with_suffix(".yaml")
    known = start in (TRUE, BESIDE)
    beside = [{"path": path, "weight": 0.5} for path in WORLDS] if start == BESIDE else []
    atomic.write_text(settings, yaml.safe_dump({"steps": steps, "rounds": 1 if known else 3, "workers": 0,
                                                "beside": beside}))
    if known:
        (out / "round_1").mkdir(parents=True, exist_ok=True)
        recorded = open_source(f"{data}/{DRIVE}")[0].T_cam_lidar
        assert recorded is not None
        write_calibration(out / "round_1" / "extrinsic.yaml", Extrinsic(
            recorded, "camera", "lidar", np.diag([1e-6] * 3 + [1e-4] * 3), "ok", "recorded", "the recording"))
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "crossi2p_core", "adapt", f"{data}/{DRIVE}", "--frames", FRAMES, "--out",
                    str(out), "--config", str(settings), *STARTS[start]], check=True, env=one_thread)


def judged(data: str, start: str) -> dict[str, Any]:
    """What was learned from, how far that is from the recorded extrinsic, and recall by source."""
    weights = "default"
    record: dict[str, Any] = {"start": start}
    if start != PACKAGE:
        rounds = json.loads((folder_of(start) / "report.json").read_text())["rounds"]
        weights = [one["weights"] for one in rounds if one["weights"]][-1]
        found, recorded = np.array(rounds[-1]["T_cam_lidar"]), open_source(f"{data}/{DRIVE}")[0].T_cam_lidar
        assert recorded is not None
        record |= {"rounds": len([one for one in rounds if one["weights"]]), "status": rounds[-1]["status"],
                   "deg": float(se3.rotation_error_deg(found, recorded)),
                   "cm": 100 * float(se3.translation_error_m(found, recorded))}
    network = load_network(weights).eval()
    for name, sources in groups(data).items():
        one = recall(network, sources, SEEDS)
        record[name] = [one.right, one.wrong]
    return record


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each start."""
    names = [name for name, value in records[0].items() if isinstance(value, list)]
    yield f"| start | taught, off by | rounds | {' | '.join(f'recall, {name} (wrong image)' for name in names)} |"
    yield "|---" * (3 + len(names)) + "|"
    for record in records:
        taught = "–" if "deg" not in record else f"{record['deg']:.2f} deg / {record['cm']:.1f} cm"
        recalls = [f"{right:.3f} ({wrong:.3f})" for right, wrong in (record[name] for name in names)]
        yield f"| {record['start']} | {taught} | {record.get('rounds', '–')} | {' | '.join(recalls)} |"


if __name__ == "__main__":
    main()
