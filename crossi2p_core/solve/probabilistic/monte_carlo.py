"""The Monte-Carlo pose loss of EPro-PnP (Chen et al., CVPR 2022): how unlikely the true pose is under the matches.

The weighted matches define a density of poses, exp(-cost). Its normaliser is an integral over all poses, estimated by
adaptive multiple importance sampling (Cornuet et al., 2012). The loss is -log of the density at the true pose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry import se3
from .distributions import (
    AngularCentralGaussian,
    StudentT,
    cholesky,
    fit_angular_central_gaussian,
    fit_student_t,
)
from .levenberg_marquardt import PoseSolution, inverse_information
from .problem import Problem, make_problem, normal_equations, robust_cost
from .start import random_start

LEAST_SPREAD = 0.02  # share of the first proposal that later ones keep, however few samples carry the weight


@dataclass(frozen=True)
class PoseSamples:
    """B items, S samples: T (B, S, 4, 4), and the log density (B, S) of the mixture they were drawn from."""

    T: Tensor
    log_density: Tensor


@torch.no_grad()
def sample_poses(problem: Problem, solution: PoseSolution, iterations: int = 4, samples: int = 128,
                 generator: torch.Generator | None = None) -> PoseSamples:
    """Samples around `solution`, iterations x samples of them, each round's proposals fitted to all rounds before.

    Poses are told by a turn about a pivot and a shift of it. The paper's objects turn about their centres; a LiDAR sits
    at the edge of what the camera sees, where turn and shift depend on each other and separate proposals waste
    samples. So the pivot is where they do not (`pivot_of`).
    """
    with torch.autocast(problem.points.device.type, enabled=False):
        T, centre, first_turns, first_shifts = _first_proposals(problem, solution)
        turns, shifts = [first_turns], [first_shifts]
        least_turn = LEAST_SPREAD * (first_turns.factor @ first_turns.factor.mT)
        least_shift = LEAST_SPREAD * (first_shifts.factor @ first_shifts.factor.mT)
        q, d = first_turns.sample(samples, generator), first_shifts.sample(samples, generator)
        while True:
            log_density = _mixture(turns, shifts, q, d)
            if len(turns) == iterations:
                return PoseSamples(poses_from(T, centre, q, d), log_density)
            cost = robust_cost(problem, poses_from(T, centre, q, d))
            weights = torch.softmax(torch.nan_to_num(-cost - log_density, nan=-torch.inf), dim=1)
            turns.append(fit_angular_central_gaussian(q, weights, least_turn))
            shifts.append(fit_student_t(d, weights, least_shift))
            q = torch.cat([q, turns[-1].sample(samples, generator)], dim=1)
            d = torch.cat([d, shifts[-1].sample(samples, generator)], dim=1)


def pose_loss(problem: Problem, T_true: Tensor, samples: PoseSamples) -> Tensor:
    """(B,) minus the log density of T_true (B, 4, 4), gradients to weights, pixels and K.

    The cost of the truth pulls the matches together; the log mean of the importance weights pushes apart what would
    make other poses as likely.
    """
    with torch.autocast(problem.points.device.type, enabled=False):
        T = torch.cat([T_true.to(samples.T.dtype)[:, None], samples.T], dim=1)
        cost = robust_cost(problem, T)
        log_weights = -cost[:, 1:] - samples.log_density
        return cost[:, 0] + torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])


def mean_pose_loss(points: Tensor, pixels: Tensor, weights: Tensor, K: Tensor, T_true: Tensor, usable: Tensor,
                   iterations: int = 4, samples: int = 128, generator: torch.Generator | None = None) -> Tensor:
    """Mean over the usable items of a batch of `pose_loss`, each divided by the sum of its weights; a scalar.

    points: (B, n, 3), pixels: (B, n, 2), weights: (B, n, 2), K: (B, 3, 3), T_true: (B, 4, 4), usable: (B,) bool.
    Without the division growing weights alone would make the gradients grow; EPro-PnP divides by a running mean of the
    weights, but that would be state outside the network. Items with numbers that are not finite are left out, before
    they can spoil a gradient. generator: of the device of the points.
    """
    usable = usable & torch.stack([x.isfinite().flatten(1).all(1) for x in (points, pixels, weights)]).all(0)
    points, pixels, weights = (torch.where(usable[:, None, None], x, 0.0) for x in (points, pixels, weights))
    with torch.autocast(points.device.type, enabled=False):
        problem = make_problem(points, pixels, weights, K)
        solution = random_start(problem, candidates=0, given=T_true[:, None], generator=generator)
        loss = pose_loss(problem, T_true, sample_poses(problem, solution, iterations, samples, generator))
    scale = weights.detach().sum(dim=(1, 2)).clamp(min=1.0)
    good = usable & loss.isfinite()
    return torch.where(good, loss / scale, 0.0).sum() / good.sum().clamp(min=1)


def pivot_of(H: Tensor) -> Tensor:
    """(B, 3) camera-frame point, turns about which have least to do with its shifts, from the information H (B, 6, 6).

    The best shift after a turn w is G w with G = -D^-1 B^T, H = [[A, B], [B^T, D]]; turning about c is the shift
    [c]x w. c minimises |G - [c]x| in the metric D.
    """
    D, M = H[:, 3:, 3:], -H[:, :3, 3:].mT
    axial = torch.stack([M[:, 2, 1] - M[:, 1, 2], M[:, 0, 2] - M[:, 2, 0], M[:, 1, 0] - M[:, 0, 1]], dim=-1)
    trace = D.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    eye = torch.eye(3, dtype=H.dtype, device=H.device)
    normal = trace * eye - D + 1e-9 * trace.clamp(min=1e-9) * eye
    return torch.cholesky_solve(axial[..., None], cholesky(normal))[..., 0]


def poses_from(T: Tensor, centre: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """(B, S, 4, 4): T (B, 4, 4) turned about centre (B, 3) by quaternions q (B, S, 4), then shifted by d (B, S, 3)."""
    turn = rotation_from_quaternion(q)
    R, t, c = (x[:, None] for x in (T[:, :3, :3], T[:, :3, 3], centre))
    moved = (turn * (t - c)[..., None, :]).sum(-1) + c + d
    return se3.make((turn[..., None] * R[:, :, None]).sum(-2), moved)


def rotation_from_quaternion(q: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of unit quaternions (w, x, y, z) (..., 4)."""
    w, x, y, z = q.unbind(-1)
    return torch.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1).unflatten(-1, (3, 3))


