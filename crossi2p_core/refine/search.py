"""Find the pose with the best score: random poses when the start may be far off, then Newton uphill, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .config import SearchConfig
from .objective import Expansion, FrameProblem, expand, move, score, seen_from, step_between

_LARGEST_STEP = 0.5  # UNIT
_CONVERGED = 0.002  # UNIT: no step is larger than this
_STILL = 0.02  # UNIT
_NEW_VIEW = 0.2  # UNIT: a smaller move changes neither what is hidden nor how edges run


@dataclass(frozen=True)
class Bounds:
    """How far the truth may be from the start: degrees and decimetres, and the prior's strength."""

    deg: float
    dm: float
    strength: float

    def spread(self, like: torch.Tensor) -> torch.Tensor:
        """Standard deviations (6,) of the prior: half the bounds, not less than 0.3 deg and 0.4 dm."""
        return torch.tensor([max(0.5 * self.deg, 0.3)] * 3 + [max(0.5 * self.dm, 0.4)] * 3).to(like)

    def penalty(self, T_start: torch.Tensor, T: torch.Tensor) -> torch.Tensor:
        """(S,) what leaving the start costs in units of score."""
        away = step_between(T_start, T)
        return 0.5 * self.strength * ((away / self.spread(away)) ** 2).sum(-1)


def wide_search(frames: list[FrameProblem], T_start: torch.Tensor, bounds: Bounds, config: SearchConfig,
                scales: tuple[float, ...], seed: int) -> torch.Tensor:
    """Promising poses (S, 4, 4), best first, from a start (4, 4) that may be wrong by the bounds."""
    # 1. score random poses around the start at the coarsest scale
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(config.samples, 6, generator=generator, dtype=torch.float64)
    steps *= 0.5 * torch.tensor([bounds.deg] * 3 + [bounds.dm] * 3, dtype=torch.float64)
    steps[0] = 0
    poses = move(T_start.expand(config.samples, 4, 4), steps.to(T_start))
    most = int(config.sample_edges / len(frames) ** 0.5)
    values = sum(score(f, poses, scales[-1], most) for f in frames) / len(frames)
    # 2. follow the best distinct ones uphill, coarse scale first, fewer at each
    apart = torch.tensor([min(0.5 * bounds.deg, 0.6)] * 3 + [min(0.5 * bounds.dm, 1.0)] * 3).to(T_start)
    poses = poses[_distinct(poses, values - bounds.penalty(T_start, poses), apart, config.starts)]
    poses, values = climb(frames, T_start, poses, (scales[-1],), bounds, config.iterations)
    poses = poses[_distinct(poses, values, 0.3 * apart, config.finalists)]
    poses, values = climb(frames, T_start, poses, (scales[-2],), bounds, config.iterations)
    return poses[values.argsort(descending=True)]


def fine_search(frames: list[FrameProblem], T_start: torch.Tensor, poses: torch.Tensor, bounds: Bounds,
                config: SearchConfig, scales: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The best pose (4, 4) near the candidates (S, 4, 4), and the values (S,) that they reached."""
    poses, _ = climb(frames, T_start, poses, (scales[1],), bounds, config.iterations)
    poses, values = climb(frames, T_start, poses, scales[:2], bounds, config.iterations)
    return poses[values.argmax()], values


def climb(frames: list[FrameProblem], T_start: torch.Tensor, poses: torch.Tensor, sigmas: tuple[float, ...],
          bounds: Bounds, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Damped Newton ascent (Levenberg's damping, negative curvature reflected) of all poses (S, 4, 4) at once.

    Returns the poses and their values (S,); no value is below that of its start.
    """
    here = _posterior(frames, T_start, poses, sigmas, bounds)
    damping = torch.full_like(here.value, 0.01)
    for _ in range(iterations):
        step = _newton_step(here, damping)
        if float(step.abs().max()) < _CONVERGED:
            break
        trial = move(poses, step)
        there = _posterior(frames, T_start, trial, sigmas, bounds)
        better = there.value > here.value
        poses = torch.where(better[:, None, None], trial, poses)
        here = Expansion(torch.where(better, there.value, here.value),
                         torch.where(better[:, None], there.gradient, here.gradient),
                         torch.where(better[:, None, None], there.hessian, here.hessian), here.pull)
        damping = torch.where(better, damping * 0.3, damping * 8).clamp(1e-4, 1e3)
    return poses, here.value


def _posterior(frames: list[FrameProblem], T_start: torch.Tensor, poses: torch.Tensor, sigmas: tuple[float, ...],
               bounds: Bounds) -> Expansion:
    """Mean score of the frames less the prior's penalty, with derivatives in float64."""
    n = len(frames)
    value, gradient, hessian = (torch.zeros(shape, dtype=poses.dtype, device=poses.device) for shape in (
        (len(poses),), (len(poses), 6), (len(poses), 6, 6)))
    for frame in frames:
        part = expand(frame, poses, sigmas)
        value, gradient, hessian = value + part.value / n, gradient + part.gradient / n, hessian + part.hessian / n
    away, spread = step_between(T_start, poses), bounds.spread(poses)
    return Expansion(value - bounds.penalty(T_start, poses), gradient - bounds.strength * away / spread**2,
                     hessian - torch.diag(bounds.strength / spread**2), part.pull)


def _newton_step(at: Expansion, damping: torch.Tensor) -> torch.Tensor:
    """Ascent steps (S, 6), none larger than `_LARGEST_STEP`."""
    curvature, axes = torch.linalg.eigh(-0.5 * (at.hessian + at.hessian.transpose(1, 2)))
    curvature = curvature.abs().clamp_min(1e-3)
    curvature = curvature + damping[:, None] * curvature.amax(1, keepdim=True)
    along = (axes.transpose(1, 2) @ at.gradient[:, :, None])[..., 0] / curvature
    step = (axes @ along[:, :, None])[..., 0]
    return step * (_LARGEST_STEP / step.abs().amax(1, keepdim=True).clamp_min(_LARGEST_STEP))


def _distinct(poses: torch.Tensor, values: torch.Tensor, apart: torch.Tensor, most: int) -> list[int]:
    """Indices of the best poses, best first, of which any two differ by more than `apart` (6,) in some coordinate."""
    chosen: list[int] = []
    for index in values.argsort(descending=True).tolist():
        if not chosen or bool((step_between(poses[index], poses[chosen]).abs() / apart).amax(1).min() > 1):
            chosen.append(index)
        if len(chosen) == most:
            break
    return chosen


def settle(frames: list[FrameProblem], T_start: torch.Tensor, T: torch.Tensor, bounds: Bounds, config: SearchConfig,
           scales: tuple[float, ...]) -> tuple[torch.Tensor, list[FrameProblem]]:
    """Repeat the fine search, with occlusion and normals as seen from the present pose, until it stands still."""
    seen_at = T
    frames = [seen_from(f, T) for f in frames]
    for _ in range(config.rounds if len(frames) > 1 else 1):
        moved, _ = fine_search(frames, T_start, T[None], bounds, config, scales)
        step, since_seen = (float(step_between(a, moved[None]).abs().max()) for a in (T, seen_at))
        T = moved
        if step < _STILL:
            break
        if since_seen > _NEW_VIEW:
            seen_at, frames = T, [seen_from(f, T) for f in frames]
    return T, frames
