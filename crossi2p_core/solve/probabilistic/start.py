"""Where to begin: poses from random subsets of the matches, polished a little; the best by robust cost wins.

After EPro-PnP's randomly sampled Levenberg-Marquardt (Chen et al., CVPR 2022), with three changes: subsets give
poses by the minimal solvers rather than by a random turn and the subset's size in the image, gravity can be known, and
poses from elsewhere (a prior) compete.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .levenberg_marquardt import PoseSolution, levenberg_marquardt
from .minimal import poses_of_three, poses_of_two, rays_of
from .problem import Problem, robust_cost

SUBSET, SUBSET_ITERATIONS = 16, 3  # matches and iterations by which a candidate is polished
FINAL_ITERATIONS = 10


@torch.no_grad()
def random_start(problem: Problem, candidates: int = 64, given: Tensor | None = None, up: Tensor | None = None,
                 finalists: int = 4, generator: torch.Generator | None = None) -> PoseSolution:
    """The best local minimum found for each item.

    candidates: random subsets tried. given: (B, G, 4, 4) poses that compete, such as a prior. up: (B, 3) where the
    LiDAR's z axis points in the camera frame, if that is known; subsets then decide heading and translation only.
    finalists: candidates that are polished on all matches, beside all given ones. Raises ValueError where there are
    neither candidates nor given poses.
    """
    if candidates == 0 and given is None:
        raise ValueError("random_start needs candidates or given poses")
    with torch.autocast(problem.points.device.type, enabled=False):
        starts = [] if given is None else [given.to(problem.points.dtype)]
        if candidates:
            found = _polished_candidates(problem, candidates, up, generator)
            best = robust_cost(problem, found).topk(min(finalists, found.shape[1]), dim=1, largest=False).indices
            starts.append(torch.take_along_dim(found, best[..., None, None], dim=1))
        return _best(problem, torch.cat(starts, dim=1))


def _best(problem: Problem, starts: Tensor) -> PoseSolution:
    """Of starts (B, S, 4, 4), all polished on all matches, the one of least cost."""
    count = starts.shape[1]
    each = levenberg_marquardt(problem.repeat(count), starts.flatten(0, 1), FINAL_ITERATIONS)
    best = each.cost.view(-1, count).argmin(dim=1) + count * torch.arange(len(problem), device=starts.device)
    return PoseSolution(*(x.index_select(0, best) for x in (each.T, each.cost, each.covariance)))


def _polished_candidates(problem: Problem, count: int, up: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """(B, S, 4, 4) poses of random minimal sets, each polished on the random subset it was drawn from."""
    chance = problem.weights.mean(-1)
    chance = chance + 1e-6 * chance.mean(dim=1, keepdim=True) + 1e-30  # enough to draw from, whatever the weights
    size = min(SUBSET, chance.shape[1])
    rows = torch.multinomial(chance.repeat_interleave(count, dim=0), size, generator=generator).view(-1, count, size)
    starts = _minimal(problem, rows, up)  # (B, count, R, 4, 4)
    solutions = starts.shape[2]
    subsets = problem.repeat(count * solutions, rows.repeat_interleave(solutions, dim=1))
    return levenberg_marquardt(subsets, starts.flatten(0, 2), SUBSET_ITERATIONS).T.view(len(problem), -1, 4, 4)


def _minimal(problem: Problem, rows: Tensor, up: Tensor | None) -> Tensor:
    """(B, C, R, 4, 4) poses through the first matches of subsets rows (B, C, m); the identity where there is none."""
    least = 3 if up is None else 2
    index = rows[..., :least].flatten(1)[..., None]  # (B, C least, 1)
    points, pixels = (torch.take_along_dim(x, index, dim=1).unflatten(1, (-1, least)).flatten(0, 1)
                      for x in (problem.points, problem.pixels))
    count = rows.shape[1]
    rays = rays_of(pixels, problem.K.repeat_interleave(count, dim=0))
    if up is None:
        T, exists = poses_of_three(points, rays)
    else:
        T, exists = poses_of_two(points, rays, up.repeat_interleave(count, dim=0))
    T = torch.where(exists[..., None, None], T, torch.eye(4, dtype=T.dtype, device=T.device))
    return T.to(problem.points.dtype).unflatten(0, (-1, count))