def _first_proposals(problem: Problem, solution: PoseSolution,
                     ) -> tuple[Tensor, Tensor, AngularCentralGaussian, StudentT]:
    """Solved poses, pivots, and the proposals of turn and shift by the covariance there."""
    H, _, _ = normal_equations(problem, solution.T)
    centre = pivot_of(H)
    # xi = (w, d - w x c) for a turn w about the pivot and a shift d of it
    x, y, z = centre.unbind(-1)
    change = torch.eye(6, dtype=H.dtype, device=H.device).repeat(len(H), 1, 1)
    zero = torch.zeros_like(x)
    change[:, 3:, :3] = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    covariance = inverse_information(change.mT @ H @ change)
    # a small turn w is the quaternion (1, w / 2); what is not known at all becomes the uniform density
    eye = torch.eye(3, dtype=H.dtype, device=H.device)
    turn = covariance[:, :3, :3] / 4
    factor = torch.eye(4, dtype=H.dtype, device=H.device).repeat(len(H), 1, 1)
    factor[:, 1:, 1:] = cholesky(torch.linalg.solve_ex(eye + turn, turn)[0])
    dtype = solution.T.dtype
    shifts = StudentT(torch.zeros_like(centre).to(dtype), cholesky(covariance[:, 3:, 3:]).to(dtype))
    return solution.T, centre.to(dtype), AngularCentralGaussian(factor.to(dtype)), shifts


def _mixture(turns: list[AngularCentralGaussian], shifts: list[StudentT], q: Tensor, d: Tensor) -> Tensor:
    """(B, S) log of the mean density of all proposals: every sample counts as if drawn from their mixture."""
    each = torch.stack([turn.log_density(q) + shift.log_density(d) for turn, shift in zip(turns, shifts, strict=True)])
    return torch.logsumexp(each, dim=0) - math.log(len(turns))
