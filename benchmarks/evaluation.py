"""Every source by every protocol, with each set of weights and without: the table of `docs/results.md`.

    python -m benchmarks.evaluation ../shared/data light=out/light_synthetic/checkpoints/step-000005000.json
    torchrun --nproc-per-node=2 -m benchmarks.evaluation ../shared/data light=... full=...

Each cell is a `crossi2p evaluate` in a folder of its own below out/evaluation, and goes on where it stopped. Frames are
those that no training of ours touched; worlds are of seeds that none was trained on. What was measured is kept in
benchmarks/records, a line for each method of a cell, and the table is of these. `--only-table` measures nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossi2p_core import atomic
from crossi2p_core.datasets import Source, open_source
from crossi2p_core.datasets.selection import select_frames
from crossi2p_core.datasets.synthetic.worlds import write_worlds
from crossi2p_core.evaluate.pairs import FILE, read_pairs, write_pairs
from crossi2p_core.evaluate.predict import read_predictions
from crossi2p_core.evaluate.protocols import PROTOCOLS
from crossi2p_core.evaluate.run import Wanted, evaluate, list_pairs
from crossi2p_core.train.distributed import World, joined_world

from .page import replace_between

OUT, PAGE = Path("out/evaluation"), Path("docs/results.md")
RECORDS = Path("benchmarks/records/evaluation.jsonl")
UNSEEN = Path("out/unseen_worlds")
UNSEEN_SEED, UNSEEN_WORLDS, UNSEEN_FRAMES = 1_000_000, 40, 2
KEPT_BACK = {  # folder below DATA, and frames
    "KITTI stereo, kept back": ("compact/kitti_stereo2015", "55:"),
    "KITTI raw drive, kept back": ("compact/kitti_raw_drive", "30:"),
    "other rigs": ("rigs", None),
}
SYNTHETIC = "synthetic, unseen worlds"
SOURCES = {"synthetic": SYNTHETIC, **dict(zip(("stereo", "drive", "rigs"), KEPT_BACK, strict=True))}
HEAD = ("method", "pairs", "RRE median", "p90", "RTE median", "p90", "right", "wrong image", "no image", "very right",
        "wrong image", "recall", "recall, wrong image")
ASKED = {"A": "A", "B": "B", "C": "C", "C50": "C", "D": "D", "E": "E"}  # what is measured, and by which protocol
SAME_QUESTIONS = {"B": "A"}  # asked alike, judged by other limits
RECALL = ("recall_right", "recall_wrong")
OFF_BY = {"C": (10.0, 0.25), "C50": (10.0, 0.5)}  # deg, m
Row = dict[str, Any]  # source, asked and method, and what is in HEAD


@dataclass(frozen=True)
class Cell:
    """A source by one of ASKED with one set of weights, beside refine alone; none: that only. refine: False: the
    network only."""

    source: str
    asked: str
    name: str
    weights: Path
    refine: bool = True

    @property
    def folder(self) -> Path:
        """Where it is measured."""
        network = self.name if self.refine else f"{self.name}_alone"
        return OUT / network / self.source.replace(", ", "_").replace(" ", "_") / self.asked

    @property
    def digest(self) -> str:
        """Of the weights: a name may stand for others tomorrow."""
        return hashlib.sha256(self.weights.read_bytes()).hexdigest()[:12] if self.weights.is_file() else ""


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with compact/ and rigs/")
    parser.add_argument("weights", nargs="*", metavar="NAME=FILE", help="sets of weights; refine alone is always there")
    parser.add_argument("--protocols", default=",".join(ASKED), help="with commas between; C50: C from 10 deg / 50 cm")
    parser.add_argument("--sources", default=",".join(SOURCES), help="with commas between")
    parser.add_argument("--alone", action="store_true", help="networks without refine, which takes most of the time")
    parser.add_argument("--only-table", action="store_true")
    asked = parser.parse_args()
    named = [(name, Path(file)) for name, _, file in (one.partition("=") for one in asked.weights)]
    cells = [Cell(SOURCES[source], protocol, name, file, not asked.alone) for protocol in asked.protocols.split(",")
             for source in asked.sources.split(",") for name, file in named or [("refine", Path("none"))]]
    with joined_world("auto") as world:
        if not asked.only_table:
            measure(cells, asked.data, world)
        if world.is_first:
            keep([row for cell in cells for row in _rows(cell)])
            replace_between(PAGE, "evaluation", "\n".join(table(read())))


def measure(cells: list[Cell], data: Path, world: World) -> None:
    """Every cell, the processes together."""
    worlds_wanted = any(cell.source == SYNTHETIC for cell in cells)
    if world.is_first and worlds_wanted:  # what is there is not made again, and a set that was cut short is completed
        write_worlds(UNSEEN, UNSEEN_WORLDS, UNSEEN_SEED, UNSEEN_FRAMES, 10, 5, os.cpu_count() or 1, lambda *_: None)
    if world.size > 1:
        from torch import distributed

        distributed.barrier()
    for cell in cells:
        source, chosen = _opened(cell.source, data)
        wanted = Wanted(source, chosen, ASKED[cell.asked], cell.folder, cell.weights, cell.refine,
                        bounds=OFF_BY.get(cell.asked, OFF_BY["C"]))
        if world.is_first and cell.asked in SAME_QUESTIONS:
            take_over(wanted, replace(cell, asked=SAME_QUESTIONS[cell.asked]).folder)
        evaluate(wanted, world, lambda *_: None)
        if world.is_first:
            print(f"{_title(cell.source, cell.asked)}, {cell.name}", flush=True)


def take_over(wanted: Wanted, former: Path) -> None:
    """Answers of the protocol measured in `former`, if it was asked the same of the same source and weights: those that
    it has are not asked for again."""
    if not (former / FILE).exists() or (wanted.out / FILE).exists():
        return
    asked, before = list_pairs(wanted), read_pairs(former)
    if asked.pairs != before.pairs or asked.about != before.about | {"protocol": wanted.protocol}:
        return
    answers = read_predictions(former, before.digest)
    write_pairs(wanted.out, asked)
    atomic.write_text(wanted.out / "predictions-former.jsonl", "".join(
        json.dumps(one | {"list": asked.digest}, allow_nan=False) + "\n" for one in answers))


def read() -> list[Row]:
    """All rows that are kept."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def keep(measured: list[Row]) -> None:
    """Rows that have been measured now take the place of former ones of the same method and cell."""
    rows = {_key(row): row for row in (*read(), *measured)}
    atomic.write_text(RECORDS, "".join(json.dumps(row) + "\n" for row in rows.values()))


