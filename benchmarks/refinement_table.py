"""From the records of `benchmarks.refinement` to the tables of `docs/results.md`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from crossi2p_core.commands.records import FLOOR_MANY_FRAMES, FLOOR_ONE_FRAME

from .page import replace_between


def write_table(records: Path, page: Path) -> None:
    """Put the tables between the marks of `page`; the rest of the page stays."""
    runs = [json.loads(line) for line in records.open()]
    replace_between(page, "refinement", tables(runs))


def tables(runs: list[dict[str, Any]]) -> str:
    """Markdown of all tables."""
    right = [r for r in runs if not r["run"]["wrong_image"]]
    single = [r for r in right if len(r["run"]["frames"]) == 1]
    kitti = [r for r in single if r["run"]["source"].startswith("compact")]
    rigs = [r for r in single if r["run"]["source"] == "rigs"]
    joint = [r for r in right if len(r["run"]["frames"]) > 1]
    seeds = sorted({r["run"]["seed"] for r in runs})
    return "\n".join([
        f"{len(runs)} runs, seeds {seeds[0]} to {seeds[-1]}, two processes of one thread each on a 2-core machine.",
        "", "### One frame, KITTI", "", _table(kitti, lambda r: _label(r["run"]["source"])),
        "", "### Many frames jointly, KITTI", "",
        _table(joint, lambda r: f"{len(r['run']['frames'])} of {_label(r['run']['source'])}"),
        "", "### One frame, other rigs", "", _table(rigs, lambda r: r["name"].split("/")[0]),
        "", "### Control: the wrong image", "", _controls(runs),
        "", "### Does the covariance tell the truth?", "", _coverage(right),
    ])


def _table(runs: list[dict[str, Any]], group: Callable[[dict[str, Any]], str]) -> str:
    """One line per level and group, and one for all groups of a level."""
    lines = ["| start | frames | runs | before | after | p90 | within 0.5 deg, 5 cm | over 2 deg | worse | ok | ok and "
             "worse | seconds |", "|" + "---|" * 12]
    cells: dict[tuple[float, float, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        level = run["run"]["deg"], run["run"]["cm"]
        cells[(*level, group(run))].append(run)
        cells[(*level, "all" if len(run["run"]["frames"]) == 1 else f"{len(run['run']['frames'])} of all")].append(run)
    for (deg, cm, name), members in sorted(cells.items(), key=lambda item: item[0]):
        lines.append(f"| {deg:g}/{cm:g} | {name} | {_line(members)} |")
    return "\n".join(lines)


def _line(runs: list[dict[str, Any]]) -> str:
    """The numbers of one line."""
    before, after = (np.array([r[key] for r in runs]) for key in ("init", "error"))
    ok = np.array([r["status"] == "ok" for r in runs])
    floor = FLOOR_ONE_FRAME if len(runs[0]["run"]["frames"]) == 1 else FLOOR_MANY_FRAMES
    worse = ((after > before) & (after > floor)).any(axis=1)
    within = (after < (0.5, 5.0)).all(axis=1).mean()
    return " | ".join([
        str(len(runs)), _pair(np.median(before, axis=0)), f"**{_pair(np.median(after, axis=0))}**",
        _pair(np.percentile(after, 90, axis=0)), f"{100 * within:.0f} %", f"{100 * (after[:, 0] > 2).mean():.1f} %",
        f"{100 * worse.mean():.1f} %", f"{100 * ok.mean():.0f} %", str(int((worse & ok).sum())),
        f"{np.median([r['seconds'] for r in runs]):.1f}"])


def _controls(runs: list[dict[str, Any]]) -> str:
    """What is said of right and of wrong images, from the same starts."""
    lines = ["| image | runs | ok | uncertain | failed | after |", "|---|---|---|---|---|---|"]
    chosen = [r for r in runs if len(r["run"]["frames"]) == 1 and r["run"]["source"] != "rigs"
              and (r["run"]["deg"], r["run"]["cm"]) == (2.0, 20.0)]
    for name, wrong in (("right", False), ("wrong", True)):
        members = [r for r in chosen if r["run"]["wrong_image"] == wrong]
        if members:
            share = [f"{100 * np.mean([r['status'] == status for r in members]):.1f} %"
                     for status in ("ok", "uncertain", "failed")]
            after = _pair(np.median([r["error"] for r in members], axis=0))
            lines.append(f"| {name} | {len(members)} | {' | '.join(share)} | {after} |")
    return "\n".join(lines)


def _coverage(runs: Iterable[dict[str, Any]]) -> str:
    """Share of errors within 1, 2 and 3 of the standard deviations that were claimed."""
    lines = ["| frames | status | runs | rotation within 1, 2, 3 sigma | translation |", "|---|---|---|---|---|"]
    cells: dict[tuple[int, str], list[np.ndarray]] = defaultdict(list)
    for run in runs:
        if run["status"] != "failed" and run["run"]["source"] != "rigs":
            ratio = np.array(run["error"]) / np.maximum(run["sigma"], 1e-9)
            cells[(len(run["run"]["frames"]), run["status"])].append(ratio)
    for (frames, status), ratios in sorted(cells.items()):
        share = [[f"{100 * np.mean(np.array(ratios)[:, axis] < k):.0f} %" for k in (1, 2, 3)] for axis in (0, 1)]
        lines.append(f"| {frames} | {status} | {len(ratios)} | {', '.join(share[0])} | {', '.join(share[1])} |")
    return "\n".join(lines)


def _pair(values: np.ndarray) -> str:
    return f"{values[0]:.2f}/{values[1]:.1f}"


def _label(source: str) -> str:
    return source.rsplit("/", 1)[-1]
