"""The demo's drive: a synthetic street as a bag, and the exact extrinsic that it was made with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import numpy as np

from crossi2p_core.commands.progress import progress
from crossi2p_core.datasets.bag_writer import without_times, write_bag
from crossi2p_core.datasets.rosbag import RosbagSource, matches
from crossi2p_core.datasets.source import Source
from crossi2p_core.datasets.synthetic import SyntheticSource
from crossi2p_core.errors import InputError
from crossi2p_core.types import Sample

FRAMES = 6
EVERY = 5  # scans of the LiDAR from one frame to the next, so that the frames show different places


class Drive:
    """A drive through a street that `seed` draws, and its bag, which need not be there yet.

    truth: (4, 4) T_cam_lidar, exact. frames: what camera and LiDAR saw. hz: frames per second.
    """

    def __init__(self, bag: Path, seed: int) -> None:
        world = SyntheticSource("street", seed, FRAMES * EVERY, "kitti", "hdl64")
        self.bag = bag
        self.truth: np.ndarray = world.T_cam_lidar
        self.hz = world.lidar.rate / EVERY
        self._size = f"{world.camera.width}x{world.camera.height} px, {len(world.lidar.elevations)} beams"
        self._frames: Source = world[::EVERY]

    def words(self) -> str:
        """How much, how large, how often."""
        return f"{FRAMES} frames, {self._size}, {self.hz:g} Hz"

    def is_there(self) -> bool:
        """Whether the bag is there already, whole, and of this drive."""
        if not matches(self.bag):
            return False
        try:
            recorded = RosbagSource(self.bag)
            known = recorded[0].T_cam_lidar
        except InputError:
            return False
        return len(recorded) == FRAMES and known is not None and np.allclose(known, self.truth, rtol=0, atol=1e-9)

    def write(self) -> None:
        """Render the drive and write the bag, whole or not at all, in place of a former one; some seconds per frame."""
        with progress("Rendering") as advance:
            write_bag(map(without_times, _rendered(self._frames)), self.bag, overwrite=True, hz=self.hz,
                      progress=lambda done, _: advance(done, FRAMES))

    def recorded(self) -> Source:
        """The frames as they lie in the bag."""
        return RosbagSource(self.bag)


def _rendered(frames: Source) -> Iterator[Sample]:
    """The frames, each rendered in a thread that nobody waits for when Ctrl-C comes."""
    for index in range(len(frames)):
        future: Future[Sample] = Future()
        Thread(target=_load, args=(frames, index, future), daemon=True).start()
        yield future.result()


def _load(frames: Source, index: int, future: Future[Sample]) -> None:
    try:
        future.set_result(frames[index])
    except BaseException as error:  # whatever it is, the main thread shall raise it
        future.set_exception(error)
