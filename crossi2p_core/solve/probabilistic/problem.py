"""Weighted PnP problems in batches: their residuals, robust cost and normal equations, for many poses at once.

Pose tangent: left perturbation exp(xi) T, xi = (rotation rad, translation m) in the camera frame, as everywhere here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_DEPTH_M = 0.1  # nearer points, and those behind, are projected as if they were this far ahead


@dataclass(frozen=True)
class Problem:
    """B problems of n matches; batch items have nothing to do with each other.

    points: (B, n, 3) m, LiDAR frame. pixels: (B, n, 2). weights: (B, n, 2) one over the standard deviation in px; 0
    leaves a match out. K: (B, 3, 3). delta: (B,) weighted residual at which the Huber kernel turns linear.
    """

    points: Tensor
    pixels: Tensor
    weights: Tensor
    K: Tensor
    delta: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def repeat(self, count: int, rows: Tensor | None = None) -> Problem:
        """Each problem `count` times in a row, as B count problems; rows (B, count, m): with these matches only."""
        points, pixels, weights = (x.repeat_interleave(count, dim=0) for x in (self.points, self.pixels, self.weights))
        if rows is not None:
            index = rows.flatten(0, 1)[..., None]
            points, pixels, weights = (x.gather(1, index.expand(-1, -1, x.shape[2]))
                                       for x in (points, pixels, weights))
        K, delta = (x.repeat_interleave(count, dim=0) for x in (self.K, self.delta))
        return Problem(points, pixels, weights, K, delta)


def make_problem(points: Tensor, pixels: Tensor, weights: Tensor, K: Tensor, relative_delta: float = 0.1) -> Problem:
    """Problem of points (B, n, 3), pixels (B, n, 2), weights (B, n, 2) or (B, n) and K (B, 3, 3).

    Half precision is widened. The kernel adapts as in EPro-PnP (Chen et al., CVPR 2022): delta is `relative_delta`
    times the mean weight times the spread of the pixels, so scaling all weights changes nothing but the certainty.
    Gradients pass through all of it.
    """
    dtype = torch.promote_types(pixels.dtype, torch.float32)
    points, pixels, weights, K = (x.to(dtype) for x in (points, pixels, weights, K))
    weights = weights[..., None].expand(-1, -1, 2) if weights.dim() == 2 else weights
    spread = pixels.var(dim=1, unbiased=False).sum(-1).clamp(min=1e-6).sqrt()  # (B,) px
    delta = (relative_delta * weights.mean(dim=(1, 2)) * spread).clamp(min=1e-6)
    return Problem(points, pixels, weights, K, delta)


def project(points: Tensor, T: Tensor, K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, v and depth, each (B, S, n), of points (B, n, 3) by poses T (B, S, 4, 4) and K (B, 3, 3).

    Written out by coordinates: matrix products may be rounded to bf16 or TF32, which is several pixels.
    """
    x, y, z = (_coordinate(T[:, :, i], points) for i in range(3))
    ahead = z.clamp(min=MIN_DEPTH_M)
    a = K[:, :, :, None, None]  # (B, 3, 3, 1, 1)
    return (a[:, 0, 0] * x + a[:, 0, 1] * y) / ahead + a[:, 0, 2], a[:, 1, 1] * y / ahead + a[:, 1, 2], z


def robust_cost(problem: Problem, T: Tensor) -> Tensor:
    """Cost (B, S) of poses T (B, S, 4, 4): half the sum of Huber-weighted squares, minus the log likelihood.

    A point behind the camera keeps its cost, as if seen at MIN_DEPTH_M: without, turning away would be the best pose.
    """
    u, v, _ = project(problem.points, T, problem.K)
    w = problem.weights[:, None]
    square = (w[..., 0] * (u - problem.pixels[:, None, :, 0])) ** 2 + (
        w[..., 1] * (v - problem.pixels[:, None, :, 1])) ** 2
    return _huber(square, problem.delta[:, None, None])[0].sum(-1)


def normal_equations(problem: Problem, T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """J^T W J (B, 6, 6) and J^T W r (B, 6) in float64, and the cost (B,), at poses T (B, 4, 4).

    r: weighted residuals, J: their derivative by xi, W: the kernel's. Points behind the camera have no part in J.
    """
    R, t = T[:, None, :3, :3], T[:, None, :3, 3]
    q = (R * problem.points[:, :, None, :]).sum(-1) + t  # (B, n, 3), camera frame
    x, y, z = q.unbind(-1)
    inverse = 1 / z.clamp(min=MIN_DEPTH_M)
    fx, skew, fy = (problem.K[:, i, j, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    side, down = (fx * x + skew * y) * inverse, fy * y * inverse  # pixels from the principal point
    residual = torch.stack([side, down], dim=-1) + problem.K[:, None, :2, 2] - problem.pixels
    residual = problem.weights * residual  # (B, n, 2)
    zero = torch.zeros_like(x)
    by_point = torch.stack([torch.stack([fx * inverse, skew * inverse, -side * inverse], dim=-1),
                            torch.stack([zero, fy * inverse, -down * inverse], dim=-1)], dim=-2)  # (B, n, 2, 3)
    # exp(xi) moves q by w x q + v, and a . (w x q) = w . (q x a)
    J = torch.cat([torch.linalg.cross(q[:, :, None].expand_as(by_point), by_point), by_point], dim=-1)
    J = J * problem.weights[..., None] * (z > MIN_DEPTH_M)[..., None, None]
    loss, influence = _huber(residual.square().sum(-1), problem.delta[:, None])
    root = influence.sqrt()[..., None]
    J, weighted = (J * root[..., None]).flatten(1, 2).double(), (residual * root).flatten(1).double()
    return J.mT @ J, (J * weighted[..., None]).sum(1), loss.sum(-1)


def _huber(square: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and influence (0..1] of squared lengths: s / 2 up to delta, then linear."""
    inside = square <= delta * delta
    length = torch.where(inside, delta * delta, square).sqrt()  # never below delta: its root has a slope at zero
    influence = torch.where(inside, 1.0, delta / length)
    return torch.where(inside, 0.5 * square, delta * (length - 0.5 * delta)), influence


def _coordinate(row: Tensor, points: Tensor) -> Tensor:
    """(B, S, n): one row (B, S, 4) of each pose applied to points (B, n, 3)."""
    a = row[..., None]  # (B, S, 4, 1)
    x, y, z = (points[:, None, :, i] for i in range(3))
    return a[:, :, 0] * x + a[:, :, 1] * y + a[:, :, 2] * z + a[:, :, 3]
