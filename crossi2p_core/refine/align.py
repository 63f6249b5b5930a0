"""Direct alignment of images and clouds: one frame or many of one rig, no learning."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from ..types import Prior, Sample
from .climb import Bounds, Candidates
from .config import DriveConfig, RefineConfig
from .explore import explore
from .image_edges import FINE
from .judge import Evidence, judge
from .lidar_edges import CLASSES, LEFT, RIGHT
from .objective import UNIT, FrameProblem, move, score, seen_from, step_between, weighed, weight_in_view
from .prepare import Prepared, overlap
from .present import doubt
from .residuals import Residuals, measure
from .search import driving_too, fine_search, settle, straightened, wide_search
from .uncertainty import combine_with_prior, left_covariance, pose_covariance

_FITS = 0.5  # share of the best score nearby that an answer keeps


@dataclass(frozen=True)
class Alignment:
    """A judged alignment; fields as in `Registration`. evidence: what the judgement rests on. frames: how many were
    usable."""

    T_cam_lidar: np.ndarray
    covariance: np.ndarray
    status: str
    reason: str
    cost_before: float
    cost_after: float
    residuals: Residuals
    overlap: float
    doubt_before: float = float("nan")
    evidence: Evidence | None = None
    speeds: tuple[float, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    frames: int = 0


def align(samples: Sequence[Sample], prior: Prior, config: RefineConfig, device: torch.device,
          prepared: Prepared | None = None) -> Alignment:
    """The extrinsic near `prior` that lays the clouds' edges onto the images'; frames must share one rig.

    prepared: where frames are aligned several times, what has been prepared from this prior.
    Frames without light or structure are left out and named; where none is left, the status is `failed` and the
    prior is handed on. The answer is never worse than the prior by the score: it is the prior then.
    """
    # 1. edges of clouds and images
    begin = time.perf_counter()
    frames, unusable = _prepare(samples, prepared or Prepared(prior), config, device)
    if not frames:
        return _failed(samples[0], prior, "; ".join(unusable))
    ready = time.perf_counter()
    # 2. the best pose within the prior's bounds
    start = torch.from_numpy(np.asarray(prior.T_cam_lidar, dtype=np.float64)).to(device)
    bounds = _bounds(prior, len(frames), config)
    at_start = [seen_from(f, start) for f in frames]
    drive = config.drive if config.drive.enabled else None
    found = _search(at_start, start, bounds, config, drive)
    found, frames = settle(frames, start, found, bounds, config.search, config.image.scales_px, drive)
    searched = time.perf_counter()
    # 3. what speaks for it, and whether that is enough
    agreed = _agree(frames, at_start, start, found, bounds, config, drive)
    at_found = straightened(frames, agreed.candidate)
    evidence = _gather(at_found, agreed, bounds, config)
    verdict = judge(evidence)
    T = start if verdict.keep_start else agreed.candidate.T[0]
    residuals = measure(at_start if verdict.keep_start else at_found, T, samples[0].camera)
    T_cam_lidar = T.cpu().numpy()
    failed = verdict.status == "failed"
    covariance = _bounds_covariance(prior) if failed else left_covariance(evidence.covariance, T_cam_lidar)
    timings = {"prepare": ready - begin, "search": searched - ready, "judge": time.perf_counter() - searched}
    return Alignment(
        T_cam_lidar, covariance, verdict.status,
        "; ".join([verdict.reason, *unusable]), -evidence.score_start,
        -(evidence.score_start if verdict.keep_start else evidence.score_found), residuals,
        overlap(samples[0].cloud, samples[0].camera, T_cam_lidar),
        doubt(at_start, start, config.image.scales_px[0], config.seed), evidence,
        tuple(agreed.candidate.drive.speed[0].tolist()) if drive is not None else (), timings, len(frames))


def _prepare(samples: Sequence[Sample], prepared: Prepared, config: RefineConfig,
             device: torch.device) -> tuple[list[FrameProblem], list[str]]:
    """Usable frames, and in words why others are not."""
    with ThreadPoolExecutor(min(len(samples), os.cpu_count() or 1)) as pool:  # numpy and cv2 let other threads run
        outcomes = list(pool.map(lambda sample: prepared.frame(sample, config, device), samples))
    return [o for o in outcomes if isinstance(o, FrameProblem)], [o for o in outcomes if isinstance(o, str)]


def _bounds(prior: Prior, frames: int, config: RefineConfig) -> Bounds:
    """The prior in the search's units; the score is a mean over frames, and many of them outvote it."""
    return Bounds(prior.max_deg, 10 * prior.max_m, config.search.prior / frames)


