"""From a rough pose to the peak of the evidence around it, and how wide that peak is."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributions import cholesky
from .evidence import CHANCE, Evidence, score
from .levenberg_marquardt import inverse_information, moved, solve_damped
from .problem import MIN_DEPTH_M, Problem, normal_equations, project

WINDOW = 2  # superpixels to each side that pull at a superpoint
BLUR = 1.0  # superpixels: standard deviation of that pull
ROUNDS, TRIED, KEPT = 6, 40, 8  # of the cross-entropy method: rounds, poses tried in each around each, and kept
WIDE_RAD, WIDE_M = 0.05, 0.7  # standard deviations of the first round
HELD_RAD, HELD_M = 0.5, 5.0  # a weak pull back to where a step begins, where the evidence leaves a direction open


def climb(evidence: Evidence, T: Tensor, iterations: int, hold: Tensor | None = None) -> Tensor:
    """Poses (H, 4, 4) after some steps uphill from T (H, 4, 4); evidence of one pair.

    Expectation maximisation: each superpoint is drawn to the centre of the mass around where it projects, the more of
    the mass is no mere floor the stronger; then one Gauss-Newton step. hold: see `hold_of`.
    """
    for _ in range(iterations):
        H, g, _ = normal_equations(_pull(evidence, T), T)
        T = moved(T, -solve_damped(*_held(H, g, T, hold), torch.zeros_like(H[:, 0, 0])))
    return T


def sharpen(evidence: Evidence, T: Tensor, generator: torch.Generator,
            hold: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Poses (H, 4, 4) near T (H, 4, 4) that score higher, and their scores (H,), the prior on the tilt among them.

    The cross-entropy method: what `climb` goes up is not quite the score, whose crest is long and crooked where nothing
    but distance is left open.
    """
    best, height = T, _height(evidence, T, hold)
    spread = torch.tensor([WIDE_RAD] * 3 + [WIDE_M] * 3, dtype=torch.float64, device=T.device).expand(len(T), 6)
    for _ in range(ROUNDS):
        xi = torch.randn(len(T), TRIED, 6, dtype=torch.float64, generator=generator).to(T.device) * spread[:, None]
        tried = moved(T.repeat_interleave(TRIED, dim=0), xi.flatten(0, 1))
        value, which = _height(evidence, tried, hold).view(len(T), TRIED).topk(KEPT, dim=1)
        kept = xi.gather(1, which[..., None].expand(-1, -1, 6))  # (H, KEPT, 6)
        higher = value[:, 0] > height
        first = tried.view(len(T), TRIED, 4, 4)[torch.arange(len(T), device=T.device), which[:, 0]]
        best = torch.where(higher[:, None, None], first, best)
        height = torch.where(higher, value[:, 0], height)
        T, spread = moved(T, kept.mean(1)), kept.std(1).clamp(min=1e-5)
    return best, height


def _height(evidence: Evidence, T: Tensor, hold: Tensor | None) -> Tensor:
    """(H,) of poses T (H, 4, 4)."""
    return score(evidence, T[None])[0] + _log_prior(T, hold).to(T.dtype)


def peak_of(evidence: Evidence, T: Tensor, generator: torch.Generator, rounds: int = 2, samples: int = 128,
            hold: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (4, 4) and covariance (6, 6) of the poses around T (4, 4), each counted by its likelihood.

    Importance sampling from normal distributions, the first by the curvature of the climb, then by the samples:
    the evidence of one pair is not smooth enough for derivatives to tell its width. Left perturbation, camera frame.
    """
    H, g, _ = normal_equations(_pull(evidence, T[None]), T[None])
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


def _pull(evidence: Evidence, T: Tensor) -> Problem:
    """Where the superpoints that poses T (H, 4, 4) see are drawn to, as one weighted PnP problem per pose."""
    u, v, depth = (x[0] for x in project(evidence.superpoints, T[None], evidence.K))  # (H, M)
    h, w = evidence.inside.shape[-2:]
    column, row = (u + 0.5) / evidence.stride - 0.5, (v + 0.5) / evidence.stride - 0.5
    within = (depth > MIN_DEPTH_M) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    most = max(4, int(within.sum(1).max()))
    which = within.to(torch.uint8).topk(min(most, within.shape[1]), dim=1).indices  # (H, n): the others see nothing
    within, column, row = (x.gather(1, which)[..., None] for x in (within, column, row))  # (H, n, 1)
    pull, near, j, i = _window(evidence, which, column.clamp(0, w - 1), row.clamp(0, h - 1))
    total = pull.sum(-1)
    certain = within[..., 0] * total / (total + evidence.floor[0, which] * near.sum(-1))
    place = torch.stack([(pull * j).sum(-1), (pull * i).sum(-1)], dim=-1) / total.clamp(min=1e-12)[..., None]
    weights = (certain.sqrt() / (BLUR * evidence.stride))[..., None].expand_as(place)
    return Problem(evidence.superpoints[0, which], evidence.stride * (place + 0.5) - 0.5, weights,
                   evidence.K.expand(len(T), -1, -1), torch.full((len(T),), 1e9, device=T.device))


def _window(evidence: Evidence, which: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Superpixels around columns and rows (H, n, 1) in the maps of superpoints `which` (H, n).

    Mass above floor and chance times nearness, nearness, columns and rows, (H, n, 25) each.
    """
    h, w = evidence.inside.shape[-2:]
    around = torch.arange(-WINDOW, WINDOW + 1, device=column.device)
    down, right = (x.flatten() for x in torch.meshgrid(around, around, indexing="ij"))
    j, i = column.round() + right, row.round() + down
    exists = (j >= 0) & (j < w) & (i >= 0) & (i < h)
    index = which[..., None] * (h * w) + (i.clamp(0, h - 1) * w + j.clamp(0, w - 1)).long()
    mass = evidence.inside.reshape(-1).index_select(0, index.flatten()).view(index.shape).exp()
    near = torch.exp(-((j - column) ** 2 + (i - row) ** 2) / (2 * BLUR**2)) * exists
    return (mass - evidence.floor[0, which][..., None] - CHANCE).clamp(min=0) * near, near, j, i


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
