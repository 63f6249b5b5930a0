"""Where a camera may be that stands apart from its LiDAR: about all that a network thinks of, by it and by edges.

A network of one frame tells rather well where the camera looks, and from where to some metres. So each of the hundreds
of poses that it holds possible is moved about at random, by metres first and then by less, and where the edges that are
seen from there and the network together say most is followed uphill. Headings about the LiDAR (`headings.py`) find
cameras beside it without any network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from .geometry import se3
from .headings import THREADS
from .refine.climb import Bounds, climb, standing
from .refine.config import RefineConfig
from .refine.focus import focused
from .refine.judge import discounted
from .refine.lidar_edges import find_edges
from .refine.objective import FrameProblem, make_problem, score, sparse, weight_in_view
from .refine.prepare import MIN_EDGES, Unusable, sight_of
from .refine.search import descend
from .types import Sample

GUESSES = 600  # of the network
MOVES, KEPT = 128, 4  # about each, in each of two rounds, and the best of them
FAR, NEAR = (2.5, (2.5, 2.5, 0.6)), (2.0, (0.6, 0.6, 0.3))  # sigmas of the two: deg, and m along the LiDAR's axes
STARTS, STARTS_DEG, STARTS_M = 400, 2.0, 0.4  # of the second round, and how near to each other two are one
EDGES = 500  # of those in view, by which moves are compared
FOLLOWED = 60  # of the guesses, uphill
REACH_DEG, REACH_M = 6.0, 1.2  # bounds of the way uphill
APART_DEG, APART_M = 1.0, 0.3  # ends nearer to each other are one

Says = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Place:
    """Some poses (K, 4, 4), the best first, and how much edges and network like that one."""

    T: torch.Tensor
    value: float


def sweep(guesses: np.ndarray, says: Says, samples: Sequence[Sample], config: RefineConfig, device: torch.device,
          count: int, between: Callable[[], None] = lambda: None) -> list[np.ndarray]:
    """Up to `count` poses (4, 4) about guesses (G, 4, 4) of a network that edges and network like best, the best first.

    says: what the network says of poses, (K, 4, 4) to (K,), in responses of edges. between: called from time to time;
    what it raises ends the search. None are found in clouds that were not scanned from their origin: there edges are
    other ones wherever one stands.
    """
    frames = _frames(samples, config, device)
    if not frames or not len(guesses):
        return []
    far, near = (_steps(config.seed, *sigmas) for sigmas in (FAR, NEAR))
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        # 1. the best far about each guess, then near these
        places = list(torch.from_numpy(guesses).to(device))
        moved = _best(_each(pool, lambda T: _moved_about(frames, T, far, says, config), places, between))
        starts = _distinct([T for place in moved for T in place.T], STARTS, STARTS_DEG, STARTS_M)
        moved = _best(_each(pool, lambda T: _moved_about(frames, T, near, says, config), starts, between))
        # 2. the most promising ones uphill
        ends = _each(pool, lambda T: _followed(frames, T, says, config), [each.T for each in moved[:FOLLOWED]], between)
    # 3. the best that differ
    found = _distinct([place.T[0] for place in _best(ends)], count, APART_DEG, APART_M)
    return [T.cpu().numpy() for T in found]


def _frames(samples: Sequence[Sample], config: RefineConfig, device: torch.device) -> list[FrameProblem]:
    """Each with its edges all around; those that are of no use are left out."""
    frames = []
    for sample in samples:
        try:
            sight = sight_of(sample, config, device)
        except Unusable:
            continue
        if not sight.merged:
            found = find_edges(sight.cloud, sight.spacing, np.zeros(3, dtype=np.float32), config.lidar)
            frames.append(make_problem(found, config.lidar, sight.maps, sight.cloud, np.array([1.0, 0.0, 0.0]), 0.0,
                                       config.seed, device))
    return frames


def _steps(seed: int, degrees: float, metres: tuple[float, float, float]) -> torch.Tensor:
    """(MOVES, 6): rad, and m along the LiDAR's axes; the first is none."""
    steps = torch.randn(MOVES, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps *= torch.tensor([np.radians(degrees)] * 3 + list(metres), dtype=torch.float64)
    steps[0] = 0
    return steps


def _about(T: torch.Tensor, depth: float, steps: torch.Tensor) -> torch.Tensor:
    """Poses (S, 4, 4) of a camera that stands elsewhere than at T (4, 4) and has turned after what lies `depth` m
    before it: by shifts alone it would see something else. steps: (S, 6), the turn beside that, and the shift."""
    ahead, shift = T[2, :3], steps[:, 3:].to(T)
    toward = torch.nn.functional.normalize(depth * ahead - shift, dim=1)
    axis = torch.linalg.cross(ahead.expand_as(toward), toward)
    sine = axis.norm(dim=1, keepdim=True)
    turn = se3.exp_so3(axis / sine.clamp(min=1e-12) * torch.atan2(sine, (toward @ ahead)[:, None]))
    R = se3.exp_so3(steps[:, :3].to(T)) @ T[:3, :3] @ turn.mT
    stands = shift - T[:3, :3].T @ T[:3, 3]
    return se3.make(R, -(R @ stands[:, :, None])[..., 0])


def _each(pool: ThreadPoolExecutor, work: Callable[[torch.Tensor], _Place], poses: Sequence[torch.Tensor],
          between: Callable[[], None]) -> list[_Place]:
    """What comes of each, in their order."""
    done = []
    for one in pool.map(work, poses):
        between()
        done.append(one)
    return done


def _seen(frames: Sequence[FrameProblem], T: torch.Tensor, config: RefineConfig) -> list[FrameProblem]:
    """The frames with the edges that are seen from a pose (4, 4), where they are enough."""
    near = [focused(frame, T, config) for frame in frames]
    return [frame for frame in near if len(frame.xyz) >= MIN_EDGES]


def _moved_about(frames: Sequence[FrameProblem], T: torch.Tensor, steps: torch.Tensor, says: Says,
                 config: RefineConfig) -> _Place:
    """The best of what steps (S, 6) make of a guess (4, 4), at the coarsest scale."""
    seen = _seen(frames, T, config)
    if not seen:
        return _Place(T[None], -np.inf)
    depth = float(torch.cat([se3.transform(T.to(frame.xyz), frame.xyz) for frame in seen]).norm(dim=1).median())
    poses = _about(T, depth, steps)
    value, best = (_response(seen, T, poses, config.image.scales_px[-1]) + _said(says, poses)).topk(KEPT)
    return _Place(poses[best.to(poses.device)], float(value[0]))


def _followed(frames: Sequence[FrameProblem], T: torch.Tensor, says: Says, config: RefineConfig) -> _Place:
    """Where poses (K, 4, 4) near each other lead, the best of them, judged by what is seen from there."""
    seen = _seen(frames, T[0], config)
    if not seen:
        return _Place(T[:1], -np.inf)
    bounds = Bounds(REACH_DEG, 10 * REACH_M, config.search.prior / len(seen))
    scales, iterations = config.image.scales_px, config.search.iterations
    at, _ = climb(seen, T[0], standing(T, len(seen)), (scales[-1],), bounds, iterations)
    at, values = descend(seen, T[0], at, scales, bounds, iterations, None)
    best = at.T[values.argmax()]
    there = _seen(frames, best, config)
    if not there:
        return _Place(best[None], -np.inf)
    return _Place(best[None], float(_response(there, best, best[None], scales[1])[0] + _said(says, best[None])[0]))


def _said(says: Says, poses: torch.Tensor) -> torch.Tensor:
    """(S,) of poses (S, 4, 4)."""
    return torch.from_numpy(says(poses.cpu().numpy()))


def _response(seen: Sequence[FrameProblem], T: torch.Tensor, poses: torch.Tensor, sigma: float) -> torch.Tensor:
    """(S,) mean over frames of how well the edges seen from T (4, 4) fit at poses (S, 4, 4) near it."""
    total = torch.zeros(len(poses))
    for frame in seen:
        few = sparse(frame, EDGES)
        weight = weight_in_view(few, T)
        if weight > 0:
            total += discounted(1.0, len(frame.xyz)) / weight * score(few, poses, sigma).cpu()
    return total / len(seen)


def _best(places: Sequence[_Place]) -> list[_Place]:
    """Those that see something, the best first."""
    return sorted((each for each in places if np.isfinite(each.value)), key=lambda each: each.value, reverse=True)


def _distinct(poses: Sequence[torch.Tensor], count: int, degrees: float, metres: float) -> list[torch.Tensor]:
    """The first `count` of poses (4, 4), without those that look and stand as an earlier one does."""
    kept: list[int] = []
    T = np.array([pose.cpu().numpy() for pose in poses]).reshape(-1, 4, 4)
    stands = se3.inverse(T)[:, :3, 3]
    for i in range(len(T)):
        near = np.linalg.norm(stands[kept] - stands[i], axis=1) < metres
        if len(kept) < count and not (near & (se3.rotation_error_deg(T[kept], T[i]) < degrees)).any():
            kept.append(i)
    return [poses[i] for i in kept]