def _search(frames: list[FrameProblem], start: torch.Tensor, bounds: Bounds, config: RefineConfig,
            drive: DriveConfig | None) -> Candidates:
    """The best candidate (one), from random poses where the bounds are wide, else from the start."""
    poses = start[None]
    if bounds.deg > config.search.narrow_deg:
        few = frames[:: max(1, len(frames) // config.search.wide_frames)][: config.search.wide_frames]
        poses = wide_search(few, start, bounds, config)
    return fine_search(frames, start, driving_too(poses, len(frames), drive), bounds, config.search,
                       config.image.scales_px, drive)


@dataclass(frozen=True)
class _Agreed:
    """Where images and prior meet: the candidate (one), its step (6,) from the start with covariance (6, 6), and the
    scores there and at the start."""

    candidate: Candidates
    step: np.ndarray
    covariance: np.ndarray
    score: float
    score_start: float


def _agree(frames: list[FrameProblem], at_start: list[FrameProblem], start: torch.Tensor, found: Candidates,
           bounds: Bounds, config: RefineConfig, drive: DriveConfig | None) -> _Agreed:
    """Weigh the pose found, and with few frames its rivals nearby, against the prior.

    The mean of all rivals errs less than the best of them, unless they are so far apart that none is near their mean.
    A prior from far off pulls away from both, along what is weakly known at the answer and well known elsewhere: a wide
    one has no say beside a dense scan, but in the climb. What rows far apart leave open, it still tells.
    """
    candidates, scatter = [found], np.zeros((6, 6))
    alone = _is_wide(bounds, config) and not any(frame.raster for frame in frames)
    if len(frames) <= config.search.explored_frames:
        nearby = explore(frames, start, found, bounds, config.search, config.image.scales_px, config.seed, drive)
        candidates, scatter = [nearby.mean, nearby.best], nearby.scatter
    best = candidates[-1]
    enough = _FITS * _mean_score(straightened(frames, best), best.T[0], config.image.scales_px[:FINE])
    for candidate in candidates:
        agreed = _weigh(frames, at_start, start, candidate, scatter, bounds, config, drive, alone)
        if agreed.score > max(agreed.score_start, enough):
            break
    return agreed


def _is_wide(bounds: Bounds, config: RefineConfig) -> bool:
    """Whether a prior tells less of either part of the pose than the frames do."""
    return bounds.deg > config.search.narrow_deg and bounds.dm > 10 * config.search.narrow_m


def _weigh(frames: list[FrameProblem], at_start: list[FrameProblem], start: torch.Tensor, candidate: Candidates,
           scatter: np.ndarray, bounds: Bounds, config: RefineConfig, drive: DriveConfig | None,
           alone: bool) -> _Agreed:
    """The pose between one candidate and the start, by how sure either is, alone: the candidate itself; the start may
    assume the same drive."""
    fine = config.image.scales_px[:FINE]
    step = step_between(start, candidate.T)[0]
    information = bounds.strength / bounds.spread(step) ** 2
    covariance = scatter + pose_covariance(frames, candidate, fine, information, drive)
    agreed = step.cpu().numpy()
    if not alone:
        agreed, covariance = combine_with_prior(agreed, covariance, bounds)
    T = move(start[None], torch.from_numpy(agreed)[None].to(start))
    score_start = max(_mean_score(at_start, start, fine), _mean_score(straightened(at_start, candidate), start, fine))
    return _Agreed(Candidates(T, candidate.drive), agreed, covariance,
                   _mean_score(straightened(frames, candidate), T[0], fine), score_start)


def _gather(frames: list[FrameProblem], agreed: _Agreed, bounds: Bounds, config: RefineConfig) -> Evidence:
    """What the judge looks at; frames without the vehicle's motion."""
    T = agreed.candidate.T[0]
    upright = [weighed(frame, [float(kind in (LEFT, RIGHT)) for kind in range(CLASSES)]) for frame in frames]
    return Evidence(
        score_start=agreed.score_start,
        score_found=agreed.score,
        response=agreed.score / _mean_weight(frames, T),
        sides=_mean_score(upright, T, config.image.scales_px[:FINE]) / _mean_weight(upright, T),
        step=agreed.step,
        covariance=agreed.covariance,
        bounds=(bounds.deg, bounds.dm),
    )


def _mean_score(frames: list[FrameProblem], T: torch.Tensor, sigmas: tuple[float, ...]) -> float:
    """The criterion itself: mean edge strength over frames and fine scales at one pose (4, 4)."""
    values = [score(frame, T[None], sigma)[0] for frame in frames for sigma in sigmas]
    return float(torch.stack(values).mean())


def _mean_weight(frames: list[FrameProblem], T: torch.Tensor) -> float:
    """Mean weight of the edges in view: the score of edges that all respond with 1."""
    return max(1e-6, sum(weight_in_view(frame, T) for frame in frames) / len(frames))


def _bounds_covariance(prior: Prior) -> np.ndarray:
    """(6, 6) of a prior that nothing better has come of."""
    return np.diag((np.array([prior.max_deg] * 3 + [10 * prior.max_m] * 3) * np.array(UNIT)) ** 2)


def _failed(sample: Sample, prior: Prior, reason: str) -> Alignment:
    """The prior handed on, with its own bounds as uncertainty."""
    T = np.asarray(prior.T_cam_lidar, dtype=np.float64)
    return Alignment(T, _bounds_covariance(prior), "failed", reason, float("nan"), float("nan"),
                     Residuals(0, 0, float("nan")), overlap(sample.cloud, sample.camera, T))
