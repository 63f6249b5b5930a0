"""Batched Levenberg-Marquardt for weighted PnP, and one differentiable Gauss-Newton step at its answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry import se3
from .problem import Problem, normal_equations

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-8, 1e8
EASE, HARDEN = 0.1, 8.0  # factors of the damping after a step that helped, and after one that did not
OPEN_DIRECTION = 1e-9  # share of its own scale that every direction is held by, so that no inverse is infinite


@dataclass(frozen=True)
class PoseSolution:
    """B fitted poses.

    T: (B, 4, 4) T_cam_lidar. cost: (B,) robust cost. covariance: (B, 6, 6), the inverse of the Gauss-Newton Hessian: of
    the left perturbation exp(xi) T, xi = (rotation rad, translation m) in the camera frame. That is the tangent frame
    of `Registration.covariance` and `solve.nonlinear.PoseFit`, so it is handed out unchanged. Those measure the noise
    by the residuals; this one trusts the weights to be one over it.
    """

    T: Tensor
    cost: Tensor
    covariance: Tensor


@torch.no_grad()
def levenberg_marquardt(problem: Problem, T_start: Tensor, iterations: int = 10) -> PoseSolution:
    """Poses near T_start (B, 4, 4) of least robust cost.

    A fixed number of iterations, each item with a damping of its own; nothing waits for the device. A step that
    does not lower an item's cost is not taken.
    """
    with torch.autocast(problem.points.device.type, enabled=False):
        T = T_start.to(problem.points.dtype)
        damping = torch.full((len(problem),), FIRST_DAMPING, dtype=torch.float64, device=T.device)
        H, g, cost = normal_equations(problem, T)
        for _ in range(iterations):
            T_new = moved(T, -solve_damped(H, g, damping))
            H_new, g_new, cost_new = normal_equations(problem, T_new)
            better = cost_new < cost  # false for NaN
            damping = (damping * torch.where(better, EASE, HARDEN)).clamp(LEAST_DAMPING, MOST_DAMPING)
            T, H, cost = (torch.where(better.view(-1, *[1] * (old.dim() - 1)), new, old)
                          for new, old in ((T_new, T), (H_new, H), (cost_new, cost)))
            g = torch.where(better[:, None], g_new, g)
        return PoseSolution(T, cost, inverse_information(H).to(T.dtype))


def gauss_newton_step(problem: Problem, T: Tensor) -> Tensor:
    """T (B, 4, 4) after one full Gauss-Newton step, differentiable by weights, pixels and K; T itself is a constant.

    At the minimum the value is T and the derivative is that of the minimum itself, to first order in the residuals:
    EPro-PnP's derivative regularisation compares it with the true pose.
    """
    with torch.autocast(problem.points.device.type, enabled=False):
        T = T.detach().to(problem.points.dtype)
        H, g, _ = normal_equations(problem, T)
        return moved(T, -solve_damped(H, g, torch.zeros_like(H[:, 0, 0])))


def moved(T: Tensor, xi: Tensor) -> Tensor:
    """exp(xi) T for poses (B, 4, 4) and twists (B, 6), with the product taken in float64."""
    return (se3.exp_se3(xi.double()) @ T.double()).to(T.dtype)


def solve_damped(H: Tensor, g: Tensor, damping: Tensor) -> Tensor:
    """(H + damping diag H)^-1 g (B, 6); zero where there is no answer. H (B, 6, 6), g (B, 6), damping (B,)."""
    scaled, size = _unit_diagonal(H)
    eye = torch.eye(6, dtype=H.dtype, device=H.device)
    factor, info = torch.linalg.cholesky_ex(scaled + (damping[:, None, None] + OPEN_DIRECTION) * eye)
    step = torch.cholesky_solve((g / size)[..., None], factor)[..., 0] / size
    return torch.where((info == 0)[:, None] & step.isfinite(), step, 0.0)


def inverse_information(H: Tensor) -> Tensor:
    """H^-1 (B, 6, 6), finite everywhere: what the matches leave open gets a very large variance."""
    scaled, size = _unit_diagonal(H)
    eye = torch.eye(6, dtype=H.dtype, device=H.device)
    factor, info = torch.linalg.cholesky_ex(scaled + OPEN_DIRECTION * eye)
    inverse = torch.cholesky_inverse(torch.where((info == 0)[:, None, None], factor, eye))
    return inverse / (size[:, :, None] * size[:, None, :])


def _unit_diagonal(H: Tensor) -> tuple[Tensor, Tensor]:
    """H with radians and metres brought to a scale of their own, and the roots (B, 6) of its diagonal."""
    size = H.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).sqrt()
    return H / (size[:, :, None] * size[:, None, :]), size
