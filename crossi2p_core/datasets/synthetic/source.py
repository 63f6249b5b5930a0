"""The synthetic world as a source: a drive of which everything is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...geometry import se3
from ...types import Camera, PointCloud, Sample
from ..source import Source
from .camera_render import render
from .domain import Domain, Look, draw_look
from .layout_hall import hall_world
from .layout_street import street_world
from .layout_yard import yard_world
from .lidar_models import Lidar, lidar_named
from .lidar_scan import point_cloud, scan
from .path import Path
from .rig import camera_named, draw_extrinsic, lidar_on_vehicle
from .world import World

LAYOUTS: dict[str, Callable[[np.random.Generator, Domain], tuple[World, Path]]] = {
    "street": street_world, "yard": yard_world, "hall": hall_world,
}
BLOCK_METRES = {"street": 60.0, "yard": 60.0, "hall": 30.0}  # after which the drive goes on in another world
_BLOCK_APART = 1000.0  # m between the worlds of one drive in the world frame
_MOST_FRAMES = 1_000_000


def make_world(kind: str, seed: int | Sequence[int], domain: Domain | None = None,
               device: str = "cpu") -> tuple[World, Path]:
    """One world and the path of a vehicle through it; kind: street, yard or hall.

    The same seed (a number of 0 or more, or several) is the same world. Raises InputError for an unknown kind.
    """
    if kind not in LAYOUTS:
        raise InputError(f"the synthetic world {kind!r} is not known; use one of {', '.join(LAYOUTS)}")
    world, path = LAYOUTS[kind](np.random.default_rng(seed), domain or Domain())
    return world.to(device), path


class SyntheticSource(Source):
    """Frames of a drive through a generated world, with exact T_cam_lidar and T_world_lidar.

    kind: street, yard or hall. seed: another seed is another town, light, lens and rig. frames: at the LiDAR's rate.
    camera, lidar: a name (see `rig.CAMERAS`, `lidar_models.LIDARS`) or an object; by default a 512x160 view like
    KITTI's and its 64-beam LiDAR. T_cam_lidar: (4, 4), by default a car's, drawn from the seed. device: where torch
    computes. samples: rays per pixel, 1, 2 or 4. Camera and LiDAR are computed side by side, each on half of the cores.
    Raises InputError for what is not known.
    """

    kind = "synthetic"
    instant = True

    def __init__(self, kind: str = "street", seed: int = 0, frames: int = 10, camera: Camera | str | None = None,
                 lidar: Lidar | str | None = None, T_cam_lidar: np.ndarray | None = None,
                 domain: Domain | None = None, device: str = "cpu", samples: int = 2) -> None:
        if kind not in LAYOUTS:
            raise InputError(f"the synthetic world {kind!r} is not known; use one of {', '.join(LAYOUTS)}")
        if not 1 <= frames <= _MOST_FRAMES or seed < 0:
            raise InputError(f"frames={frames} seed={seed}: ask for 1 to {_MOST_FRAMES} frames and a seed of 0 or "
                             "more")
        if samples not in (1, 2, 4):
            raise InputError(f"samples={samples}: use 1, 2 or 4 rays per pixel")
        super().__init__(f"synthetic:{kind}", [f"{i:06d}" for i in range(frames)])
        self.layout, self.seed, self.samples = kind, seed, samples
        self.domain, self.device = domain or Domain(), _device(device)
        self.camera = camera if isinstance(camera, Camera) else camera_named(camera or "small")
        self.lidar = lidar if isinstance(lidar, Lidar) else lidar_named(lidar or "hdl64")
        rng = np.random.default_rng([seed, 1])
        drawn = draw_extrinsic(rng, self.domain)
        self.T_cam_lidar = drawn if T_cam_lidar is None else se3.check_transform(T_cam_lidar, "T_cam_lidar")
        self.look = draw_look(rng, self.domain)
        self._begin()

    def _begin(self) -> None:
        """Nothing made yet but the first block, which tells the speed."""
        self._block = lru_cache(maxsize=2)(self._make_block)
        self._first_path = self._block(0)[1]

    def __getstate__(self) -> dict[str, Any]:
        """What another process makes the same world of."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_block", "_first_path")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _make_block(self, block: int) -> tuple[World, Path]:
        return make_world(self.layout, (self.seed, block), self.domain, self.device)

    def pose(self, index: int) -> np.ndarray:
        """T_world_lidar (4, 4) float64 of frame `index`."""
        block, _, T_block_lidar = self._place(index)
        return se3.make(np.eye(3), np.array([block * _BLOCK_APART, 0, 0])) @ T_block_lidar

    def _place(self, index: int) -> tuple[int, World, np.ndarray]:
        """The block of frame `index`, its world, and the LiDAR's pose in that world's own frame."""
        per_block = max(1, math.floor(BLOCK_METRES[self.layout] * self.lidar.rate / self._first_path.speed))
        block, step = divmod(index, per_block)
        world, path = self._block(block)
        time = step / self.lidar.rate * min(1.0, self._first_path.speed / path.speed)
        return block, world, path.pose(time) @ lidar_on_vehicle()

    def _load(self, index: int) -> Sample:
        _, world, T_block_lidar = self._place(index)
        T_cam_lidar, look = self._camera(index)
        T_world_cam = T_block_lidar @ se3.inverse(T_cam_lidar)
        with _side_by_side() as workers:
            rendered = workers.submit(self._image, world, T_world_cam, look, index)
            cloud = workers.submit(self._scan, world, T_block_lidar, index).result()
            image = rendered.result()
        stamp = index / self.lidar.rate
        return Sample(self.names[index], image, self.camera, cloud, T_cam_lidar, self.pose(index), stamp, stamp,
                      self._rig(index))

    def _camera(self, index: int) -> tuple[np.ndarray, Look]:
        """T_cam_lidar (4, 4), and light and lens, of one frame: those of the whole drive."""
        return self.T_cam_lidar, self.look

    def _rig(self, index: int) -> str:
        return f"{self.path}/{self.seed}"

    def _generator(self, index: int, sensor: int) -> torch.Generator:
        """The noise of one sensor in one frame."""
        seed = int(np.random.default_rng([self.seed, index, sensor]).integers(2**62))
        return torch.Generator(self.device).manual_seed(seed)

    def _image(self, world: World, T_world_cam: np.ndarray, look: Look, index: int) -> np.ndarray:
        pose = torch.from_numpy(T_world_cam)[None]
        generator = self._generator(index, 0)
        return render(world, self.camera, pose, [look], generator, self.samples)[0].cpu().numpy()

    def _scan(self, world: World, T_world_lidar: np.ndarray, index: int) -> PointCloud:
        pose = torch.from_numpy(T_world_lidar)[None]
        return point_cloud(scan(world, self.lidar, pose, self._generator(index, 1), index), self.lidar)


@contextmanager
def _side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Two threads that share torch's cores evenly, which is faster than one after the other on all of them.

    torch keeps the number of cores per thread, and what was set last for threads yet to come: so it is set back.
    """
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(2, initializer=lambda: torch.set_num_threads(max(1, cores // 2))) as workers:
            yield workers
    finally:
        torch.set_num_threads(cores)


def _device(name: str) -> str:
    """The device's name once torch has said that it exists; raises InputError."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"the device {name!r} cannot be used here; use cpu or cuda") from error
    return name
