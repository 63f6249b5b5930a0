"""Where a camera may be that stands apart from its LiDAR: about all that a network thinks of, by it and by edges.

A network of one frame tells rather well where the camera looks, and from where to some metres. So each of the hundreds
of poses that it holds possible is moved about at random, and where the edges that are seen from there and the network
together say most is followed uphill. Headings about the LiDAR (`headings.py`) find cameras beside it without any
network.
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
from .refine.objective import FrameProblem, make_problem, move, score, sparse, weight_in_view
from .refine.prepare import MIN_EDGES, Unusable, sight_of
from .refine.search import descend
from .types import Sample

GUESSES = 600  # of the network
MOVES, MOVED_DEG, MOVED_M = 64, 2.5, 0.4  # about each, and how far: sigmas
KEPT = 4  # of the moves about each
EDGES = 500  # of those in view, by which moves are compared
FOLLOWED = 60  # of the guesses, uphill
REACH_DEG, REACH_M = 6.0, 1.2  # bounds of the way uphill
APART_DEG, APART_M = 1.0, 0.3  # ends nearer to each other are one


Says = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Place:
    """The best of some poses (K, 4, 4) near each other, the best first, and how much edges and network like it."""

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
    steps, places = _steps(config.seed, device), torch.from_numpy(guesses).to(device)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        # 1. the best about each guess
        moved = _best(_each(pool, lambda T: _moved_about(frames, T, steps, says, config), list(places), between))
        # 2. the most promising ones uphill
        ends = _each(pool, lambda T: _followed(frames, T, says, config), [each.T for each in moved[:FOLLOWED]], between)
    # 3. the best that differ
    return _distinct(_best(ends), count)


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


def _steps(seed: int, device: torch.device) -> torch.Tensor:
    """(MOVES, 6) as `move` takes them; the first is none."""
    steps = torch.randn(MOVES, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    steps *= torch.tensor([MOVED_DEG] * 3 + [10 * MOVED_M] * 3, dtype=torch.float64)
    steps[0] = 0
    return steps.to(device)


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
    poses = move(T.expand(len(steps), 4, 4), steps)
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


def _distinct(places: Sequence[_Place], count: int) -> list[np.ndarray]:
    """Up to `count` of the best poses, none as near to a better one as to be the same."""
    found: list[np.ndarray] = []
    for place in places:
        T = place.T[0].cpu().numpy()
        apart = all(se3.rotation_error_deg(T, other) > APART_DEG or se3.translation_error_m(T, other) > APART_M
                    for other in found)
        if apart and len(found) < count:
            found.append(T)
    return found
