"""`crossi2p evaluate`: how good the answers are, beside what needs no image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..datasets import open_source
from ..datasets.selection import select_frames
from ..errors import InputError
from .options import CameraOption, FramesOption, JsonOption, SourceArgument, degrees_and_metres
from .progress import progress


def evaluate(
    source: SourceArgument,
    protocol: Annotated[Literal["A", "B", "C", "D", "E"], typer.Option(
        "--protocol", show_default=False,
        help="A: scan turned by +-180 deg, moved by +-10 m. B: as A, wider limits. C: a start that is a little wrong. "
             "D: as A, and the image is turned and zoomed. E: as recorded, without a start: for sources whose cameras "
             "are elsewhere for every frame, such as synthetic:street?elsewhere=10.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False,
                                      help="Folder for pairs, predictions, metrics and the page; goes on in it.")],
    weights: Annotated[Path | None, typer.Option(
        "--weights", metavar="FILE", show_default=False, help="A checkpoint of crossi2p train; none: refine alone. "
                                                          "Default: the package's own.")
    ] = None,
    no_refine: Annotated[bool, typer.Option("--no-refine", help="The network alone.")] = False,
    frames: FramesOption = None,
    camera: CameraOption = None,
    start: Annotated[str | None, typer.Option(
        "--off-by", "--start", metavar="DEG,CM", show_default=False,
        help="How wrong protocol C's start may be. Default: 10,25. Under torchrun not --start, which it takes for its "
             "own.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="Pairs per frame.")] = 1,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of all that is drawn.")] = 0,
    train: Annotated[str | None, typer.Option(
        "--train", metavar="SOURCE", show_default=False,
        help="Where the control without image learns the rig. Default: other frames of SOURCE.")] = None,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False, help="Settings of the registrar (YAML).")] = None,
    as_json: JsonOption = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
) -> None:
    """Measure the answers by a protocol of the literature, with the right image, a wrong one and none.

    Several GPUs or processes: torchrun --nproc-per-node=N -m crossi2p_core evaluate SOURCE ... Stopped half-way, the
    same call goes on.

    Exit code: 0 measured, however bad the figures; 2 the input cannot be used.
    """
    bounds = degrees_and_metres(start, "--start")
    if bounds is not None and protocol != "C":
        raise InputError(f"--start is of protocol C; protocol {protocol} gives no start, leave it out")
    opened = open_source(source, camera=camera)
    chosen = select_frames(opened, frames)
    trained_on = None if train is None else open_source(train, camera=camera)
    from ..evaluate.protocols import PROTOCOLS  # loads torch: not before the rest of the input is known to be usable
    from ..evaluate.report import table_in_words
    from ..evaluate.run import Wanted
    from ..evaluate.run import evaluate as run
    from ..train.distributed import joined_world

    wanted = Wanted(opened, chosen, protocol, out, weights, not no_refine, bounds or (10.0, 0.25), rounds, seed,
                    trained_on, config)
    with joined_world(device) as world, progress("Evaluating") as advance:
        metrics = run(wanted, world, advance)
    if metrics is not None:
        print(json.dumps(metrics, allow_nan=False) if as_json else
              f"{table_in_words(metrics, PROTOCOLS[protocol])}\nreport: {out / 'report.html'}")
