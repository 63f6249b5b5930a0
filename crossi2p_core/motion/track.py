"""How the LiDAR moved between the frames of a recording: by its poses where it tells them, else from scan to scan."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..datasets.source import Source
from ..errors import InputError
from ..geometry import se3
from ..types import Sample
from .scan_matching import match, ready

Array = np.ndarray
FASTEST_M_S = 70.0  # what moves faster is no vehicle but a jump in the poses, or another drive
LONGEST_S = 2.0  # frames further apart do not tell how the vehicle moves in between


class Track:
    """The way of a LiDAR through the frames of one source; nothing is read before it is asked for.

    at_once: frames that are kept in memory. Asking for motion that has to be found from scans raises InputError where
    open3d is missing.
    """

    def __init__(self, source: Source, at_once: int = 4) -> None:
        self.source = source
        self.sample = lru_cache(at_once)(self._read)
        self._ready = lru_cache(at_once)(self._make_ready)
        self._step = lru_cache(None)(self._find_step)

    def between(self, i: int, j: int) -> Array | None:
        """T_i_j (4, 4): points of frame j as frame i sees them; None where that cannot be told."""
        if i > j:
            back = self.between(j, i)
            return None if back is None else se3.inverse(back)
        T = np.eye(4)
        for k in range(i, j):
            step = self._step(k)
            if step is None:
                return None
            T = T @ step
        return T

    def twist(self, i: int) -> Array | None:
        """(6,) rad/s and m/s in the LiDAR's frame at frame i: T_world_lidar(t + dt) = T_world_lidar(t) exp(twist dt).

        None where stamps or motion are not known. What lies between the steps before and after, as a vehicle that
        brakes evenly has it; at an end, or where one of them is not known, the other one.
        """
        before, after = self._mean_twist(i - 1), self._mean_twist(i)
        if before is None or after is None:
            known = after or before
            return None if known is None else known[0]
        (one, since), (other, until) = before, after
        return (one * until + other * since) / (since + until)

    def _mean_twist(self, k: int) -> tuple[Array, float] | None:
        """(6,) from frame k to the next, and how many seconds that takes; None where it is not known."""
        if not 0 <= k < len(self.source) - 1:
            return None
        seconds = self._seconds(k)
        step = None if seconds is None else self._step(k)
        return None if seconds is None or step is None else (se3.log_se3(step) / seconds, seconds)

    def _find_step(self, k: int) -> Array | None:
        """T_k_next (4, 4)."""
        if not (self._readable(k) and self._readable(k + 1)):
            return None
        one, other = self.sample(k), self.sample(k + 1)
        seconds = self._seconds(k)
        if one.rig != other.rig or (self._stamped(k) and seconds is None):
            return None
        if one.T_world_lidar is not None and other.T_world_lidar is not None:
            T: Array | None = se3.inverse(np.asarray(one.T_world_lidar)) @ np.asarray(other.T_world_lidar)
        else:
            T = match(self._ready(k), self._ready(k + 1))
        if T is None or not np.linalg.norm(T[:3, 3]) <= FASTEST_M_S * (seconds or LONGEST_S):  # NaN is no motion, too
            return None
        return T

    def _readable(self, k: int) -> bool:
        """A frame that cannot be read says so when it is asked for itself; how others moved ends there."""
        try:
            self.sample(k)
        except InputError:
            return False
        return True

    def _stamped(self, k: int) -> bool:
        return all(self._readable(each) and self.sample(each).stamp_cloud is not None for each in (k, k + 1))

    def _seconds(self, k: int) -> float | None:
        """From scan k to the next; None where stamps are unknown, do not grow, or lie too far apart."""
        if not self._stamped(k):
            return None
        seconds = float(self.sample(k + 1).stamp_cloud) - float(self.sample(k).stamp_cloud)  # type: ignore[arg-type]
        return seconds if 0 < seconds <= LONGEST_S else None

    def _read(self, k: int) -> Sample:
        return self.source[k]

    def _make_ready(self, k: int) -> Any:
        return ready(self.sample(k).cloud)
