"""A pose from a dense match likelihood: guesses from few matches, judged by all superpoints, the best ones polished.

RANSAC on the best match of each superpoint throws away that the second or fifth best is often the right one. Here
matches are drawn by their probability and a guess is judged by the likelihood of all superpoints at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...types import Prior
from .ascent import climb, hold_of, peak_of, sharpen
from .evidence import Evidence, coarser, log_odds, pick, score
from .guesses import guess_around, guess_by_one, guess_by_two

PAIRS, SINGLES, AROUND = 60_000, 5000, 1500  # drawn with no knowledge, with gravity, and with a prior
NARROW_DEG, NARROW_M = 20.0, 2.0  # bounds of a prior within which poses drawn evenly suffice
QUICK_POINTS, QUICK_BEST = 96, 240  # superpoints of the first, quick look at all guesses, and guesses that survive it
QUICK_FRAMES = 4  # times as many superpoints where as many scans are looked at together
SEEDS, FINALISTS = 16, 4  # guesses that climb, coarsely and finely
NEAR_RAD, NEAR_M = math.radians(4.0), 1.0  # guesses nearer to each other than both climb to the same place
APART_RAD, APART_M = math.radians(12.0), 3.0  # answers nearer to each other than both are one answer
TOPS = 4  # of what the search ended in, told
BROAD_BEST, BROAD_RAD, BROAD_M = 3000, math.radians(3.0), 0.8  # of the guesses that are told where many are asked for
COARSE_STEPS, FINE_STEPS, LAST_STEPS = 4, 4, 8


@dataclass(frozen=True)
class Gravity:
    """Which way is up. up: (3,) unit vector in the camera frame along the LiDAR's z axis; sigma_deg: how sure."""

    up: Tensor
    sigma_deg: float = 2.0


@dataclass(frozen=True)
class PoseEstimate:
    """B poses by match likelihood.

    T: (B, 4, 4) T_cam_lidar. score: (B,) log odds of the pose, see `evidence.score`. margin: (B,) by how much it
    beats the best pose that is another one (APART_RAD, APART_M), or knowing nothing, whose log odds are 0; near 0 or
    below it is a guess. covariance: (B, 6, 6) as in `Registration`: left perturbation exp(xi) T, xi = (rotation rad,
    translation m) in the camera frame; it trusts the maps to be probabilities. tops: of each pair, what the search
    ended in, (R, 4, 4), the best first: up to TOPS poses near to that and as many apart. evidence: of each pair, by
    which any pose can be scored. guesses: of each pair (G, 4, 4) poses, as many as were asked for, the best first.
    """

    T: Tensor
    score: Tensor
    margin: Tensor
    covariance: Tensor
    tops: tuple[Tensor, ...]
    evidence: tuple[Evidence, ...]
    guesses: tuple[Tensor, ...]


@torch.no_grad()
def find_pose(log_likelihood: Tensor, log_not_in_view: Tensor, superpoints: Tensor, K: Tensor,
              prior: Prior | None = None, gravity: Gravity | None = None, seed: int = 0,
              valid: Tensor | None = None, recorded: Tensor | None = None, stride: float = 8,
              reach_m: float = 15.0, frame: Tensor | None = None, broad: int = 0) -> PoseEstimate:
    """The pose that the maps agree on.

    log_likelihood: (B, M, h, w) of each superpoint being seen in each superpixel, up to a factor, log_not_in_view:
    (B, M) of it being seen in none. superpoints: (B, M, 3) m, LiDAR frame; K: (B, 3, 3), pixels of the image. prior:
    the answer of every pair lies within its bounds. gravity: the tilt is known. valid: (B, M) bool, None: all.
    recorded: (B, h, w) bool, the superpixels that the recording fills, from the top left, None: all; what lies beyond
    is not in view. reach_m: the camera is not farther from the LiDAR. frame: (M,), see `Evidence`. broad: up to so many
    guesses are told, apart from each other (BROAD_RAD, BROAD_M), the best first. The same seed gives the same answer,
    on one device. This is for inference: it waits for the device.
    """
    found, evidences = [], []
    with torch.autocast(superpoints.device.type, enabled=False):
        for i in range(len(superpoints)):
            one = slice(i, i + 1)
            maps = log_likelihood[one]
            if recorded is not None:
                maps = maps[..., :_extent(recorded[i].any(1)), :_extent(recorded[i].any(0))]
            evidence = log_odds(maps, log_not_in_view[one], superpoints[one], K[one], stride,
                                None if valid is None else valid[one], frame)
            found.append(_find(evidence, prior, gravity, reach_m, torch.Generator().manual_seed(seed), broad))
            evidences.append(evidence)
    T, value, margin, covariance, tops, guesses = zip(*found, strict=True)
    return PoseEstimate(torch.stack(T), torch.stack(value), torch.stack(margin), torch.stack(covariance), tops,
                        tuple(evidences), guesses)


