"""Find the pose with the best score: random poses when the start may be far off, then Newton uphill, coarse to fine."""

from __future__ import annotations

from dataclasses import replace

import torch

from .climb import Bounds, Candidates, climb, standing
from .config import DriveConfig, RefineConfig, SearchConfig
from .drive import Drive, timed
from .focus import focused
from .image_edges import FINE
from .objective import FrameProblem, driven, move, score, seen_from, sparse, step_between

_STILL = 0.02  # UNIT
_SAME_VIEW = 2.0  # deg: scores of poses nearer than this can be compared whatever edges are counted
_NEW_VIEW = 0.2  # UNIT: a smaller move changes neither what is hidden nor how edges run


def wide_search(frames: list[FrameProblem], T_start: torch.Tensor, bounds: Bounds,
                settings: RefineConfig) -> torch.Tensor:
    """The most promising poses (S, 4, 4), best first, from a start (4, 4) that may be wrong by the bounds."""
    config, scales = settings.search, settings.image.scales_px
    few = [sparse(frame, int(config.sample_edges / len(frames) ** 0.5)) for frame in frames]
    far = bounds.deg > config.far_deg
    effort = config.far_effort if far else 1
    # 1. score random poses around the start at the coarsest scale
    generator = torch.Generator().manual_seed(settings.seed)
    steps = torch.randn(effort * config.samples, 6, generator=generator, dtype=torch.float64)
    steps *= 0.5 * torch.tensor([bounds.deg] * 3 + [bounds.dm] * 3, dtype=torch.float64)
    steps[0] = 0
    poses = move(T_start.expand(len(steps), 4, 4), steps.to(T_start))
    values = sum(score(f, poses, scales[-1]) for f in few) / len(few)
    # 2. follow the best distinct ones uphill, coarse scale first, fewer at each
    apart = torch.tensor([min(0.5 * bounds.deg, 0.6)] * 3 + [min(0.5 * bounds.dm, 1.0)] * 3).to(T_start)
    apart *= effort
    poses = poses[_distinct(poses, values - bounds.penalty(T_start, poses), apart, effort * config.starts)]
    at, values = climb(few, T_start, standing(poses, len(few)), (scales[-1],), bounds, config.iterations)
    at = at[_distinct(at.T, values, 0.3 * apart, effort * config.finalists)]
    if far:
        return _by_what_each_sees(frames, T_start, at, bounds, settings)
    at, values = climb(frames, T_start, at, (scales[-2],), bounds, config.iterations)
    return at.T[values.argsort(descending=True)]


def _by_what_each_sees(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds,
                       settings: RefineConfig) -> torch.Tensor:
    """The poses (S, 4, 4) to which candidates lead, each judged by the edges that it sees: the best, then those that
    see about the same."""
    ends = [_followed(frames, T_start, at[[i]], bounds, settings) for i in range(len(at))]
    poses, values = torch.cat([end.T for end, _ in ends]), torch.cat([value for _, value in ends])
    poses = poses[values.argsort(descending=True)]
    turned = step_between(poses[0], poses)[:, :3].norm(dim=1)
    return poses[turned < _SAME_VIEW][:settings.search.finalists]


def _followed(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds,
              settings: RefineConfig) -> tuple[Candidates, torch.Tensor]:
    """Where a candidate (one) leads, and its value (1,)."""
    scales, iterations = settings.image.scales_px, settings.search.iterations
    near = [focused(frame, at.T[0], settings) for frame in frames]
    return descend(near, T_start, at, scales, bounds, iterations, None)


def fine_search(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds,
                config: SearchConfig, scales: tuple[float, ...], drive: DriveConfig | None) -> Candidates:
    """The best candidate of those near the given ones, as a batch of one."""
    at, values = descend(frames, T_start, at, scales, bounds, config.iterations, drive)
    return at[values.argmax()[None]]


def descend(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, scales: tuple[float, ...],
            bounds: Bounds, iterations: int, drive: DriveConfig | None) -> tuple[Candidates, torch.Tensor]:
    """Where candidates lead that may be some pixels off, and their values (S,): uphill at the middle scales, then at
    the fine ones."""
    for sigma in (scales[FINE], scales[FINE - 1]):
        at, _ = climb(frames, T_start, at, (sigma,), bounds, iterations, drive)
    return climb(frames, T_start, at, scales[:FINE], bounds, iterations, drive)


def driving_too(poses: torch.Tensor, frames: int, config: DriveConfig | None) -> Candidates:
    """Candidates at poses (S, 4, 4): each once standing still and once driving ahead, or with many frames between.

    One frame's speed has more than one maximum; of many frames each finds its own from half way.
    """
    at = standing(poses, frames)
    if config is None:
        return at
    ahead = torch.full_like(at.drive.speed, config.guess_m_s)
    if timed(frames):
        return Candidates(at.T, Drive(0.5 * ahead, at.drive.delay))
    return Candidates(torch.cat([at.T, at.T]),
                      Drive(torch.cat([at.drive.speed, ahead]), torch.cat([at.drive.delay, at.drive.delay])))


def _distinct(poses: torch.Tensor, values: torch.Tensor, apart: torch.Tensor, most: int) -> list[int]:
    """Indices of the best poses, best first, of which any two differ by more than `apart` (6,) in some coordinate."""
    chosen: list[int] = []
    for index in values.argsort(descending=True).tolist():
        if not chosen or bool((step_between(poses[index], poses[chosen]).abs() / apart).amax(1).min() > 1):
            chosen.append(index)
        if len(chosen) == most:
            break
    return chosen


def settle(frames: list[FrameProblem], T_start: torch.Tensor, at: Candidates, bounds: Bounds, config: SearchConfig,
           scales: tuple[float, ...], drive: DriveConfig | None) -> tuple[Candidates, list[FrameProblem]]:
    """Climb on at the finest scales, occlusion and normals as seen from the present pose, until it stands still."""
    seen_at = at
    frames = look_again(frames, at)
    for _ in range(config.rounds if len(frames) > 1 else 1):
        moved, _ = climb(frames, T_start, at, scales[:FINE], bounds, config.iterations, drive)
        step, since_seen = (float(step_between(a.T[0], moved.T).abs().max()) for a in (at, seen_at))
        at = moved
        if step < _STILL:
            break
        if since_seen > _NEW_VIEW:
            seen_at, frames = at, look_again(frames, at)
    return at, frames


def look_again(frames: list[FrameProblem], at: Candidates) -> list[FrameProblem]:
    """The frames as measured, with occlusion and normals as a candidate (one) sees them."""
    views = [seen_from(frame, at.T[0]) for frame in straightened(frames, at)]
    return [replace(frame, across=view.across) for frame, view in zip(frames, views, strict=True)]


def straightened(frames: list[FrameProblem], at: Candidates) -> list[FrameProblem]:
    """The frames without what a candidate (one) takes for the vehicle's motion."""
    return [driven(frame, at.drive.speed[0, i], at.drive.delay[0]) for i, frame in enumerate(frames)]
