"""From what the network says of a batch to poses: the coarse likelihood first, then the fine matches that agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..geometry import se3
from ..model.batch import Batch
from ..model.network import Matches
from ..types import Prior
from .probabilistic.hypotheses import Gravity, find_pose
from .probabilistic.levenberg_marquardt import levenberg_marquardt
from .probabilistic.problem import MIN_DEPTH_M, make_problem, project

AGREE_PX = 16.0  # a fine match this close to where a pose sees its point is believed: two superpixels
ROUNDS = 2  # of fitting the matches that agree, and looking which agree then
FEWEST = 12  # such matches below which the coarse pose stands
ITERATIONS = 10
NEAR_DEG, NEAR_M = 5.0, 3.0  # by more the fine matches do not correct a coarse pose


@dataclass(frozen=True)
class MatchedPoses:
    """B poses.

    T: (B, 4, 4) T_cam_lidar. covariance: (B, 6, 6) as in `Registration`. margin: (B,) by how much the coarse pose beats
    any other. matches, inliers: (B,) fine matches, and those that agree with the pose. error_px: (B,) their
    median reprojection error in the end, NaN without any.
    """

    T: Tensor
    covariance: Tensor
    margin: Tensor
    matches: Tensor
    inliers: Tensor
    error_px: Tensor


@dataclass(frozen=True)
class Said:
    """What the network says of B pairs, as far as poses rest on it. M superpoints, n fine matches.

    maps: (B, M, h, w) and outside: (B, M) log probabilities, as of `find_pose`, with superpoints (B, M, 3) m, known
    (B, M) and recorded (B, h, w) bool. points: (B, n, 3) m, LiDAR frame, pixels: (B, n, 2), weights: (B, n, 2) and
    valid: (B, n) of the fine matches. K: (B, 3, 3).
    """

    maps: Tensor
    outside: Tensor
    superpoints: Tensor
    known: Tensor
    recorded: Tensor
    points: Tensor
    pixels: Tensor
    weights: Tensor
    valid: Tensor
    K: Tensor


def said_of(matches: Matches, batch: Batch, grid: tuple[int, int]) -> Said:
    """Of a batch; grid: rows and columns of superpixels."""
    inside, outside = matches.scores.log_likelihood()
    fine = matches.fine
    points, pixels, weights = (part.flatten(1, 2).float() for part in (fine.points, fine.pixels, fine.weights))
    return Said(inside.unflatten(2, grid), outside, matches.superpoints, matches.valid,
                matches.inside.unflatten(1, grid), points, pixels, weights, fine.valid.flatten(1), batch.K)


def joined(frames: Sequence[Said]) -> Said:
    """As if one pair had all superpoints and matches of these, each of one pair and all of one rig and camera: they
    have the pose in common, so what each knows of it adds up."""
    def together(name: str) -> Tensor:
        return torch.cat([getattr(frame, name) for frame in frames], dim=1)

    first = frames[0]
    return Said(*(getattr(first, f.name) if f.name in ("recorded", "K") else together(f.name) for f in fields(Said)))


def poses_from_matches(matches: Matches, batch: Batch, grid: tuple[int, int], prior: Prior | None = None,
                       gravity: Gravity | None = None, seed: int = 0) -> MatchedPoses:
    """Poses of a batch; arguments as of `find_pose`, grid: rows and columns of superpixels."""
    return poses_from(said_of(matches, batch, grid), prior, gravity, seed)


@torch.no_grad()
def poses_from(said: Said, prior: Prior | None = None, gravity: Gravity | None = None, seed: int = 0) -> MatchedPoses:
    """Poses of B pairs; arguments as of `find_pose`."""
    # 1. the pose that the coarse likelihood agrees on
    coarse = find_pose(said.maps, said.outside, said.superpoints, said.K, prior, gravity, seed, said.known,
                       said.recorded)
    # 2. the fine matches that agree with it
    agree = before = said.valid & (_errors(said, coarse.T) < AGREE_PX)
    # 3. the pose that fits these best
    T = coarse.T
    for _ in range(ROUNDS):
        problem = make_problem(said.points, said.pixels, said.weights * agree[..., None], said.K)
        polished = levenberg_marquardt(problem, T, ITERATIONS)
        T = polished.T
        agree = said.valid & (_errors(said, T) < AGREE_PX)
    enough = (before.sum(dim=1) >= FEWEST) & (agree.sum(dim=1) >= before.sum(dim=1))
    better = (enough & _near(T, coarse.T, prior))[:, None, None]
    T, agree = torch.where(better, T, coarse.T), torch.where(better[:, 0], agree, before)
    error = _errors(said, T).masked_fill(~agree, torch.nan).nanmedian(dim=1).values
    return MatchedPoses(T, torch.where(better, polished.covariance, coarse.covariance), coarse.margin,
                        said.valid.sum(dim=1), agree.sum(dim=1), error)


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


def _errors(said: Said, T: Tensor) -> Tensor:
    """(B, n) distances in px between where points are said to be and where T sees them; infinite behind the camera."""
    u, v, depth = project(said.points, T[:, None], said.K)
    apart = torch.hypot(u[:, 0] - said.pixels[..., 0], v[:, 0] - said.pixels[..., 1])
    return apart.masked_fill(depth[:, 0] < MIN_DEPTH_M, torch.inf)
