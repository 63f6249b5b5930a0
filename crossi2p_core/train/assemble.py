"""A training run put together from its settings: recordings opened, network made, validation set up."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from ..calibration_file import read_calibration
from ..datasets import Source, open_source
from ..datasets.selection import select_view
from ..datasets.source import Recalibrated
from ..errors import InputError
from ..matcher import load_network
from ..model.flow_network import FlowNetwork
from ..model.network import Network
from ..model.pretrained import load_image_weights
from . import checkpoint
from .config import AugmentConfig, SourceConfig, TrainConfig
from .distillation import DistillationTask
from .distributed import World
from .examples import Examples, FlowInput, NetworkInput
from .flow_task import FlowTask
from .frames import Frames, fingerprint
from .matching import MatchingTask
from .trainer import Trainer
from .validation import Validation


def assemble(settings: TrainConfig, world: World) -> Trainer:
    """A trainer that is ready to run. Raises InputError for settings that name what cannot be had."""
    sources, kept_back = _opened(settings.sources, "sources"), _opened(settings.validation, "")
    torch.manual_seed(settings.seed)  # of the first weights, the same in every process
    network: Network | FlowNetwork = (Network(settings.network) if settings.task == "matches"
                                      else FlowNetwork(settings.flow))
    if settings.image_weights is not None:
        told = load_image_weights(network.image_encoder, settings.image_weights)
        print(f"crossi2p: {told}", file=sys.stderr)
    if settings.weights is not None:
        checkpoint.load_weights(network, checkpoint.load(settings.weights, training=False).weights, settings.weights)
    learned = settings.image_weights is not None or settings.weights is not None
    if learned and network.image_encoder.backbone.norm == "batch":  # batches of a few pairs would unlearn statistics
        network.image_encoder.backbone.freeze_statistics()
    teacher = None if settings.teacher is None else load_network(settings.teacher)
    task = _task(settings, teacher)
    full_grown = replace(settings.augment, shift_grows_over=0)
    validate = Validation(_examples(settings, settings.validation, kept_back, settings.seed + 1, full_grown,
                                    control=True), task.judge, settings, world) if kept_back else None
    learned_from = _examples(settings, settings.sources, sources, settings.seed, settings.augment, teacher)
    return Trainer(settings, network, task, learned_from, world, validate, fingerprint(settings.sources, sources))


def _task(settings: TrainConfig, teacher: Network | None) -> MatchingTask | FlowTask:
    """What is learned."""
    if settings.task == "flow":
        return FlowTask(settings.starts)
    if teacher is None:
        return MatchingTask(settings.network, settings.view_pairs, settings.validation_poses)
    return DistillationTask(settings.network, teacher, settings.labels == "recorded", settings.view_pairs,
                            settings.validation_poses)


def _examples(settings: TrainConfig, configs: tuple[SourceConfig, ...], sources: list[Source], seed: int,
              changes: AugmentConfig, teacher: Network | None = None, control: bool = False) -> Examples:
    cache = settings.cache_mb * 1_000_000 // max(1, settings.workers)
    frames = Frames(sources, [one.weight for one in configs], seed, cache)
    if settings.task == "flow":
        return Examples(frames, FlowInput(settings.flow, settings.starts), settings.flow.size, changes, control=control)
    taught_by = None if teacher is None else teacher.config
    size = settings.network.size if taught_by is None else covering(settings.network.size, taught_by.size)
    return Examples(frames, NetworkInput(settings.network, taught_by), size, changes,
                    teacher is not None and settings.labels == "teacher", control)


def covering(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image that both can be made of, by the larger of each."""
    return max(one[0], other[0]), max(one[1], other[1])


def _opened(configs: tuple[SourceConfig, ...], needed: str) -> list[Source]:
    """The recordings; InputError for one that cannot be opened, and where there is none but one is needed."""
    if needed and not configs:
        raise InputError(f"the settings name no {needed}; write for example {needed}: [{{path: RECORDING}}]")
    return [_open(one) for one in configs]


def _open(one: SourceConfig) -> Source:
    chosen = select_view(open_source(one.path, camera=one.camera), one.frames)
    return chosen if one.extrinsic is None else Recalibrated(chosen, read_calibration(one.extrinsic), one.rig)
