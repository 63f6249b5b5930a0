"""Look around an answer: other poses nearby may fit nearly as well, and what they disagree on is not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .climb import Bounds, Candidates
from .config import DriveConfig, SearchConfig
from .drive import Drive
from .objective import FrameProblem, move, step_between
from .search import descend

_AROUND = (0.5,) * 3 + (1.2,) * 3  # UNIT: spread of the starts around the answer
_AROUND_SPEED = 4.0  # m/s


@dataclass(frozen=True)
class Neighbourhood:
    """best: the candidate (one) that fits best. mean: the one between all that fit, by how well they do.
    scatter: (6, 6) of their steps from the mean, UNIT."""

    best: Candidates
    mean: Candidates
    scatter: np.ndarray


def explore(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds, config: SearchConfig,
            scales: tuple[float, ...], seed: int, drive: DriveConfig | None) -> Neighbourhood:
    """Climb from random places around a candidate (one), and weigh where they end by exp(score / temperature).

    The score is no log-likelihood, since edges of one object repeat each other; the temperature makes it one, and was
    chosen so that the errors on KITTI frames are as large as the scatter says.
    """
    T = at.T[0]
    rivals, values = _rivals(frames, T_start, at, bounds, config, scales, seed, drive)
    weight = torch.softmax(values / config.temperature, 0)  # (S,)
    away = step_between(T, rivals.T)  # (S, 6)
    mean = (weight[:, None] * away).sum(0)
    rest = away - mean
    scatter = (weight[:, None] * rest).T @ rest
    between = Drive((weight[:, None] * rivals.drive.speed).sum(0, keepdim=True),
                    (weight * rivals.drive.delay).sum(0, keepdim=True))
    return Neighbourhood(rivals[values.argmax()[None]], Candidates(move(T[None], mean[None]), between),
                         scatter.cpu().numpy())


def _rivals(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds, config: SearchConfig,
            scales: tuple[float, ...], seed: int, drive: DriveConfig | None) -> tuple[Candidates, torch.Tensor]:
    """Local maxima near a candidate, itself the first, and their values (S,)."""
    count = config.around
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, 6 + len(frames), generator=generator, dtype=torch.float64)
    steps[0] = 0
    poses = move(at.T.expand(count, 4, 4), (steps[:, :6] * torch.tensor(_AROUND).double()).to(at.T))
    speed = at.drive.speed.expand(count, -1)
    if drive is not None:
        speed = speed + _AROUND_SPEED * steps[:, 6:].to(speed)
    rivals = Candidates(poses, Drive(speed, at.drive.delay.expand(count)))
    return descend(frames, T_start, rivals, scales, bounds, config.around_iterations, drive)
