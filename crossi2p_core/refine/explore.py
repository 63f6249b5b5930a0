"""Look around an answer: other poses nearby may fit nearly as well, and what they disagree on is not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .config import SearchConfig
from .objective import FrameProblem, move, step_between
from .search import Bounds, climb

_AROUND = (0.5,) * 3 + (1.2,) * 3  # UNIT: spread of the starts around the answer


@dataclass(frozen=True)
class Neighbourhood:
    """best: (4, 4) the pose that fits best. mean: (4, 4) the pose between all that fit, by how well they do.
    scatter: (6, 6) of their steps from the mean, UNIT."""

    best: torch.Tensor
    mean: torch.Tensor
    scatter: np.ndarray


def explore(frames: list[FrameProblem], T_start: torch.Tensor, T: torch.Tensor, bounds: Bounds, config: SearchConfig,
            scales: tuple[float, ...], seed: int) -> Neighbourhood:
    """Climb from random poses around T (4, 4), and weigh where they end by exp(score / temperature).

    The score is no log-likelihood, since edges of one object repeat each other; the temperature makes it one, and was
    chosen so that the errors on KITTI frames are as large as the scatter says.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(config.around, 6, generator=generator, dtype=torch.float64) * torch.tensor(_AROUND).double()
    steps[0] = 0
    poses = move(T.expand(config.around, 4, 4), steps.to(T))
    poses, _ = climb(frames, T_start, poses, (scales[1],), bounds, config.around_iterations)
    poses, values = climb(frames, T_start, poses, scales[:2], bounds, config.around_iterations)
    weight = torch.softmax(values / config.temperature, 0)  # (S,)
    away = step_between(T, poses)  # (S, 6)
    mean = (weight[:, None] * away).sum(0)
    rest = away - mean
    scatter = (weight[:, None] * rest).T @ rest
    return Neighbourhood(poses[values.argmax()], move(T[None], mean[None])[0], scatter.cpu().numpy())
