"""Every source by every protocol, with each set of weights and without: the table of `docs/results.md`.

    python -m benchmarks.evaluation ../shared/data light=out/light_synthetic/checkpoints/step-000005000.json
    torchrun --nproc-per-node=2 -m benchmarks.evaluation ../shared/data light=... full=...

Each cell is a `crossi2p evaluate` in a folder of its own below out/evaluation, and goes on where it stopped. Frames are
those that no training of ours touched; worlds are of seeds that none was trained on. `--only-table` measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossi2p_core.datasets import Source, open_source
from crossi2p_core.datasets.selection import select_frames
from crossi2p_core.datasets.synthetic.worlds import write_worlds
from crossi2p_core.evaluate.protocols import PROTOCOLS
from crossi2p_core.evaluate.run import Wanted, evaluate
from crossi2p_core.train.distributed import World, joined_world

from .page import replace_between

OUT, PAGE = Path("out/evaluation"), Path("docs/results.md")
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
ASKED = {"A": "A", "B": "B", "C": "C", "C50": "C", "D": "D"}  # what is measured, and by which protocol
OFF_BY = {"C": (10.0, 0.25), "C50": (10.0, 0.5)}  # deg, m


@dataclass(frozen=True)
class Cell:
    """A source by one of ASKED with one set of weights, beside refine alone; none: that only."""

    source: str
    asked: str
    name: str
    weights: Path

    @property
    def folder(self) -> Path:
        """Where it is measured."""
        return OUT / self.name / self.source.replace(", ", "_").replace(" ", "_") / self.asked

    @property
    def protocol(self) -> str:
        """By which it is measured."""
        return ASKED[self.asked]

    @property
    def title(self) -> str:
        """Of its table."""
        bounds = OFF_BY.get(self.asked)
        off = "" if bounds is None else f", up to {bounds[0]:g} deg and {100 * bounds[1]:g} cm off"
        return f"{self.source}, protocol {self.protocol}{off} ({_limits(self.protocol)})"


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with compact/ and rigs/")
    parser.add_argument("weights", nargs="*", metavar="NAME=FILE", help="sets of weights; refine alone is always there")
    parser.add_argument("--protocols", default=",".join(ASKED), help="with commas between; C50: C from 10 deg / 50 cm")
    parser.add_argument("--sources", default=",".join(SOURCES), help="with commas between")
    parser.add_argument("--only-table", action="store_true")
    asked = parser.parse_args()
    named = [(name, Path(file)) for name, _, file in (one.partition("=") for one in asked.weights)]
    cells = [Cell(SOURCES[source], protocol, name, file) for protocol in asked.protocols.split(",")
             for source in asked.sources.split(",") for name, file in named or [("refine", Path("none"))]]
    with joined_world("auto") as world:
        if not asked.only_table:
            measure(cells, asked.data, world)
        if world.is_first:
            replace_between(PAGE, "evaluation", "\n".join(table(cells)))


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
        evaluate(Wanted(source, chosen, cell.protocol, cell.folder, cell.weights,
                        bounds=OFF_BY.get(cell.asked, OFF_BY["C"])), world, lambda *_: None)
        if world.is_first:
            print(f"{cell.title}, {cell.name}", flush=True)


def table(cells: list[Cell]) -> Iterator[str]:
    """Lines of Markdown: a table for each source and protocol, of what has been measured."""
    for title in dict.fromkeys(cell.title for cell in cells):
        lines = [line for cell in cells if cell.title == title for line in _rows(cell)]
        if lines:
            yield f"\n### {title}\n"
            yield f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
            yield from dict.fromkeys(lines)  # refine alone stands in several cells, always with the same figures


def _limits(protocol: str) -> str:
    """What counts as right, and as very right."""
    (degrees, metres), (few, near) = PROTOCOLS[protocol].limits
    return f"right: {degrees:g} deg, {metres:g} m; very right: {few:g} deg, {near:g} m"


def _opened(name: str, data: Path) -> tuple[Source, list[int]]:
    folder, frames = (UNSEEN, None) if name == SYNTHETIC else (data / KEPT_BACK[name][0], KEPT_BACK[name][1])
    source = open_source(folder)
    return source, select_frames(source, frames)


def _rows(cell: Cell) -> Iterator[str]:
    """A line of Markdown per method of a cell; none where it has not been measured."""
    file = cell.folder / "metrics.json"
    if not file.exists():
        return
    metrics: dict[str, Any] = json.loads(file.read_text())
    shares = {row["method"]: row for row in metrics["table"]}
    for method, images in metrics["methods"].items():
        if "right" not in images or method not in shares:
            continue
        one, share = images["right"], shares[method]
        title = method.replace("network", cell.name)
        values = [_number(one[error][part]) for error in ("rre_deg", "rte_m") for part in ("median", "p90")]
        percent = [_percent(share[key]) for key in ("right", "wrong", "image_free")]
        percent += [_percent(list(images[image]["share_within"].values())[1]) for image in ("right", "wrong")]
        recall = [_number(share[key]) for key in ("recall_right", "recall_wrong")]
        yield f"| {' | '.join([title, str(one['pairs']), *values, *percent, *recall])} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
