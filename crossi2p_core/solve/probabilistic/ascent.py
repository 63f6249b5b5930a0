"""From a rough pose to the peak of the evidence around it, and how wide that peak is."""

from __future__ import annotations

import torch
from torch import Tensor

from ...geometry import se3
from .distributions import cholesky
from .evidence import Evidence, score
from .levenberg_marquardt import inverse_information, moved, solve_damped
from .problem import MIN_DEPTH_M, Problem, normal_equations, project

WINDOW = 2  # superpixels to each side that pull at a superpoint
BLUR = 1.0  # superpixels: standard deviation of that pull
HELD_RAD, HELD_M = 0.5, 5.0  # a weak pull back to where a step begins, where the evidence leaves a direction open


def climb(evidence: Evidence, T: Tensor, iterations: int, hold: Tensor | None = None) -> Tensor:
    """Poses (H, 4, 4) after some steps uphill from T (H, 4, 4); evidence of one pair.

    Expectation maximisation: each superpoint is drawn to the centre of the mass around where it projects, the more of
    the mass is no mere floor the stronger; then one Gauss-Newton step. hold: (7,) see `information_of`.
    """
    points = evidence.superpoints.expand(len(T), -1, -1)
    K = evidence.K.expand(len(T), -1, -1)
    open_kernel = torch.full((len(T),), 1e9, device=T.device)
    for _ in range(iterations):
        pixels, weights = _pull(evidence, T)
        H, g, _ = normal_equations(Problem(points, pixels, weights, K, open_kernel), T)
        T = moved(T, -solve_damped(*_held(H, g, T, hold), torch.zeros_like(H[:, 0, 0])))
    return T


def peak_of(evidence: Evidence, T: Tensor, generator: torch.Generator, rounds: int = 2, samples: int = 160,
            hold: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (4, 4) and covariance (6, 6) of the poses around T (4, 4), each counted by its likelihood.

    Importance sampling from normal distributions, the first by the curvature of the climb, then by the samples:
    the evidence of one pair is not smooth enough for derivatives to tell its width. Left perturbation, camera frame.
    """
    pixels, weights = _pull(evidence, T[None])
    H, g, _ = normal_equations(Problem(evidence.superpoints, pixels, weights, evidence.K,
                                       torch.full((1,), 1e9, device=T.device)), T[None])
    covariance = inverse_information(_held(H, g, T[None], hold)[0])[0]
    for _ in range(rounds):
        L = cholesky(covariance[None])[0]
        normal = torch.randn(samples, 6, dtype=torch.float64, generator=generator).to(L)
        xi = normal @ L.mT
        tried = moved(T.expand(samples, 4, 4), xi)
        gain = score(evidence, tried[None])[0].double() + 0.5 * normal.square().sum(-1) + _log_prior(tried, hold)
        share = torch.softmax(gain, dim=0)
        mean = (share[:, None] * xi).sum(0)
        away = xi - mean
        spread = (share[:, None] * away).mT @ away
        kept = 1 / share.square().sum()  # effective samples; few of them underrate the spread
        covariance = (kept * spread + 6 * covariance) / (kept + 6)
        T = moved(T[None], mean[None])[0]
    return T, covariance.to(T.dtype)


def _pull(evidence: Evidence, T: Tensor) -> tuple[Tensor, Tensor]:
    """Where superpoints are drawn to by poses T (H, 4, 4): pixels and weights, (H, M, 2) each."""
    u, v, depth = (x[0] for x in project(evidence.superpoints, T[None], evidence.K))  # (H, M)
    m, h, w = evidence.inside.shape[1:]
    column, row = (u + 0.5) / evidence.stride - 0.5, (v + 0.5) / evidence.stride - 0.5
    within = (depth > MIN_DEPTH_M) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    of_pose, of_point = within.nonzero(as_tuple=True)  # a few of the superpoints only
    column, row = column[within][:, None], row[within][:, None]  # (n, 1)
    around = torch.arange(-WINDOW, WINDOW + 1, device=T.device)
    down, right = (x.flatten() for x in torch.meshgrid(around, around, indexing="ij"))
    j, i = column.round() + right, row.round() + down  # (n, 25)
    exists = (j >= 0) & (j < w) & (i >= 0) & (i < h)
    index = of_point[:, None] * (h * w) + (i.clamp(0, h - 1) * w + j.clamp(0, w - 1)).long()
    floor = evidence.floor[0, of_point]
    mass = evidence.inside.reshape(-1).index_select(0, index.flatten()).view(index.shape).exp() - floor[:, None]
    near = torch.exp(-((j - column) ** 2 + (i - row) ** 2) / (2 * BLUR**2)) * exists
    pull = mass.clamp(min=0) * near
    total = pull.sum(1)
    certain = total / (total + floor * near.sum(1))
    place = torch.stack([(pull * j).sum(1), (pull * i).sum(1)], dim=-1) / total.clamp(min=1e-12)[:, None]
    pixels = torch.zeros(len(T), m, 2, device=T.device)
    weights = torch.zeros_like(pixels)
    pixels[of_pose, of_point] = evidence.stride * (place + 0.5) - 0.5
    weights[of_pose, of_point] = (certain.sqrt() / (BLUR * evidence.stride))[:, None]
    return pixels, weights


def hold_of(up: Tensor | None, sigma_rad: float, like: Tensor) -> Tensor | None:
    """What is known of the tilt, as one tensor (4,): `up` (3,) in the camera frame and its standard deviation."""
    return None if up is None else torch.cat([up.to(like), torch.full((1,), sigma_rad).to(like)])


def _held(H: Tensor, g: Tensor, T: Tensor, hold: Tensor | None) -> tuple[Tensor, Tensor]:
    """Normal equations with the weak pull to where T is, and with that of gravity where it is known."""
    weak = torch.tensor([HELD_RAD] * 3 + [HELD_M] * 3, dtype=H.dtype, device=H.device) ** -2
    H = H + torch.diag(weak)
    if hold is None:
        return H, g
    up, sigma = hold[:3].double(), hold[3].double()
    leaning = T[:, :3, 2].double()  # the LiDAR's z axis as it is now; the turn that rights it is leaning x up
    eye = torch.eye(3, dtype=H.dtype, device=H.device)
    H = H.clone()
    H[:, :3, :3] += (eye - leaning[:, :, None] * leaning[:, None]) / sigma**2
    g = g.clone()
    g[:, :3] -= torch.linalg.cross(leaning, up.expand_as(leaning)) / sigma**2
    return H, g


def _log_prior(T: Tensor, hold: Tensor | None) -> Tensor:
    """(H,) log of how likely the tilt of poses T (H, 4, 4) is; 0 where nothing is known of it."""
    if hold is None:
        return torch.zeros(len(T), dtype=torch.float64, device=T.device)
    leaning = T[:, :3, 2].double()
    return (leaning - hold[:3].double()).square().sum(-1) / (-2 * hold[3].double() ** 2)


def angle_between(T: Tensor, other: Tensor) -> Tensor:
    """Radians between the rotations of poses (..., 4, 4)."""
    return se3.rotation_angle((T[..., None, :3, :3] * other[..., :3, None, :3]).sum(-1))
