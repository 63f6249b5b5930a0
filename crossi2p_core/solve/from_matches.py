"""From what the network says to poses: the coarse likelihood, its hills to a fraction of a cell, fine matches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from ..geometry import se3
from ..model.batch import Batch
from ..model.config import COARSE_STRIDE
from ..model.network import Matches
from ..types import Prior
from .map_places import places_near
from .probabilistic.evidence import Evidence, score
from .probabilistic.hypotheses import Gravity, PoseEstimate, find_pose
from .probabilistic.levenberg_marquardt import levenberg_marquardt
from .probabilistic.problem import MIN_DEPTH_M, make_problem, project

AGREE_PX = 16.0  # a match this close to where a pose sees its point is believed: two superpixels
LOST_PX = 40.0  # and one farther off than this has no say at all
TYPICAL_PX = 5.0  # scale of the robust loss (Cauchy's)
ROUNDS, ITERATIONS = 8, 4  # of weighing matches anew by their errors, and of Levenberg-Marquardt within each
FEWEST = 12  # matches that agree below which a coarser pose stands
LEAST_MASS = 0.02  # a map that holds less around a place says nothing of it
SHARPER = 0.7  # fine matches count where their median error is below this share of the coarse ones'
STILL = 0.97  # of its score a coarse pose may lose to one that fits the hills of the maps
NEAR_DEG, NEAR_M = 5.0, 3.0  # by more the matches do not correct a coarse pose


@dataclass(frozen=True)
class MatchedPoses:
    """B poses.

    T: (B, 4, 4) T_cam_lidar. covariance: (B, 6, 6) as in `Registration`. margin: (B,) by how much the coarse pose beats
    any other. matches, inliers: (B,) those that the pose was fitted to, and those of them that agree with it. error_px:
    (B,) their median reprojection error in the end, NaN without any. tops, guesses, evidence: as of `PoseEstimate`.
    """

    T: Tensor
    covariance: Tensor
    margin: Tensor
    matches: Tensor
    inliers: Tensor
    error_px: Tensor
    tops: tuple[Tensor, ...]
    guesses: tuple[Tensor, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Said:
    """What the network says of B pairs, as far as poses rest on it. M superpoints, n fine matches.

    maps: (B, M, h, w) and outside: (B, M) log probabilities, as of `find_pose`; places: (B, M, h, w) log probabilities
    of where each superpoint is seen. superpoints: (B, M, 3) m, frame: (M,) int64, known: (B, M) and recorded: (B, h, w)
    bool, as of `find_pose`. points: (B, n, 3) m, LiDAR frame, pixels: (B, n, 2), weights: (B, n, 2) and
    valid: (B, n) of the fine matches. K: (B, 3, 3).
    """

    maps: Tensor
    outside: Tensor
    places: Tensor
    superpoints: Tensor
    frame: Tensor
    known: Tensor
    recorded: Tensor
    points: Tensor
    pixels: Tensor
    weights: Tensor
    valid: Tensor
    K: Tensor


def said_of(matches: Matches, batch: Batch, grid: tuple[int, int]) -> Said:
    """Of a batch; grid: rows and columns of superpixels."""
    places, outside = matches.scores.log_likelihood()
    maps = matches.scores.log_choice()
    fine = matches.fine
    points, pixels, weights = (part.flatten(1, 2).float() for part in (fine.points, fine.pixels, fine.weights))
    frame = torch.zeros_like(outside[0], dtype=torch.int64)
    return Said(maps.unflatten(2, grid), outside, places.unflatten(2, grid), matches.superpoints, frame, matches.valid,
                matches.inside.unflatten(1, grid), points, pixels, weights, fine.valid.flatten(1), batch.K)


def joined(frames: Sequence[Said]) -> Said:
    """As if one pair had all superpoints and matches of these, each of one pair and all of one rig and camera: they
    have the pose in common, so what each knows of it adds up."""
    def together(name: str) -> Tensor:
        return torch.cat([getattr(said, name) for said in frames], dim=1)

    first = frames[0]
    parts = {f.name: getattr(first, f.name) if f.name in ("recorded", "K") else together(f.name)
             for f in fields(Said) if f.name != "frame"}
    number = torch.cat([torch.full_like(said.frame, i) for i, said in enumerate(frames)])
    return Said(**parts, frame=number)


def poses_from_matches(matches: Matches, batch: Batch, grid: tuple[int, int], prior: Prior | None = None,
                       gravity: Gravity | None = None, seed: int = 0) -> MatchedPoses:
    """Poses of a batch; arguments as of `find_pose`, grid: rows and columns of superpixels."""
    return poses_from(said_of(matches, batch, grid), prior, gravity, seed)


@dataclass(frozen=True)
class _Places:
    """n points of each of B pairs and where they are seen: points (B, n, 3) m, pixels (B, n, 2), weights (B, n, 2) one
    over px, valid (B, n) bool."""

    points: Tensor
    pixels: Tensor
    weights: Tensor
    valid: Tensor
    K: Tensor


@torch.no_grad()
def poses_from(said: Said, prior: Prior | None = None, gravity: Gravity | None = None, seed: int = 0,
               broad: int = 0) -> MatchedPoses:
    """Poses of B pairs; arguments as of `find_pose`."""
    # 1. the pose that the coarse likelihood agrees on
    coarse = find_pose(said.maps, said.outside, said.superpoints, said.K, prior, gravity, seed, said.known,
                       said.recorded, frame=said.frame, broad=broad)
    # 2. the one that fits best where the maps see their superpoints, if they like it as a whole
    fitted, fitted_covariance = _fit(partial(_on_maps, said), coarse.T, coarse.covariance, coarse.T, prior)
    T, covariance = _where(_keeps(coarse, fitted), (fitted, fitted_covariance), (coarse.T, coarse.covariance))
    places = _on_maps(said, T)
    # 3. the one that fits the fine matches best, where these are the sharper ones
    fine = _Places(said.points, said.pixels, said.weights, said.valid, said.K)
    finer, finer_covariance = _fit(lambda _: fine, T, covariance, coarse.T, prior)
    sharper = _median(fine, finer) < SHARPER * _median(places, T)
    T, covariance = _where(sharper, (finer, finer_covariance), (T, covariance))
    # 4. what speaks for it
    valid, agree, error = (torch.where(sharper, a, b)
                           for a, b in zip(_support(fine, T), _support(places, T), strict=True))
    return MatchedPoses(T, covariance, coarse.margin, valid, agree, error, coarse.tops, coarse.guesses, coarse.evidence)


def _on_maps(said: Said, T: Tensor) -> _Places:
    """Where the maps see their superpoints, around where poses (B, 4, 4) do."""
    u, v, depth = project(said.superpoints, T[:, None], said.K)
    pixels, spread, mass = places_near(said.places, torch.stack([u[:, 0], v[:, 0]], dim=-1), COARSE_STRIDE)
    valid = said.known & (mass > LEAST_MASS) & (depth[:, 0] > MIN_DEPTH_M)
    return _Places(said.superpoints, pixels, mass[..., None] / spread, valid, said.K)


def _fit(seen_from: Callable[[Tensor], _Places], T: Tensor, covariance: Tensor, coarse: Tensor,
         prior: Prior | None) -> tuple[Tensor, Tensor]:
    """Poses (B, 4, 4) from T that fit places best, by a robust loss, and covariances (B, 6, 6); T and `covariance`
    where too few places agree or the pose strays from `coarse` (B, 4, 4). seen_from: the places as seen from a pose."""
    fitted = T
    for _ in range(ROUNDS):
        places = seen_from(fitted)
        error = _errors(places, fitted)
        weight = (places.valid & (error < LOST_PX)) / (1 + (error / TYPICAL_PX).square()).sqrt()
        problem = make_problem(places.points, places.pixels, places.weights * weight[..., None], places.K)
        polished = levenberg_marquardt(problem, fitted, ITERATIONS)
        fitted = polished.T
    enough = (places.valid & (_errors(places, fitted) < AGREE_PX)).sum(dim=1) >= FEWEST
    better = (enough & _near(fitted, coarse, prior))[:, None, None]
    return torch.where(better, fitted, T), torch.where(better, polished.covariance, covariance)


def _keeps(coarse: PoseEstimate, T: Tensor) -> Tensor:
    """(B,) bool: poses (B, 4, 4) score nearly as well as the coarse ones (STILL). A weak network's maps have hills
    beside the truth, all to one side."""
    scores = [score(evidence, torch.stack([before, after])[None])[0]
              for evidence, before, after in zip(coarse.evidence, coarse.T, T, strict=True)]
    return torch.stack([after >= STILL * before for before, after in scores])


def _where(chosen: Tensor, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Poses and covariances of `one` where `chosen` (B,), else of `other`."""
    T, covariance = (torch.where(chosen[:, None, None], a, b) for a, b in zip(one, other, strict=True))
    return T, covariance


