"""From what the network says of a batch to poses: the coarse likelihood first, then the fine matches that agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    any other. matches, inliers: (B,) fine matches, and those that agree with the coarse pose. error_px: (B,) their
    median reprojection error in the end, NaN without any.
    """

    T: Tensor
    covariance: Tensor
    margin: Tensor
    matches: Tensor
    inliers: Tensor
    error_px: Tensor


@torch.no_grad()
def poses_from_matches(matches: Matches, batch: Batch, grid: tuple[int, int], prior: Prior | None = None,
                       gravity: Gravity | None = None, seed: int = 0) -> MatchedPoses:
    """Poses of a batch; arguments as of `find_pose`, grid: rows and columns of superpixels."""
    # 1. the pose that the coarse likelihood agrees on
    inside, outside = matches.scores.log_likelihood()
    coarse = find_pose(inside.unflatten(2, grid), outside, matches.superpoints, batch.K, prior, gravity, seed,
                       matches.valid, matches.inside.unflatten(1, grid))
    # 2. the fine matches that agree with it
    fine = matches.fine
    points, pixels, weights = (part.flatten(1, 2).float() for part in (fine.points, fine.pixels, fine.weights))
    valid = fine.valid.flatten(1)
    agree = before = valid & (_errors(points, pixels, coarse.T, batch.K) < AGREE_PX)
    # 3. the pose that fits these best
    T = coarse.T
    for _ in range(ROUNDS):
        polished = levenberg_marquardt(make_problem(points, pixels, weights * agree[..., None], batch.K), T, ITERATIONS)
        T = polished.T
        agree = valid & (_errors(points, pixels, T, batch.K) < AGREE_PX)
    enough = (before.sum(dim=1) >= FEWEST) & (agree.sum(dim=1) >= before.sum(dim=1))
    better = (enough & _near(T, coarse.T, prior))[:, None, None]
    T, agree = torch.where(better, T, coarse.T), torch.where(better[:, 0], agree, before)
    error = _errors(points, pixels, T, batch.K).masked_fill(~agree, torch.nan).nanmedian(dim=1).values
    return MatchedPoses(T, torch.where(better, polished.covariance, coarse.covariance), coarse.margin,
                        valid.sum(dim=1), agree.sum(dim=1), error)


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


def _errors(points: Tensor, pixels: Tensor, T: Tensor, K: Tensor) -> Tensor:
    """(B, n) distances in px between where points are said to be and where T sees them; infinite behind the camera."""
    u, v, depth = project(points, T[:, None], K)
    apart = torch.hypot(u[:, 0] - pixels[..., 0], v[:, 0] - pixels[..., 1])
    return apart.masked_fill(depth[:, 0] < MIN_DEPTH_M, torch.inf)
