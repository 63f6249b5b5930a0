"""`crossi2p adapt`: weights for a drive of one's own, whose extrinsic nobody knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..config import load_config
from ..datasets import open_source
from ..datasets.selection import select_frames
from ..errors import InputError
from .options import CameraOption, FramesOption, SourceArgument, degrees_and_metres
from .records import plain
from .starts import Starts


def adapt(
    source: SourceArgument,
    out: Annotated[Path, typer.Option(
        "--out", metavar="DIR", show_default=False,
        help="Folder of the rounds; where some are done already, the work goes on.")],
    weights: Annotated[Path, typer.Option(
        "--weights", metavar="FILE", help="The checkpoint to teach on; default: the package's own.")] = Path("default"),
    frames: FramesOption = None,
    camera: CameraOption = None,
    init: Annotated[Path | None, typer.Option(
        "--init", metavar="FILE", show_default=False,
        help="Start from the T_cam_lidar of this YAML or JSON file instead of the recorded extrinsic.")] = None,
    search: Annotated[str | None, typer.Option(
        "--search", metavar="DEG,CM", show_default=False,
        help="How wrong the start may be. Default: the bounds of --perturb, else 2,20.")] = None,
    perturb: Annotated[str | None, typer.Option(
        "--perturb", metavar="DEG,CM", show_default=False,
        help="Make the recorded extrinsic wrong first, to see what that does.")] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of --perturb.")] = 0,
    from_scratch: Annotated[bool, typer.Option(
        "--from-scratch", help="Start from no extrinsic at all.")] = False,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False,
        help="Settings (YAML): rounds, steps, lr and so on, see crossi2p_core/adapt/config.py.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
) -> None:
    """Teach a network on a drive of one rig without knowing its extrinsic.

    In turn: calibrate with the network as it is, then train on what the frames agreed on, until that stands still.
    The recorded extrinsic is not learned from; it is the start unless --init or --from-scratch says otherwise. Of a
    source of several rigs the one that most frames have is taught, and frames of others are left out.

    Exit code: 0 done; 2 the input cannot be used, or the frames do not agree; 130 interrupted, to go on later.
    """
    starts = Starts.from_options(degrees_and_metres(perturb, "--perturb"), seed, init,
                                 degrees_and_metres(search, "--search"), from_scratch)
    opened = open_source(source, camera=camera)
    chosen = select_frames(opened, frames)
    from ..adapt.config import AdaptConfig
    from ..adapt.rounds import Stopped, write_report
    from ..adapt.rounds import adapt as adapt_rounds
    from ..calibrate.frames import read_frames
    from ..registrar import choose_device
    from ..train.config import SourceConfig
    from ..train.distributed import World

    settings = load_config(AdaptConfig, config)
    read = read_frames(opened, chosen, settings.calibrate.candidates, lambda *_: None)
    first = read.samples[0]
    learn_from = SourceConfig(path=source, camera=camera, frames=frames, rig=first.rig)
    world = World(device=choose_device(device))
    try:
        rounds = adapt_rounds(read, learn_from, starts.for_group(first), weights, out, world, settings,
                              lambda sentence: print(f"crossi2p: {sentence}", file=sys.stderr))
        write_report(out, rounds, plain)
    except Stopped as stopped:
        raise typer.Exit(128 + stopped.number) from stopped
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    learned = [one.weights for one in rounds if one.weights is not None]
    print(f"{len(rounds)} rounds; weights: {learned[-1]}; extrinsic: {out / 'extrinsic.yaml'} "
          f"({rounds[-1].extrinsic.status})")