def _find(evidence: Evidence, prior: Prior | None, gravity: Gravity | None, reach_m: float, generator: torch.Generator,
          broad: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pose, score, margin, covariance, tops and guesses of one pair."""
    rough = coarser(evidence)
    hold = None if gravity is None else hold_of(gravity.up, math.radians(gravity.sigma_deg), evidence.superpoints)
    # 1. guesses, many of them wrong
    guesses = _guesses(evidence, prior, gravity, reach_m, generator)
    # 2. the better ones, by a few superpoints first and then by all
    some = _telling(rough, QUICK_POINTS * min(QUICK_FRAMES, int(evidence.frame.max()) + 1))
    quick = score(pick(rough, some), guesses[None], smooth=False)[0]
    told = _broadly(rough, guesses[_best(quick, BROAD_BEST if broad else 0)], broad)
    guesses = guesses[_best(quick, QUICK_BEST)]
    seeds = guesses[_chosen(guesses, score(rough, guesses[None], smooth=False)[0], SEEDS)]
    # 3. uphill
    seeds = _within(climb(rough, seeds, COARSE_STEPS, hold), seeds, prior)
    seeds = seeds[_chosen(seeds, score(rough, seeds[None])[0], FINALISTS)]
    seeds = _within(climb(evidence, seeds, FINE_STEPS, hold), seeds, prior)
    tops, _ = sharpen(evidence, seeds, generator, hold)
    tops = _within(tops, seeds, prior)
    # 4. the highest, the middle of the hill it stands on, and how far it rises above any other
    value = score(evidence, tops[None])[0]
    best = tops[value.argmax()][None]
    middle, covariance = peak_of(evidence, _within(climb(evidence, best, LAST_STEPS, hold), best, prior)[0], generator,
                                 hold=hold)
    T = _higher(evidence, torch.cat([_within(middle[None], best, prior), best]))
    height = score(evidence, T[None, None])[0, 0]
    others = torch.cat([value, score(evidence, guesses[None], smooth=False)[0]])
    apart = ~_close(torch.cat([tops, guesses]), T[None], APART_RAD, APART_M)[:, 0]
    margin = height - torch.where(apart, others, 0.0).max().clamp(min=0)
    return T, height, margin, covariance, tops[_chosen(tops, value, TOPS)], told


def _broadly(rough: Evidence, guesses: Tensor, count: int) -> Tensor:
    """Up to `count` of guesses (H, 4, 4) apart from each other, the best first."""
    if not len(guesses):
        return guesses
    return guesses[_distinct(guesses, score(rough, guesses[None], smooth=False)[0], count, BROAD_RAD, BROAD_M)]


def _chosen(T: Tensor, value: Tensor, count: int) -> list[int]:
    """Indices of the best of poses (H, 4, 4), best first: up to `count` that are not near to each other, and as many
    apart, lest all of them stand on one ridge."""
    near, apart = _distinct(T, value, count, NEAR_RAD, NEAR_M), _distinct(T, value, count, APART_RAD, APART_M)
    return sorted({*near, *apart}, key=lambda index: -float(value[index]))


def _higher(evidence: Evidence, T: Tensor) -> Tensor:
    """The one of poses (H, 4, 4) that scores highest, the first of equals."""
    return T[int(score(evidence, T[None])[0].argmax())]


def _guesses(evidence: Evidence, prior: Prior | None, gravity: Gravity | None, reach_m: float,
             generator: torch.Generator) -> Tensor:
    """(H, 4, 4) poses to be judged, at least one; within the bounds of the prior where there is one."""
    if prior is not None and prior.max_deg <= NARROW_DEG and prior.max_m <= NARROW_M:
        return guess_around(prior, AROUND, evidence.superpoints, generator)
    if gravity is None:
        T = guess_by_two(evidence, PAIRS, reach_m, generator)
    else:
        T = guess_by_one(evidence, SINGLES, reach_m, gravity.up, math.radians(gravity.sigma_deg), generator)
    if prior is not None:
        return torch.cat([guess_around(prior, AROUND, evidence.superpoints, generator), T[_allowed(T, prior)]])
    return T if len(T) else torch.eye(4).to(T)[None]


def _telling(evidence: Evidence, count: int) -> Tensor:
    """Indices of the superpoints whose maps have the highest peaks."""
    peak = evidence.inside[0].flatten(1).amax(dim=1) - evidence.outside[0]
    return peak.topk(min(count, len(peak))).indices


def _distinct(T: Tensor, value: Tensor, count: int, rad: float, metres: float) -> list[int]:
    """Indices of up to `count` poses (H, 4, 4), best value first, none close to a better one."""
    order = value.argsort(descending=True)
    near = _close(T[order], T[order], rad, metres).cpu().numpy()
    left = np.ones(len(near), dtype=bool)
    kept: list[int] = []
    while left.any() and len(kept) < count:
        kept.append(int(left.argmax()))
        left &= ~near[kept[-1]]
        left[kept[-1]] = False
    return order[kept].tolist()


def _within(T: Tensor, before: Tensor, prior: Prior | None) -> Tensor:
    """T (H, 4, 4), or the pose before where a step has left the bounds of the prior."""
    return T if prior is None else torch.where(_allowed(T, prior)[:, None, None], T, before)


def _allowed(T: Tensor, prior: Prior) -> Tensor:
    """(H,) bool: within the bounds of the prior, which count for the rotation and for the vector t of T."""
    guess = torch.as_tensor(prior.T_cam_lidar).to(T)
    near = (T[:, :3, 3] - guess[:3, 3]).norm(dim=-1) <= prior.max_m * 1.001
    return near & _close(T, guess[None], math.radians(prior.max_deg) * 1.001, math.inf)[:, 0]


def _close(T: Tensor, other: Tensor, rad: float, metres: float) -> Tensor:
    """(H, G) bool: poses T (H, 4, 4) and other (G, 4, 4) differ by less than both. Rounds angles to 0.05 deg."""
    cosine = 0.5 * (T[:, :3, :3].flatten(1) @ other[:, :3, :3].flatten(1).mT - 1)
    return (cosine > math.cos(min(rad, math.pi)) - 1e-6) & (torch.cdist(_centre(T), _centre(other)) < metres)


def _best(value: Tensor, count: int) -> Tensor:
    return value.topk(min(count, len(value))).indices


def _centre(T: Tensor) -> Tensor:
    """(..., 3) where the camera is, LiDAR frame."""
    return -(T[..., :3, :3] * T[..., :3, 3:]).sum(-2)


def _extent(filled: Tensor) -> int:
    """Up to where something is True in filled (n,), at least 3: at half the resolution two are left to interpolate."""
    places = torch.arange(1, len(filled) + 1, device=filled.device)
    return max(3, int((places * filled).max()))
