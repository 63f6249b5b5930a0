"""A drive whose images are taken later than their stamps say: what a camera without synchronisation does.

The vehicle brakes and speeds up, so that how late they are can be told from the frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry import se3
from ...types import Sample
from .rig import lidar_on_vehicle
from .source import BLOCK_METRES, SyntheticSource

MOST_MS = 1000
_SHARE = 0.9  # of a block that is driven through: there is only one
_BRAKING = 0.8, 1.1  # s and 1/s: the vehicle is ahead of an even drive by a sine; speeds from 0.1 to 1.9 of it


class LateSource(SyntheticSource):
    """Frames of one short drive, evenly apart in time.

    late: ms by which every image is taken later than its stamp, which is that of its scan. Anything else as in
    SyntheticSource, and InputError likewise.
    """

    def __init__(self, kind: str = "street", seed: int = 0, frames: int = 24, late: int = 40, **more: Any) -> None:
        if not 0 <= late <= MOST_MS:
            raise InputError(f"late={late}: ask for 0 to {MOST_MS} ms")
        self.late = late
        super().__init__(kind, seed, frames, **more)

    def pose(self, index: int) -> np.ndarray:
        """T_world_lidar (4, 4) float64 of the scan of frame `index`."""
        return self._pose_at(self._stamp(index))

    def _stamp(self, index: int) -> float:
        """s."""
        whole = _SHARE * BLOCK_METRES[self.layout] / self._first_path.speed
        return whole * index / len(self)

    def _pose_at(self, time: float) -> np.ndarray:
        ahead, rate = _BRAKING
        return self._first_path.pose(time + ahead * np.sin(rate * time)) @ lidar_on_vehicle()

    def _load(self, index: int) -> Sample:
        world, _ = self._block(0)
        stamp, (T_cam_lidar, look) = self._stamp(index), self._camera(index)
        T_world_cam = self._pose_at(stamp + self.late / 1000) @ se3.inverse(T_cam_lidar)
        image, cloud = self._image(world, T_world_cam, look, index), self._scan(world, self.pose(index), index)
        return Sample(self.names[index], image, self.camera, cloud, T_cam_lidar, self.pose(index), stamp, stamp,
                      self._rig(index))
