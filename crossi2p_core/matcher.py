"""The network at work: weights loaded once, then a rough extrinsic for any sample, with a prior or without."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .config import load_config
from .errors import InputError
from .model.batch import Batch
from .model.compiled import compile_forward
from .model.config import NetworkConfig
from .model.half import prefers_half
from .model.inputs import make_batch
from .model.network import Network
from .solve.from_matches import Said, joined, poses_from, said_of
from .solve.probabilistic.evidence import Evidence, of_frames, score
from .solve.probabilistic.hypotheses import Gravity
from .train import checkpoint
from .types import Prior, Sample

GLANCED = 3  # samples by which an estimate can be asked quickly about many poses


def _silent(poses: np.ndarray) -> np.ndarray:
    """What a network says that has no opinion."""
    return np.zeros(len(poses))


@dataclass(frozen=True)
class Estimate:
    """What the network makes of one sample, or of several of one rig.

    T_cam_lidar: (4, 4). covariance: (6, 6) as in `Registration`. margin: by how much the pose beats any other; near 0
    or below is a guess. matches, inliers: fine matches, and those that agree with the pose. error_px: their median
    reprojection error, at the network's image size. timings: seconds per stage. left_out: samples that the network
    could not take, and why. tops: (R, 4, 4) where the camera may be, the likelier first: before fine matches.
    guesses: (G, 4, 4) poses all over where it may be, as far as they were asked for, the best first. log_odds: of any
    poses (K, 4, 4) what the network says (K,), against knowing nothing, mean over the samples that it took. glance: the
    same by no more than GLANCED of these, for where many poses are asked about.
    """

    T_cam_lidar: np.ndarray
    covariance: np.ndarray
    margin: float
    matches: int
    inliers: int
    error_px: float
    timings: dict[str, float]
    left_out: tuple[str, ...] = ()
    tops: np.ndarray = field(default_factory=lambda: np.empty((0, 4, 4)))
    guesses: np.ndarray = field(default_factory=lambda: np.empty((0, 4, 4)))
    log_odds: Callable[[np.ndarray], np.ndarray] = _silent
    glance: Callable[[np.ndarray], np.ndarray] = _silent


class Matcher:
    """A trained network. Raises InputError for weights that cannot be read or do not fit."""

    def __init__(self, weights: str | Path, device: torch.device | str = "cpu", compiled: bool = False) -> None:
        """compiled: by torch.compile at the first estimate; where that fails, stderr says so and all goes on."""
        self.device = torch.device(device)
        network = load_network(weights)
        self.config = network.config
        # A convolution is faster over channels that lie side by side, on GPUs and CPUs alike.
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        if compiled:
            compile_forward(self.network, lambda sentence: print(f"crossi2p: {sentence}", file=sys.stderr))
        self._half = prefers_half(self.device)

    def estimate(self, sample: Sample, prior: Prior | None = None, gravity: Gravity | None = None,
                 seed: int = 0) -> Estimate:
        """The pose of one sample; within the bounds of the prior where there is one.

        Raises InputError for a sample that the network cannot take.
        """
        return self.estimate_jointly([sample], prior, gravity, seed)

    def estimate_jointly(self, samples: Sequence[Sample], prior: Prior | None = None, gravity: Gravity | None = None,
                         seed: int = 0, broad: int = 0) -> Estimate:
        """The one pose of samples that share a rig and a camera: what each says of it adds up. broad: so many guesses
        are told.

        Raises InputError where the network can take none of them.
        """
        frames, left_out, stages = [], [], np.zeros(3)
        for sample in samples:
            # 1. what the network takes
            times = [time.perf_counter()]
            try:
                batch = make_batch(sample, self.config, rng=np.random.default_rng(seed)).to(self.device)
            except InputError as error:
                left_out.append(str(error))
                continue
            times.append(time.perf_counter())
            # 2. what it says
            frames.append(self._said(batch))
            times.append(time.perf_counter())
            stages[:2] += np.diff(times)
        if not frames:
            raise InputError("; ".join(left_out) or "no sample was given to the network")
        # 3. the pose that follows
        begin = time.perf_counter()
        found = poses_from(joined(frames), prior, gravity, seed, broad)
        pose, covariance, tops, guesses = (part[0].double().cpu().numpy() for part in (
            found.T, found.covariance, found.tops, found.guesses))
        if not np.isfinite(pose).all():
            raise InputError(f"{samples[0].name}: the network's answer is not a number; use other weights")
        stages[2] = time.perf_counter() - begin
        named = dict(zip(("network input", "network", "network pose"), stages.tolist(), strict=True))
        return Estimate(pose, covariance, float(found.margin[0]), int(found.matches[0]), int(found.inliers[0]),
                        float(found.error_px[0]), named, tuple(left_out), tops, guesses,
                        partial(_log_odds, found.evidence[0]),
                        partial(_log_odds, of_frames(found.evidence[0], GLANCED)))

    @torch.inference_mode()
    def _said(self, batch: Batch) -> Said:
        """What the network says, once the device is done with it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            said = said_of(self.network(batch), batch, self.config.grid)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return said


@torch.inference_mode()
def _log_odds(evidence: Evidence, poses: np.ndarray) -> np.ndarray:
    """(K,) of poses (K, 4, 4), mean over frames."""
    T = torch.from_numpy(poses).to(evidence.superpoints)
    return score(evidence, T[None])[0].double().cpu().numpy() / (int(evidence.frame.max()) + 1)


def load_network(weights: str | Path) -> Network:
    """The network of a checkpoint, on the CPU. Raises InputError for weights that cannot be read or do not fit."""
    kept = checkpoint.load(weights, training=False)
    settings = kept.config.get("network") if isinstance(kept.config, dict) else None
    if not isinstance(settings, dict):
        raise InputError(f"{weights} does not say which network it is of; give a checkpoint of crossi2p train")
    network = Network(load_config(NetworkConfig, settings))
    checkpoint.load_weights(network, kept.weights, str(weights))
    return network
