"""Was the robot standing still? By two scans alone: from one place the surroundings are as far away as before.

Frames from one place see the same things and err alike, however many there are: a robot that is parked for an hour
knows no more of its calibration than after a second.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from ..types import PointCloud

AZIMUTH_DEG, ELEVATION_DEG = 1.0, 0.5  # of a cell of the view
LEAST_POINTS = 2  # of a cell
NOISE_M, NOISE_SHARE = 0.03, 0.002  # by which the range of a cell may change, and that share of it
ALIKE = 0.70  # share of the cells whose range has not changed; see `alike`
NEAREST_M = 0.1  # what is nearer is nothing
LEAST_CELLS = 500  # in common; fewer tell nothing


@dataclass(frozen=True)
class View:
    """How far away it is in each direction. cells: (n,) int64, ascending; ranges: (n,) m, the median of each."""

    cells: np.ndarray
    ranges: np.ndarray


def view_of(cloud: PointCloud) -> View:
    """What a scan sees."""
    x, y, z = cloud.xyz.astype(np.float64).T
    ranges = np.sqrt(x**2 + y**2 + z**2)
    there = ranges > NEAREST_M
    x, y, z, ranges = x[there], y[there], z[there], ranges[there]
    azimuth = np.degrees(np.arctan2(y, x)) + 180.0
    elevation = np.degrees(np.arcsin(z / ranges)) + 90.0
    cell = (azimuth / AZIMUTH_DEG).astype(np.int64) * 1000 + (elevation / ELEVATION_DEG).astype(np.int64)
    order = np.lexsort((ranges, cell))
    cells, first, count = np.unique(cell[order], return_index=True, return_counts=True)
    median = ranges[order][first + count // 2]
    full = count >= LEAST_POINTS
    return View(cells[full], median[full])


def alike(one: View, other: View) -> bool:
    """Whether two scans were taken from one place, to 5 or 10 cm.

    Eight scans of a parked vehicle with 16 beams have 0.83 to 0.88 of their cells alike, two by two. On a KITTI drive
    in slow traffic it is 0.57 after 5 to 10 cm and 0.40 after 20 to 30 cm, in a synthetic street, which has little in
    it, 0.67 after 0.7 m.
    """
    _, mine, others = np.intersect1d(one.cells, other.cells, assume_unique=True, return_indices=True)
    if len(mine) < LEAST_CELLS:
        return False
    near, far = one.ranges[mine], other.ranges[others]
    same = np.abs(near - far) < NOISE_M + NOISE_SHARE * np.minimum(near, far)
    return bool(same.mean() > ALIKE)


class Places:
    """Numbers the places of the scans that come in; the newest `most` are known again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[int, View] = OrderedDict()
        self._next = 0

    def of(self, cloud: PointCloud) -> int:
        """The number of the place that a scan was taken from: a former one, or the next."""
        view = view_of(cloud)
        for number in reversed(self._known):
            if alike(self._known[number], view):
                self._known.move_to_end(number)
                return number
        number, self._next = self._next, self._next + 1
        self._known[number] = view
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return number
