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
MATCHES = (("coarse recall", ("coarse_recall",)),
           ("losses", ("loss.alignment", "coarse_loss", "fine_loss", "loss.pose")),
           ("weights by GradNorm", ("weight.alignment", "weight.correspondence", "weight.pose")),
           ("fine error, px", ("fine_error_px",)))
FLOW = (("poses, deg", ()), ("losses", ("loss.flow", "loss.shift")), ("flow, px", ("start_px", "flow_px")),
        ("poses, m", ()))
VALIDATED = {"coarse recall": ("coarse_recall", "coarse_recall_wrong_image"),
             "poses, deg": ("rre_deg_start_median", "rre_deg_median", "rre_deg_wrong_image_median"),
             "poses, m": ("rte_m_start_median", "rte_m_median", "rte_m_wrong_image_median")}


def main(run: Path, target: Path) -> None:
    """Read, thin, draw, write."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = thinned([line for line in lines if "gradient" in line])
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
    for axis, (title, names) in zip(axes.flat, FLOW if "loss.flow" in steps[0] else MATCHES, strict=True):
        for lines, own, style, label in ((steps, names, "-", ""),
                                         (validated, VALIDATED.get(title, ()), "o--", "fresh transforms: ")):
            for name in own:
                told = [(line["step"], line[name]) for line in lines if name in line]
                if told:
                    axis.plot(*zip(*told, strict=True), style, label=label + name)
        axis.set(title=title, xlabel="step")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
