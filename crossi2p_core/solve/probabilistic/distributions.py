"""Proposals for sampling poses: a Student-t distribution of shifts, an angular central Gaussian of rotations.

Sampled and evaluated in batches, fitted to weighted samples; no gradients pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DEGREES_OF_FREEDOM = 3  # of the Student-t: heavy tails, so that a proposal too narrow is noticed and widened
FIT_ITERATIONS = 3  # of the fixed point of the angular central Gaussian


@dataclass(frozen=True)
class StudentT:
    """Multivariate Student-t in 3-d: location (B, 3) and the Cholesky factor (B, 3, 3) of its scale matrix."""

    location: Tensor
    factor: Tensor

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(B, count, 3)."""
        normal = _normal((len(self.location), count, 3 + DEGREES_OF_FREEDOM), self.location, generator)
        chi = normal[..., 3:].square().mean(-1, keepdim=True).sqrt()
        return self.location[:, None] + (normal[..., :3] / chi) @ self.factor.mT

    def log_density(self, x: Tensor) -> Tensor:
        """(B, S) of x (B, S, 3)."""
        v = DEGREES_OF_FREEDOM
        square = _whitened(x - self.location[:, None], self.factor).square().sum(-1)
        constant = math.lgamma((v + 3) / 2) - math.lgamma(v / 2) - 1.5 * math.log(v * math.pi)
        return constant - _log_det(self.factor) - 0.5 * (v + 3) * torch.log1p(square / v)


@dataclass(frozen=True)
class AngularCentralGaussian:
    """Directions of a 4-d normal distribution, a density on unit quaternions (w, x, y, z) that is equal at q and -q.

    factor: (B, 4, 4), the Cholesky factor of its matrix (Tyler, Biometrika 1987).
    """

    factor: Tensor

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(B, count, 4) unit quaternions."""
        x = _normal((len(self.factor), count, 4), self.factor, generator) @ self.factor.mT
        return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-30)

    def log_density(self, q: Tensor) -> Tensor:
        """(B, S) of q (B, S, 4), by the area of the unit sphere in 4-d."""
        square = _whitened(q, self.factor).square().sum(-1)
        return -math.log(2 * math.pi**2) - _log_det(self.factor) - 2 * square.log()


def fit_student_t(x: Tensor, weights: Tensor, least: Tensor) -> StudentT:
    """From samples x (B, S, 3) whose weights (B, S) sum to one; least (B, 3, 3) is added to the scale matrix."""
    mean = (weights[..., None] * x).sum(1)
    away = x - mean[:, None]
    return StudentT(mean, cholesky((weights[..., None] * away).mT @ away + least))


def fit_angular_central_gaussian(q: Tensor, weights: Tensor, least: Tensor) -> AngularCentralGaussian:
    """From unit quaternions q (B, S, 4) whose weights (B, S) sum to one; least (B, 4, 4) is added in the end.

    Tyler's fixed point: each sample counts by one over its squared length in the metric found so far.
    """
    eye = torch.eye(4, dtype=q.dtype, device=q.device)
    matrix = (weights[..., None] * q).mT @ q + least
    for _ in range(FIT_ITERATIONS):
        square = _whitened(q, cholesky(matrix)).square().sum(-1)
        share = weights / square
        matrix = (share[..., None] * q).mT @ q
        matrix = matrix / (matrix * eye).sum((-2, -1), keepdim=True).clamp(min=1e-30) + least
    return AngularCentralGaussian(cholesky(matrix))


def cholesky(matrix: Tensor) -> Tensor:
    """Lower factor (B, n, n), the identity where there is none; nothing waits for the device."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    fine = (info == 0) & factor.isfinite().all(-1).all(-1)
    return torch.where(fine[:, None, None], factor, torch.eye(matrix.shape[-1], dtype=matrix.dtype,
                                                              device=matrix.device))


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)


def _whitened(x: Tensor, factor: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT


def _log_det(factor: Tensor) -> Tensor:
    """(B, 1)."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)