def _key(row: Row) -> tuple[str, str, str]:
    return row["source"], row["asked"], row["method"]


def table(rows: list[Row]) -> Iterator[str]:
    """Lines of Markdown: a table for each source and protocol, of what has been measured."""
    for asked in ASKED:
        for source in SOURCES.values():
            lines = sorted((row["method"], _line(row)) for row in rows if _key(row)[:2] == (source, asked))
            if lines:
                yield f"\n### {_title(source, asked)}\n"
                yield f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
                yield from (line for _, line in lines)


def _title(source: str, asked: str) -> str:
    bounds, protocol = OFF_BY.get(asked), ASKED[asked]
    off = "" if bounds is None else f", up to {bounds[0]:g} deg and {100 * bounds[1]:g} cm off"
    return f"{source}, protocol {protocol}{off} ({_limits(protocol)})"


def _limits(protocol: str) -> str:
    """What counts as right, and as very right."""
    (degrees, metres), (few, near) = PROTOCOLS[protocol].limits
    return f"right: {degrees:g} deg, {metres:g} m; very right: {few:g} deg, {near:g} m"


def _opened(name: str, data: Path) -> tuple[Source, list[int]]:
    folder, frames = (UNSEEN, None) if name == SYNTHETIC else (data / KEPT_BACK[name][0], KEPT_BACK[name][1])
    source = open_source(folder)
    return source, select_frames(source, frames)


def _rows(cell: Cell) -> Iterator[Row]:
    """What is kept of a cell, one for each method; none where it has not been measured."""
    file = cell.folder / "metrics.json"
    if not file.exists():
        return
    metrics: dict[str, Any] = json.loads(file.read_text())
    shares = {row["method"]: row for row in metrics["table"]}
    for method, images in metrics["methods"].items():
        if "right" not in images or method not in shares:
            continue
        one, share = images["right"], shares[method]
        row = {"source": cell.source, "asked": cell.asked, "method": method.replace("network", cell.name),
               "pairs": one["pairs"], "weights": cell.digest if "network" in method else ""}
        row |= {f"{error}_{part}": one[error][part] for error in ("rre_deg", "rte_m") for part in ("median", "p90")}
        row |= {key: share[key] for key in ("right", "wrong", "image_free")}
        row |= {f"very_{image}": list(images[image]["share_within"].values())[1] for image in ("right", "wrong")}
        yield row | {key: share[key] for key in RECALL}


def _line(row: Row) -> str:
    """In the order of HEAD."""
    errors = [_number(row[f"{error}_{part}"]) for error in ("rre_deg", "rte_m") for part in ("median", "p90")]
    shares = [_percent(row[key]) for key in ("right", "wrong", "image_free", "very_right", "very_wrong")]
    recall = [_number(row[key]) for key in RECALL]
    return f"| {' | '.join([row['method'], str(row['pairs']), *errors, *shares, *recall])} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
