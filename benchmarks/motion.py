"""What the vehicle's motion is good for, on synthetic drives: `python -m benchmarks.motion`, half an hour.

Images that are late by so much, calibrated with and without the time offset; LiDARs of few beams, with scans by
themselves and joined. The lines of `out/motion.jsonl` are not computed again; the tables go into `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .page import replace_between
from .refinement import TABLE

RECORDS = Path("out/motion.jsonl")
LATE_MS = (0, 20, 100)
LATE_WORLDS = tuple(f"synthetic:{kind}?seed={seed}&frames=20&camera=kitti"
                    for seed in (1, 2) for kind in ("street", "yard"))
SWEEPS = (0, 3)
LIDARS = ("vlp16", "livox")
SPARSE = tuple(f"synthetic:{kind}?seed={seed}&frames=36&camera=kitti&lidar={lidar}"
               for lidar in LIDARS for seed in (1, 2) for kind in ("street", "yard"))
START = 2.0, 20.0  # deg, cm
Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One calibration. sweeps: scans joined on either side; time_offset: auto or off."""

    source: str
    sweeps: int = 0
    time_offset: str = "off"
    frames: str = ":"


def main() -> None:
    """Measure what is missing, then print and write the tables."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    records = {line["run"]: line for line in map(json.loads, RECORDS.open())} if RECORDS.exists() else {}
    RECORDS.parent.mkdir(exist_ok=True)
    with RECORDS.open("a") as file:
        for run in runs():
            name = json.dumps(asdict(run))
            if name not in records:
                records[name] = {"run": name, **execute(run)}
                file.write(json.dumps(records[name]) + "\n")
                file.flush()
                print(records[name], flush=True)
    text = "\n".join(tables([records[json.dumps(asdict(run))] | asdict(run) for run in runs()]))
    print(text)
    replace_between(TABLE, "motion", text)


def runs() -> Iterator[Run]:
    """Every calibration."""
    yield from (Run(f"{world}&late={late}", 0, offset) for world in LATE_WORLDS for late in LATE_MS
                for offset in ("off", "auto"))
    yield from (Run(world, sweeps, "off", "3:33") for world in SPARSE for sweeps in SWEEPS)


def execute(run: Run) -> Record:
    """What `crossi2p calibrate` says."""
    from crossi2p_core.commands.rig import Rig, calibrate_rig

    settings = Path("out/motion.yaml")
    settings.write_text(f"candidates: 16\nframes: 10\nfolds: 0\ntime_offset: {run.time_offset}\n")
    deg, cm = START
    told = calibrate_rig(Rig(run.source, run.frames, perturb=f"{deg:g},{cm:g}", search=f"{deg:g},{2 * cm:g}",
                             weights="none", config=str(settings), device="cpu", accumulate=run.sweeps))["cameras"][0]
    singles = [frame["status"] for frame in told["frames"]]
    offset = told["time_offset"]
    return {"deg": told["error_deg"], "cm": told["error_cm"], "status": told["status"],
            "single_ok": singles.count("ok") / len(singles), "offset_ms": None if offset is None else
            1000 * offset["seconds"], "sigma_ms": None if offset is None else 1000 * offset["sigma_s"]}


def tables(records: list[Record]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "### Images that are late\n"
    yield ("| late by | drives | without: error, largest | ok | with: error, largest | ok | found | its sigma |\n"
           "|---|---|---|---|---|---|---|---|")
    for late in LATE_MS:
        off, auto = ([each for each in records if each["source"].endswith(f"&late={late}")
                      and each["time_offset"] == how] for how in ("off", "auto"))
        found, sigma = ([each[name] for each in auto] for name in ("offset_ms", "sigma_ms"))
        yield (f"| {late} ms | {len(off)} | {_errors(off)} | {_ok(off)} | {_errors(auto)} | {_ok(auto)} | "
               f"{min(found):.1f} to {max(found):.1f} ms | {np.median(sigma):.1f} ms |")
    yield "\n### Scans joined with those of N frames before and after\n"
    yield "| LiDAR | N | drives | error, largest | ok | single frames ok |\n|---|---|---|---|---|---|"
    for lidar in LIDARS:
        for sweeps in SWEEPS:
            some = [each for each in records if each["source"].endswith(lidar) and each["sweeps"] == sweeps]
            single = 100 * np.mean([each["single_ok"] for each in some])
            yield f"| {lidar} | {sweeps} | {len(some)} | {_errors(some)} | {_ok(some)} | {single:.0f} % |"


def _errors(some: list[Record]) -> str:
    """Median and largest, degrees / centimetres."""
    deg, cm = np.array([(each["deg"], each["cm"]) for each in some]).T
    return f"**{np.median(deg):.2f}/{np.median(cm):.1f}**, {deg.max():.2f}/{cm.max():.1f}"


def _ok(some: list[Record]) -> str:
    return f"{sum(each['status'] == 'ok' for each in some)} of {len(some)}"


if __name__ == "__main__":
    main()
