"""The facade: load once, register many. What the command line, the ROS node and users call.

Where there is no prior the network and edges all around give the start, where it is wide the network; the flow network
leads from a rough start to a nearer one; the refinement has the last word.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .audition import SEVERAL, Between, Start, find_anywhere, find_start, spread, worth_showing
from .config import load_config, option
from .errors import InputError
from .flow_aligner import FlowAligner
from .geometry import se3
from .matcher import Estimate, Matcher
from .preference import as_registration, better_of, led_on, noting, summed
from .refine.align import align
from .refine.config import RefineConfig
from .refine.prepare import Prepared
from .sweep import GUESSES
from .types import Prior, Registration, Sample
from .weights import find_flow_weights, find_weights

MOST_LOOKED_AT = 20  # samples of one rig that the network looks at, spread over all of them
ROUGH = 1.2, 0.12  # degrees and m: bounds of a prior up to which the refinement needs no help


@dataclass(frozen=True)
class RegistrarConfig:
    """All settings of a registration."""

    refine: RefineConfig = field(default_factory=RefineConfig)
    weights: str | None = None  # a checkpoint of `crossi2p train`; empty: the package's own; none: no network at all
    flow: str | None = None  # likewise of a run with `task: flow`, which gets rough guesses nearer; none: no such one
    compile: bool = False  # the network by torch.compile: the first registration takes minutes, the others are faster
    trusted_deg: float = option(5.0, low=0.0, high=180.0)  # a prior within these bounds needs no network
    trusted_m: float = option(0.25, low=0.0, high=1000.0)


class Registrar:
    """Finds where a camera sits relative to a LiDAR.

    config: a RegistrarConfig, a mapping, the path of a YAML file, or None for the defaults.
    device: `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`. Raises InputError for what cannot be had.
    """

    def __init__(self, config: RegistrarConfig | Mapping[str, Any] | str | Path | None = None,
                 device: str = "auto", weights: str | Path | None = None) -> None:
        """weights: instead of those that the config names. Named ones are read at once, the package's own when needed.
        """
        self.config = config if isinstance(config, RegistrarConfig) else load_config(RegistrarConfig, config)
        self.device = choose_device(device)
        named = weights if weights is not None else self.config.weights
        self._weights = find_weights(named)
        self._matcher = None if named is None else self._load()
        self._flow_weights = None if self._weights is None else find_flow_weights(self.config.flow)
        self._flow = None if self.config.flow is None or self._flow_weights is None else self._load_flow()

    @property
    def has_network(self) -> bool:
        """Whether there are weights; they may not have been read yet."""
        return self._weights is not None

    @property
    def matcher(self) -> Matcher | None:
        """The network, read by now; None without weights. Raises InputError for weights that cannot be read."""
        if self._matcher is None:
            self._matcher = self._load()
        return self._matcher

    def register(self, sample: Sample, prior: Prior | np.ndarray | None = None) -> Registration:
        """The extrinsic of one sample.

        prior: a guess with its bounds, a bare (4, 4) T_cam_lidar (bounds 2 deg / 0.2 m), or None: no guess at all where
        there is a network, or no recorded extrinsic, else that one. Raises InputError for one that is no rigid
        transform, and where none is given and neither network nor edges have an answer; a frame that cannot be
        registered is no error but a Registration with status `failed`, the start handed on.
        """
        return self.register_joint([sample], prior)

    def register_joint(self, samples: Sequence[Sample], prior: Prior | np.ndarray | None = None,
                       prepared: Prepared | None = None) -> Registration:
        """One extrinsic for several samples that share a rig; prior and errors as in `register`. prepared: of this
        prior, where samples are registered several times in different company."""
        _check_one_rig(samples)
        # 1. the guess, as far as there is one
        if prior is None and (self.has_network or samples[0].T_cam_lidar is None):
            return self.register_anywhere(samples)
        given = _as_prior(prior, samples[0])
        # 2. from there by direct alignment, which also judges; the network has nothing to add to a near guess, nor to
        # what several frames agree on
        near = self._aligned(samples, given, prepared)
        if not self.asks_network(given) or (near.status == "ok" and len(samples) >= SEVERAL):
            return near
        # 3. from where the network thinks; that counts where it is sure of it, and better
        assert self.matcher is not None
        try:
            estimate = self.matcher.estimate_jointly(spread(samples, MOST_LOOKED_AT), given)
        except InputError as error:
            return noting(near, f"the network has no answer: {error}")
        start = find_start(samples, estimate, self.config.refine, self.device)
        return better_of(near, self._from(start, samples, estimate), given)

    def register_anywhere(self, samples: Sequence[Sample]) -> Registration:
        """One extrinsic for samples of one rig where nobody has a guess: the recorded ones are not looked at. Errors as
        in `register`."""
        _check_one_rig(samples)
        begin = time.perf_counter()
        estimate, why = self._thought_of(samples)
        start = find_anywhere(samples, estimate, self.config.refine, self.device, why)
        looked = time.perf_counter() - begin - (0.0 if estimate is None else sum(estimate.timings.values()))
        found = self._from(start, samples, estimate)
        found = replace(found, timings={**found.timings, "look around": looked})
        return noting(found, why) if why and not start.doubt else found

    def guess(self, samples: Sequence[Sample], between: Between = lambda: None) -> Start:
        """Where samples of one rig seem to have their camera. between: called from time to time; what it raises ends
        the search. Raises InputError where neither network nor edges have an answer."""
        _check_one_rig(samples)
        estimate, why = self._thought_of(samples)
        return find_anywhere(samples, estimate, self.config.refine, self.device, why, between)

    def asks_network(self, prior: Prior | None) -> bool:
        """Whether the network has a say from such a prior; the refinement gets there from a near one by itself."""
        near = (prior is not None and prior.max_deg <= self.config.trusted_deg
                and prior.max_m <= self.config.trusted_m)
        return self.has_network and not near

    def _thought_of(self, samples: Sequence[Sample]) -> tuple[Estimate | None, str]:
        """What the network says; None without a network, and with the reason in words where it has no answer."""
        if self.matcher is None:
            return None, ""
        try:
            shown = spread(worth_showing(samples, self.config.refine), MOST_LOOKED_AT)
            return self.matcher.estimate_jointly(shown, broad=GUESSES), ""
        except InputError as error:
            return None, f"the network has no answer: {error}"

    def _from(self, start: Start, samples: Sequence[Sample], estimate: Estimate | None) -> Registration:
        """By direct alignment from a start, as sure as that is."""
        found = self._aligned(samples, start.prior)
        if estimate is not None:
            found = replace(found, timings=summed(estimate.timings, found.timings))
        return _doubting(found, estimate, start)

    def _aligned(self, samples: Sequence[Sample], prior: Prior, prepared: Prepared | None = None) -> Registration:
        """By direct alignment from a prior; from a rough one also from where the flow network leads, if that fits
        better."""
        near = align(samples, prior, self.config.refine, self.device, prepared)
        if near.status == "ok" or self._flow_weights is None or not _is_rough(prior):
            return as_registration(near)
        if self._flow is None:
            self._flow = self._load_flow()
        try:
            led = self._flow.approach(spread(samples, MOST_LOOKED_AT), np.asarray(prior.T_cam_lidar))
        except InputError as error:
            return noting(as_registration(near), f"the flow network has no answer: {error}")
        return led_on(near, led, prior, lambda start: align(samples, start, self.config.refine, self.device))

    def _load_flow(self) -> FlowAligner:
        assert self._flow_weights is not None
        return FlowAligner(self._flow_weights, self.device)

    def _load(self) -> Matcher | None:
        return None if self._weights is None else Matcher(self._weights, self.device, self.config.compile)


def _doubting(found: Registration, estimate: Estimate | None, start: Start) -> Registration:
    """An answer is only as sure as its start: the refinement finds the best pose nearby, right or wrong."""
    if estimate is not None and estimate.left_out:
        found = noting(found, f"the network left out {'; '.join(estimate.left_out)}")
    if not start.doubt:
        return found
    return noting(replace(found, status="uncertain" if found.status == "ok" else found.status), f"but {start.doubt}")


def _is_rough(prior: Prior) -> bool:
    """Whether the flow network may have something to add."""
    return prior.max_deg > ROUGH[0] or prior.max_m > ROUGH[1]


def choose_device(name: str) -> torch.device:
    """The torch device of a name, checked to exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"the device '{name}' is not known; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"the device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"the device '{name}' is not there: torch sees {torch.cuda.device_count()} CUDA devices; "
                         "use auto or cpu, or install a CUDA build of torch and its driver")
    return device


