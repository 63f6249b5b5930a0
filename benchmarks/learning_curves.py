"""What a training run learned and when, small enough to keep: `python -m benchmarks.learning_curves RUN TARGET`

RUN: the `out` folder of a run. TARGET: a folder that gets `log.jsonl` (means over SPAN steps, and every note),
`curves.png`, and `protocol_a.json` where benchmarks.overfit has judged the run.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from crossi2p_core import atomic

SPAN = 25  # steps per line that is kept
SHOWN = (("coarse recall", ("coarse_recall",)), ("losses", ("loss.alignment", "coarse_loss", "fine_loss", "loss.pose")),
         ("weights by GradNorm", ("weight.alignment", "weight.correspondence", "weight.pose")),
         ("fine error, px", ("fine_error_px",)))
VALIDATED = ("coarse_recall", "coarse_recall_wrong_image")


def main(run: Path, target: Path) -> None:
    """Read, thin, draw, write."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = thinned([line for line in lines if "loss.alignment" in line])
    notes = [line for line in lines if "note" in line]
    target.mkdir(parents=True, exist_ok=True)
    kept = sorted([*steps, *notes], key=lambda line: line["step"])
    atomic.write_text(target / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
    if (run / "protocol_a.json").exists():
        shutil.copy(run / "protocol_a.json", target / "protocol_a.json")
    draw(steps, validations(notes), target / "curves.png")


def thinned(steps: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Means over SPAN steps in a row of all that is told; `step` is the last of them."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for line in steps:
        groups.setdefault(line["step"] // SPAN, []).append(line)
    return [{name: round(float(np.mean([line[name] for line in group if name in line])), 5)
             for name in sorted(set().union(*group)) if name not in ("step", "time")} | {"step": group[-1]["step"]}
            for group in groups.values()]


def validations(notes: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Numbers of the sentences that tell of validations, with their step."""
    found = []
    for line in notes:
        if line["note"].startswith("validation: "):
            parts = (part.rsplit(" ", 1) for part in line["note"].removeprefix("validation: ").split(", "))
            found.append({name: float(value) for name, value in parts} | {"step": line["step"]})
    return found


def draw(steps: list[dict[str, float]], validated: list[dict[str, float]], path: Path) -> None:
    """Curves over steps, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    for axis, (title, names) in zip(axes.flat, SHOWN, strict=True):
        for name in names:
            told = [(line["step"], line[name]) for line in steps if name in line]
            if told:
                axis.plot(*zip(*told, strict=True), label=name)
        axis.set(title=title, xlabel="step")
    for name in VALIDATED:
        told = [(line["step"], line[name]) for line in validated if name in line]
        if told:
            axes.flat[0].plot(*zip(*told, strict=True), "o--", label=f"fresh transforms: {name}")
    for axis in axes.flat:
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
