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
HEAD = ("method", "pairs", "RRE median", "p90", "RTE median", "p90", "right", "wrong image", "no image", "recall",
        "recall, wrong image")


@dataclass(frozen=True)
class Cell:
    """A source by a protocol with one set of weights; none: refine alone."""

    source: str
    protocol: str
    name: str
    weights: Path

    @property
    def folder(self) -> Path:
        """Where it is measured."""
        return OUT / self.name / self.source.replace(", ", "_").replace(" ", "_") / self.protocol


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with compact/ and rigs/")
    parser.add_argument("weights", nargs="*", metavar="NAME=FILE", help="sets of weights; refine alone is always there")
    parser.add_argument("--protocols", default="ABCD")
    parser.add_argument("--only-table", action="store_true")
    asked = parser.parse_args()
    named = [(name, Path(file)) for name, _, file in (one.partition("=") for one in asked.weights)]
    sets = [("refine", Path("none")), *named]
    cells = [Cell(source, protocol, name, file) for source in (SYNTHETIC, *KEPT_BACK) for protocol in asked.protocols
             for name, file in sets]
    with joined_world("auto") as world:
        if not asked.only_table:
            measure(cells, asked.data, world)
        if world.is_first:
            replace_between(PAGE, "evaluation", "\n".join(table(cells)))


def measure(cells: list[Cell], data: Path, world: World) -> None:
    """Every cell, the processes together."""
    if world.is_first and not UNSEEN.exists():
        write_worlds(UNSEEN, UNSEEN_WORLDS, UNSEEN_SEED, UNSEEN_FRAMES, 10, 5, os.cpu_count() or 1, lambda *_: None)
    if world.size > 1:
        from torch import distributed

        distributed.barrier()
    for cell in cells:
        source, chosen = _opened(cell.source, data)
        evaluate(Wanted(source, chosen, cell.protocol, cell.folder, cell.weights), world, lambda *_: None)
        if world.is_first:
            print(f"{cell.source}, protocol {cell.protocol}, {cell.name}", flush=True)


def table(cells: list[Cell]) -> Iterator[str]:
    """Lines of Markdown: a table for each source and protocol, of what has been measured."""
    for source, protocol in dict.fromkeys((cell.source, cell.protocol) for cell in cells):
        lines = [line for cell in cells if (cell.source, cell.protocol) == (source, protocol) for line in _rows(cell)]
        if lines:
            degrees, metres = PROTOCOLS[protocol].limits[0]
            yield f"\n### {source}, protocol {protocol} (right: {degrees:g} deg, {metres:g} m)\n"
            yield f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}"
            yield from dict.fromkeys(lines)  # refine alone stands in several of C's cells, always with the same figures


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
        recall = [_number(share[key]) for key in ("recall_right", "recall_wrong")]
        yield f"| {' | '.join([title, str(one['pairs']), *values, *percent, *recall])} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


if __name__ == "__main__":
    main()
