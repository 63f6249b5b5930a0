"""Damped Newton ascent of many candidates at once: poses, and with them how fast the vehicle drove."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import drive as driving
from .config import DriveConfig
from .drive import Drive, parked, timed
from .expansion import Motion, expand
from .objective import FrameProblem, move, step_between

_LARGEST_STEP = 0.5  # units
_CONVERGED = 0.002  # units: no step is larger than this


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


@dataclass(frozen=True)
class Candidates:
    """S hypotheses: poses T (S, 4, 4) float64, and the drive that each assumes."""

    T: torch.Tensor
    drive: Drive

    def __getitem__(self, index: torch.Tensor | slice | list[int]) -> Candidates:
        return Candidates(self.T[index], self.drive[index])

    def __len__(self) -> int:
        return len(self.T)

    def moved(self, step: torch.Tensor) -> Candidates:
        """Moved by steps (S, 6) of the pose, or (S, 6 + 1 + F) of the drive too, in units."""
        drive = driving.advance(self.drive, step[:, 6:]) if step.shape[1] > 6 else self.drive
        return Candidates(move(self.T, step[:, :6]), drive)


def standing(T: torch.Tensor, frames: int) -> Candidates:
    """Poses (S, 4, 4) of a vehicle that stands still in all frames."""
    return Candidates(T, parked(len(T), frames, T))


@dataclass(frozen=True)
class Slope:
    """The posterior at S candidates: value (S,), gradient (S, D), hessian (S, D, D), float64, in units."""

    value: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor


def climb(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, sigmas: tuple[float, ...], bounds: Bounds,
          iterations: int, config: DriveConfig | None = None) -> tuple[Candidates, torch.Tensor]:
    """Follow all candidates uphill (Levenberg's damping, negative curvature reflected).

    config: what to assume of the drive, or None to leave it as it is. Returns the candidates and their values (S,); no
    value is below that of its start.
    """
    here = posterior(frames, T_start, at, sigmas, bounds, config)
    damping = torch.full_like(here.value, 0.01)
    for _ in range(iterations):
        step = _newton_step(here, damping)
        if float(step.abs().max()) < _CONVERGED:
            break
        trial = at.moved(step)
        there = posterior(frames, T_start, trial, sigmas, bounds, config)
        better = there.value > here.value
        at = _either(better, trial, at)
        here = Slope(torch.where(better, there.value, here.value),
                     torch.where(better[:, None], there.gradient, here.gradient),
                     torch.where(better[:, None, None], there.hessian, here.hessian))
        damping = torch.where(better, damping * 0.3, damping * 8).clamp(1e-4, 1e3)
    return at, here.value


def posterior(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, sigmas: tuple[float, ...],
              bounds: Bounds, config: DriveConfig | None) -> Slope:
    """Mean score of the frames less what the priors of pose and drive take off, with derivatives."""
    n, poses = len(frames), at.T
    away, spread = step_between(T_start, poses), bounds.spread(poses)
    value, gradient, curvature = -bounds.penalty(T_start, poses), -bounds.strength * away / spread**2, (
        bounds.strength / spread**2).expand(len(poses), 6)
    if config is not None:
        cost, pull, bend = (config.weight / n * part for part in driving.penalty(at.drive, config))
        value, gradient, curvature = value - cost, torch.cat([gradient, -pull], 1), torch.cat([curvature, bend], 1)
    hessian = -torch.diag_embed(curvature)
    for index, frame in enumerate(frames):
        part = expand(frame, poses, sigmas, frame_motion(at.drive, index, config))
        columns = unknowns(index, n, part.gradient.shape[1])
        value = value + part.value / n
        gradient[:, columns] += part.gradient.to(gradient) / n
        hessian[:, columns[:, None], columns] += part.hessian.to(hessian) / n
    return Slope(value, gradient, hessian)


def unknowns(frame: int, frames: int, count: int) -> torch.Tensor:
    """(count,) which of all unknowns the `count` of one frame are: the pose, the delay if any, its own speed."""
    own = [6 + frame + int(timed(frames))] if count > 6 else []
    return torch.tensor([*range(count - len(own)), *own])


def frame_motion(drive: Drive, frame: int, config: DriveConfig | None) -> Motion | None:
    """One frame's share of the drive; None where the vehicle stands and nobody asks."""
    if config is None:
        return None
    return Motion(drive.speed[:, frame], drive.delay, timed(drive.speed.shape[1]))


def _newton_step(at: Slope, damping: torch.Tensor) -> torch.Tensor:
    """Ascent steps (S, D), none larger than `_LARGEST_STEP`."""
    curvature, axes = torch.linalg.eigh(-0.5 * (at.hessian + at.hessian.transpose(1, 2)))
    curvature = curvature.abs().clamp_min(1e-3)
    curvature = curvature + damping[:, None] * curvature.amax(1, keepdim=True)
    along = (axes.transpose(1, 2) @ at.gradient[:, :, None])[..., 0] / curvature
    step = (axes @ along[:, :, None])[..., 0]
    return step * (_LARGEST_STEP / step.abs().amax(1, keepdim=True).clamp_min(_LARGEST_STEP))


def _either(first: torch.Tensor, a: Candidates, b: Candidates) -> Candidates:
    """Per candidate the one of a where `first` (S,), else the one of b."""
    return Candidates(torch.where(first[:, None, None], a.T, b.T),
                      Drive(torch.where(first[:, None], a.drive.speed, b.drive.speed),
                            torch.where(first, a.drive.delay, b.drive.delay)))