def _median(places: _Places, T: Tensor) -> Tensor:
    """(B,) median error in px of the places that agree with poses (B, 4, 4); infinite where too few do."""
    _, agree, error = _support(places, T)
    return torch.where(agree >= FEWEST, error, torch.inf)


def _support(places: _Places, T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) how many places there are, how many agree with poses (B, 4, 4), and their median error in px."""
    error = _errors(places, T)
    agree = places.valid & (error < AGREE_PX)
    return places.valid.sum(dim=1), agree.sum(dim=1), error.masked_fill(~agree, torch.nan).nanmedian(dim=1).values


def _near(T: Tensor, start: Tensor, prior: Prior | None) -> Tensor:
    """(B,) bool: poses (B, 4, 4) that lie near where they started, and within the bounds of the prior: a few wrong
    matches can be fitted from anywhere."""
    limits = [(start, NEAR_DEG, NEAR_M)]
    if prior is not None:
        limits.append((torch.as_tensor(prior.T_cam_lidar).to(T)[None], prior.max_deg, prior.max_m))
    near = torch.ones(len(T), dtype=torch.bool, device=T.device)
    for other, degrees, metres in limits:
        turn = se3.rotation_angle(T[:, :3, :3] @ other[:, :3, :3].mT)
        near &= (turn <= math.radians(degrees)) & ((T[:, :3, 3] - other[:, :3, 3]).norm(dim=-1) <= metres)
    return near


def _errors(places: _Places, T: Tensor) -> Tensor:
    """(B, n) distances in px between where points are said to be and where T sees them; infinite behind the camera."""
    u, v, depth = project(places.points, T[:, None], places.K)
    apart = torch.hypot(u[:, 0] - places.pixels[..., 0], v[:, 0] - places.pixels[..., 1])
    return apart.masked_fill(depth[:, 0] < MIN_DEPTH_M, torch.inf)
