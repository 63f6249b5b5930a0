"""`crossi2p train`: from recordings to weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..calibration_file import read_calibration
from ..datasets import Source, open_source
from ..datasets.source import Recalibrated
from ..errors import InputError
from .selection import select_view

if TYPE_CHECKING:
    from ..train.config import AugmentConfig, SourceConfig, TrainConfig
    from ..train.distributed import World
    from ..train.trainer import Trainer


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
    from ..train.distributed import joined_world
    from ..train.read_config import read_config

    settings = read_config(config, changes or ())
    if resume and checkpoint.latest(Path(settings.out) / "checkpoints") is None:
        raise InputError(f"{settings.out} has no checkpoint to go on from; leave --resume out to begin")
    with joined_world(device) as world:
        outcome = _trainer(settings, world).run()
    if world.is_first:
        told = ", ".join(f"{name} {value:.3g}" for name, value in outcome.metrics.items())
        print(f"{outcome.step} of {settings.steps} steps done" + (f"; best checkpoint: {outcome.best}" if outcome.best
                                                               else "") + (f" ({told})" if told else ""))
    if not outcome.finished:
        raise typer.Exit(128 + (outcome.signal or 15))


def _trainer(settings: TrainConfig, world: World) -> Trainer:
    """Everything that the settings name, opened and put together."""
    import torch

    from ..model.network import Network
    from ..model.pretrained import load_image_weights
    from ..train import checkpoint
    from ..train.examples import Examples, NetworkInput
    from ..train.frames import Frames, fingerprint
    from ..train.matching import MatchingTask
    from ..train.trainer import Trainer
    from ..train.validation import Validation

    def examples(configs: tuple[SourceConfig, ...], sources: list[Source], seed: int,
                 changes: AugmentConfig) -> Examples:
        cache = settings.cache_mb * 1_000_000 // max(1, settings.workers)
        frames = Frames(sources, [one.weight for one in configs], seed, cache)
        return Examples(frames, NetworkInput(settings.network), settings.network.size, changes)

    sources, kept_back = _opened(settings.sources, "sources"), _opened(settings.validation, "")
    torch.manual_seed(settings.seed)  # of the first weights, the same in every process
    network = Network(settings.network)
    if settings.image_weights is not None:
        told = load_image_weights(network.image_encoder, settings.image_weights)
        print(f"crossi2p: {told}", file=sys.stderr)
    if settings.weights is not None:
        checkpoint.load_weights(network, checkpoint.load(settings.weights, training=False).weights, settings.weights)
    task = MatchingTask(settings.network, settings.view_pairs, settings.validation_poses)
    full_grown = replace(settings.augment, shift_grows_over=0)
    validate = Validation(examples(settings.validation, kept_back, settings.seed + 1, full_grown), task.judge, settings,
                          world) if kept_back else None
    learned_from = examples(settings.sources, sources, settings.seed, settings.augment)
    return Trainer(settings, network, task, learned_from, world, validate, fingerprint(settings.sources, sources))


def _opened(configs: tuple[SourceConfig, ...], needed: str) -> list[Source]:
    """The recordings; InputError for one that cannot be opened, and where there is none but one is needed."""
    if needed and not configs:
        raise InputError(f"the settings name no {needed}; write for example {needed}: [{{path: RECORDING}}]")
    return [_open(one) for one in configs]


def _open(one: SourceConfig) -> Source:
    chosen = select_view(open_source(one.path, camera=one.camera), one.frames)
    return chosen if one.extrinsic is None else Recalibrated(chosen, read_calibration(one.extrinsic))
