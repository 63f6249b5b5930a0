"""What is evaluated: refine alone, the network alone, both; each is asked with the right and with a wrong image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audition import SURE_MARGIN
from ..calibrate.observability import sigmas
from ..config import load_config
from ..errors import InputError
from ..matcher import Matcher
from ..model.config import COARSE_STRIDE
from ..model.inputs import make_batch
from ..registrar import Registrar, RegistrarConfig
from ..train.metrics import coarse_recall
from ..train.targets import targets_of
from ..types import Prior, Sample
from ..weights import NONE, find_flow_weights, find_weights

Array = np.ndarray
REFINE, NETWORK, BOTH = "refine", "network", "network + refine"
NEAR_CONTROL = (5.0, 0.5)  # degrees, metres: within what refine searches around the start that the control gives
Answer = dict[str, Any]
Method = Callable[[Sample, "Prior | None"], Answer]


@dataclass(frozen=True)
class Methods:
    """Methods by name. matcher: the network, where there is one."""

    run: dict[str, Method]
    matcher: Matcher | None

    def recall(self, sample: Sample) -> float | None:
        """Share of superpoints in view whose best superpixel is right to within one; None without a network, or without
        any in view."""
        return None if self.matcher is None else _recall(self.matcher, sample)


def named_weights(weights: str | Path | None, config: str | Path | None) -> Path | None:
    """The file of those given, else of those that the settings name, else of the package's own; None: no network."""
    return find_weights(weights if weights is not None else load_config(RegistrarConfig, config).weights)


def named_flow(config: str | Path | None) -> Path | None:
    """The file of the flow network that the settings name; None: there is none."""
    return find_flow_weights(load_config(RegistrarConfig, config).flow)


def load_methods(weights: str | Path | None, refine: bool, config: str | Path | None, device: str) -> Methods:
    """What can be asked.

    Raises InputError for weights or a device that cannot be used, and where neither network nor refine is left.
    """
    settings = replace(load_config(RegistrarConfig, config), weights=NONE)
    named = named_weights(weights, config)
    if named is None:
        if not refine:
            raise InputError("--no-refine leaves nothing to evaluate without a network; give --weights")
        return Methods({REFINE: _registered(Registrar(settings, device))}, None)
    whole = Registrar(settings, device, named)
    assert whole.matcher is not None
    run: dict[str, Method] = {NETWORK: _estimated(whole.matcher)}
    if refine:
        run |= {BOTH: _registered(whole), REFINE: _registered(Registrar(settings, device))}
    return Methods(run, whole.matcher)


def _registered(registrar: Registrar) -> Method:
    def ask(sample: Sample, prior: Prior | None) -> Answer:
        begin = time.perf_counter()
        if prior is None and not registrar.has_network:
            raise InputError("refine alone has no start: give --weights")
        found = registrar.register(sample, prior)
        return _answer(found.T_cam_lidar, found.covariance, found.status, found.reason, begin)
    return ask


def _estimated(matcher: Matcher) -> Method:
    def ask(sample: Sample, prior: Prior | None) -> Answer:
        begin = time.perf_counter()
        found = matcher.estimate(sample, prior)
        # within the bounds of a guess hardly any other pose is left to be beaten, which makes nobody sure
        sure = prior is None and found.margin >= SURE_MARGIN
        return _answer(found.T_cam_lidar, found.covariance, "ok" if sure else "uncertain",
                       f"the pose beats others by {found.margin:.1f}", begin)
    return ask


def _answer(T: Array, covariance: Array, status: str, reason: str, begin: float) -> Answer:
    """Plain numbers. sigma: one of the whole rotation (deg) and of the whole translation (m), None where unknown."""
    seconds = time.perf_counter() - begin
    sigma = sigmas(covariance, T)
    return {"T_cam_lidar": np.asarray(T).tolist(), "status": status, "reason": reason, "seconds": round(seconds, 4),
            "sigma": list(sigma) if np.isfinite(sigma).all() else None}


@torch.inference_mode()
def _recall(matcher: Matcher, sample: Sample) -> float | None:
    """None where no superpoint is in view."""
    batch = make_batch(sample, matcher.config).to(matcher.device)
    targets = targets_of(batch, matcher.config.grid)
    if not targets.visible.any():
        return None
    return float(coarse_recall(matcher.network(batch), targets, batch.image.shape[-1] // COARSE_STRIDE))
