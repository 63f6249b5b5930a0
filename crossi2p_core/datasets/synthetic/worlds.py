"""Many synthetic worlds as files, to learn from: each another town with another camera and another LiDAR."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ...types import Camera
from ..compact_writer import prepare
from .elsewhere import ElsewhereSource

KINDS = {"street": 0.7, "yard": 0.2, "hall": 0.1}  # shares
LIDARS = {"hdl64": 0.55, "hdl32": 0.15, "vlp32": 0.1, "os128": 0.15, "vlp16": 0.05}  # shares
VIEW_DEG = (55.0, 95.0)  # across the image
ASPECT = (1.5, 3.4)  # width over height
PIXELS = 110_000
MOST_WORLDS = 100_000


def drawn_world(seed: int, frames: int, elsewhere: int, every: int) -> ElsewhereSource:
    """The drive of that seed: world, camera, LiDAR and all pairs follow from it."""
    rng = np.random.default_rng([seed, 3])
    kind, lidar = (str(rng.choice(list(shares), p=list(shares.values()))) for shares in (KINDS, LIDARS))
    source = ElsewhereSource(kind, seed, frames, elsewhere, every, camera=_drawn_camera(rng), lidar=lidar)
    source.options = {"seed": seed, "frames": frames, "elsewhere": elsewhere, "every": every, "rig": "drawn"}
    return source


def write_worlds(out: Path, count: int, seed: int, frames: int, elsewhere: int, every: int, jobs: int,
                 progress: Callable[[int, int], None]) -> int:
    """Worlds `seed`, `seed` + 1, ... into folders of `out`, compact; returns how many frames were written now.

    A world that is there already is kept, one that was interrupted goes on. jobs: so many processes, each at a world
    of its own. Raises InputError for what cannot be drawn or written.
    """
    if not 1 <= count <= MOST_WORLDS:
        raise InputError(f"--worlds {count}: ask for 1 to {MOST_WORLDS}")
    tasks = [(out / f"world_{number:05d}", number, frames, elsewhere, every) for number in range(seed, seed + count)]
    written = 0
    if jobs == 1:
        for done, task in enumerate(tasks, 1):
            written += _write(*task)
            progress(done, count)
        return written
    context = multiprocessing.get_context("spawn")  # forked, torch's threads would be waited for and not be there
    with ProcessPoolExecutor(min(jobs, count), context, _begin) as pool:
        futures = [pool.submit(_write, *task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                written += future.result()
                progress(done, count)
        except BrokenProcessPool as error:
            raise InputError(f"a process that wrote worlds to {out} was killed, perhaps for want of memory; go on with "
                             "fewer --jobs") from error
        finally:
            pool.shutdown(cancel_futures=True)
    return written


def _begin() -> None:
    torch.set_num_threads(1)


def _write(folder: Path, seed: int, frames: int, elsewhere: int, every: int) -> int:
    return prepare(drawn_world(seed, frames, elsewhere, every), folder)


def _drawn_camera(rng: np.random.Generator) -> Camera:
    """A pinhole of PIXELS pixels, of any usual view."""
    view, aspect = np.radians(rng.uniform(*VIEW_DEG)), rng.uniform(*ASPECT)
    height = round(float(np.sqrt(PIXELS / aspect)))
    width = round(aspect * height)
    f = width / (2 * np.tan(view / 2))
    row = height * rng.uniform(0.42, 0.58)
    return Camera(np.array([[f, 0, width / 2 - 0.5], [0, f, row], [0, 0, 1]]), width, height)