def _check_one_rig(samples: Sequence[Sample]) -> None:
    """Raise InputError unless there is a sample and all have one camera."""
    if not samples:
        raise InputError("no sample was given to register; choose at least one frame")
    first = samples[0]
    for other in samples[1:]:
        a, b = first.camera, other.camera
        same = (a.width, a.height, a.model) == (b.width, b.height, b.model)
        same &= np.array_equal(a.K, b.K) and np.array_equal(a.distortion, b.distortion)
        if other.rig != first.rig or not same:
            raise InputError(f"{first.name} and {other.name} are of different rigs or cameras and have no extrinsic in "
                             "common; register each rig for itself")


def _as_prior(prior: Prior | np.ndarray | None, sample: Sample) -> Prior:
    """A checked prior, whatever form it came in."""
    if prior is None:
        assert sample.T_cam_lidar is not None
        prior = sample.T_cam_lidar
    if not isinstance(prior, Prior):
        prior = Prior(np.asarray(prior))
    if not (0 <= prior.max_deg <= 180 and 0 <= prior.max_m < 1000):
        raise InputError(f"the prior's bounds, {prior.max_deg} deg and {prior.max_m} m, must be 0 or more, at most "
                         "180 deg and below 1000 m")
    return Prior(se3.check_transform(prior.T_cam_lidar, f"the prior of {sample.name}"), prior.max_deg, prior.max_m)
