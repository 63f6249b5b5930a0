"""`crossi2p train`: from recordings to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", show_default=False, help="Settings of the run (YAML).")],
    changes: Annotated[list[str] | None, typer.Argument(
        metavar="[KEY=VALUE]...", show_default=False,
        help="Changes of settings: lr=1e-3, gradnorm.mode=off, sources.0.weight=2, network=light.")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Refuse to begin anew: there must be a checkpoint to go on from.")] = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
) -> None:
    """Train the network. Where `out` holds a checkpoint, the run goes on from it exactly.

    Several GPUs or hosts: torchrun --nproc-per-node=N -m crossi2p_core train CONFIG. Ctrl-C keeps a checkpoint.

    Exit code: 0 all steps are done; 130 or 143 stopped by Ctrl-C or SIGTERM, to go on later; 2 the input cannot be
    used.
    """
    from ..train import checkpoint
    from ..train.assemble import assemble
    from ..train.distributed import joined_world
    from ..train.read_config import read_config

    settings = read_config(config, changes or ())
    if resume and checkpoint.latest(Path(settings.out) / "checkpoints") is None:
        raise InputError(f"{settings.out} has no checkpoint to go on from; leave --resume out to begin")
    with joined_world(device) as world:
        outcome = assemble(settings, world).run()
    if world.is_first:
        told = ", ".join(f"{name} {value:.3g}" for name, value in outcome.metrics.items())
        print(f"{outcome.step} of {settings.steps} steps done" + (f"; best checkpoint: {outcome.best}" if outcome.best
                                                               else "") + (f" ({told})" if told else ""))
    if not outcome.finished:
        raise typer.Exit(128 + (outcome.signal or 15))
