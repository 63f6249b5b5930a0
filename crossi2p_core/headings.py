"""Where nobody has a guess: a camera stands upright near its LiDAR and looks anywhere, so it is looked for all around.

That holds for nearly every rig. It does not for cameras that lie on their side or look down, for clouds whose origin is
not where the LiDAR stands, and for a LiDAR that is mounted aslant: for those there is the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from .geometry import se3
from .refine.align import Alignment, align
from .refine.config import RefineConfig
from .refine.prepare import Prepared
from .types import Prior, Sample

Array = np.ndarray
HEADINGS = 18
REACH_DEG, REACH_M = 13.0, 0.8  # bounds of the search about each: half a step, and how aslant and how far cameras stand
QUICK_SAMPLES, QUICK_STARTS, QUICK_FINALISTS = 1500, 10, 2  # of that search
THREADS = 4  # more gain little, and each takes some 100 MB
AHEAD_OF_LIDAR = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # of a camera that looks along the LiDAR's x axis


def all_around(count: int = HEADINGS) -> list[Prior]:
    """Upright cameras at the LiDAR's place that look at so many headings, evenly apart."""
    turns = [se3.exp_so3(np.array([0.0, 0.0, heading])) for heading in 2 * np.pi * np.arange(count) / count]
    return [Prior(se3.make(AHEAD_OF_LIDAR @ turn.T, np.zeros(3)), REACH_DEG, REACH_M) for turn in turns]


def look_at(places: Sequence[Prior], samples: Sequence[Sample], config: RefineConfig, device: torch.device,
            between: Callable[[], None] = lambda: None) -> list[Alignment]:
    """Where the edges of samples of one rig fit best about each place, roughly, in their order; some have failed.

    A quick search, by several threads: it is to tell places apart, not to find poses. between: called from time to
    time; what it raises ends the search.
    """
    search = replace(config.search, samples=QUICK_SAMPLES, sample_edges=QUICK_SAMPLES, starts=QUICK_STARTS,
                     finalists=QUICK_FINALISTS, far_effort=1, explored_frames=0)
    quick = replace(config, drive=replace(config.drive, enabled=False), search=search)
    prepared = Prepared(places[0])
    first = align(samples, places[0], quick, device, prepared)  # the others share what it has seen of image and cloud
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        found = [first]
        for one in pool.map(lambda place: align(samples, place, quick, device, prepared.elsewhere(place)), places[1:]):
            between()
            found.append(one)
        return found
