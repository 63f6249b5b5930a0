"""The flow network at work: weights loaded once, then from a rough extrinsic of any rig to a nearer one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .config import load_config
from .errors import InputError
from .model.batch import Batch, collate
from .model.config import FlowConfig
from .model.flow_inputs import make_flow_batch
from .model.flow_network import FlowNetwork
from .model.half import prefers_half
from .solve.from_flow import approach, support
from .train import checkpoint
from .types import Sample


@dataclass(frozen=True)
class Approach:
    """Where the flow network led.

    T_cam_lidar: (4, 4). covariance: (6, 6) as in `Registration`, if its matches did not err alike: a lower bound.
    matches, inliers: of the last drawing, and those that agree with the pose. error_px: their median error, at the
    network's image size. seconds: taken. left_out: samples that the network could not take, and why.
    """

    T_cam_lidar: np.ndarray
    covariance: np.ndarray
    matches: int
    inliers: int
    error_px: float
    seconds: float
    left_out: tuple[str, ...] = ()


class FlowAligner:
    """A trained flow network. Raises InputError for weights that cannot be read or do not fit."""

    def __init__(self, weights: str | Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = load_flow_network(weights).to(self.device).eval()
        self.config = self.network.config
        self._half = prefers_half(self.device)

    @torch.inference_mode()
    def approach(self, samples: Sequence[Sample], T_rough: np.ndarray) -> Approach:
        """The one pose of samples that share a rig and a camera, from T_rough (4, 4) T_cam_lidar on.

        Raises InputError where the network can take none of them, and where its answer is not a number.
        """
        begin = time.perf_counter()
        # 1. what the network takes
        batches: list[Batch] = []
        left_out: list[str] = []
        for sample in samples:
            try:
                batch = make_flow_batch(sample, self.config, T_rough, tight=True)
                if batches and batch.image.shape != batches[0].image.shape:
                    raise InputError(f"{sample.name}: its picture is of another size; one camera is asked about")
                batches.append(batch)
            except InputError as error:
                left_out.append(str(error))
        if not batches:
            raise InputError("; ".join(left_out) or "no sample was given to the flow network")
        batch = collate([_without_truth(each) for each in batches]).to(self.device)
        # 2. nearer, step by step
        start = torch.from_numpy(np.asarray(T_rough)).float()[None].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            found, matches = approach(self.network, batch, start, joint=True)
        T, covariance = found.T[0].double().cpu().numpy(), found.covariance[0].double().cpu().numpy()
        if not (np.isfinite(T).all() and np.isfinite(covariance).all()):
            raise InputError(f"{samples[0].name}: the flow network's answer is not a number; use other weights")
        # 3. what speaks for it
        count, agree, off_px = (float(part[0]) for part in support(matches, batch.K[:1], found.T))
        return Approach(T, covariance, int(count), int(agree), off_px, time.perf_counter() - begin, tuple(left_out))


def load_flow_network(weights: str | Path) -> FlowNetwork:
    """The flow network of a checkpoint, on the CPU. Raises InputError for weights that cannot be read or do not fit."""
    kept = checkpoint.load(weights, training=False)
    config = kept.config if isinstance(kept.config, dict) else {}
    if not is_flow(kept) or not isinstance(config.get("flow"), dict):
        raise InputError(f"{weights} is not of a flow network; give a checkpoint of crossi2p train with task: flow")
    network = FlowNetwork(load_config(FlowConfig, config["flow"]))
    checkpoint.load_weights(network, kept.weights, str(weights))
    return network


def is_flow(kept: checkpoint.Checkpoint) -> bool:
    """Whether a checkpoint is of a run with `task: flow`."""
    return isinstance(kept.config, dict) and kept.config.get("task") == "flow"


def _without_truth(batch: Batch) -> Batch:
    """Nobody may look it up, and samples with and without do not mix."""
    return replace(batch, T_cam_lidar=None)
