"""A source whose scans are joined with their neighbours', so that few beams become many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from ..datasets.source import Source, View
from ..geometry import se3
from ..types import PointCloud, Sample
from .straighten import straighten
from .track import Track

Array = np.ndarray
_NEAREST_M = 3.0  # what is nearer moves along with the vehicle, or was next to it a moment ago
_LOOKED_AT = 24  # neighbours on the sphere of bearings
_BESIDE = np.radians(1.0)  # of bearings that are compared
_BEHIND = 0.05, 0.3  # share of the range, and m: clearly behind


class Accumulated(View):
    """The frames of a source of one drive, each cloud joined with those of `sweeps` frames before and after it.

    Where the motion to a neighbour cannot be told, joining ends there. What cannot be seen from where the frame was
    taken is left out (`join`): what looks at depth steps expects one viewpoint. Clouds with times are straightened
    first. Names, images, poses and extrinsics are the source's.
    """

    def __init__(self, parent: Source, sweeps: int) -> None:
        super().__init__(parent, range(len(parent)))
        self.sweeps, self.track = sweeps, Track(parent, 2 * sweeps + 2)

    def identity(self) -> str:
        """With the number of sweeps."""
        return f"{super().identity()} sweeps={self.sweeps}"

    def _load(self, index: int) -> Sample:
        sample = self.track.sample(index)
        own = self._straight(index)
        others = [moved for step in (-1, 1) for moved in self._along(index, step)]
        return replace(sample, cloud=join(own, others))

    def _along(self, index: int, step: int) -> list[PointCloud]:
        """The clouds of neighbours in one direction, as seen from frame `index`."""
        moved: list[PointCloud] = []
        for other in range(index + step, index + step * (self.sweeps + 1), step):
            T = self.track.between(index, other) if 0 <= other < len(self.parent) else None
            if T is None:
                break
            cloud = self._straight(other)
            far = cloud.select(np.linalg.norm(cloud.xyz, axis=1) > _NEAREST_M)
            moved.append(replace(far, xyz=se3.transform(T, far.xyz)))
        return moved

    def _straight(self, index: int) -> PointCloud:
        cloud = self.track.sample(index).cloud
        twist = None if self.parent.instant or cloud.time is None else self.track.twist(index)
        return cloud if twist is None else straighten(cloud, twist)


def track_of(source: Source) -> Track:
    """The way of the LiDAR, by single scans also where these are joined."""
    return source.track if isinstance(source, Accumulated) else Track(source)


def join(own: PointCloud, others: Sequence[PointCloud]) -> PointCloud:
    """One cloud of several in the same frame, as if scanned from its origin; no rings and no times.

    The frame's own points are all kept. Of the others those go that stand where the frame's own beams passed through,
    since what they hit has moved, and those that are hidden.
    """
    there = [cloud.select(~seen_through(cloud.xyz, own.xyz)) for cloud in others]
    clouds = [own, *there]
    xyz = np.concatenate([cloud.xyz for cloud in clouds])
    intensities = [cloud.intensity for cloud in clouds if cloud.intensity is not None]
    intensity = np.concatenate(intensities) if len(intensities) == len(clouds) else None
    keep = ~hidden(xyz)
    keep[:len(own)] = True
    return PointCloud(xyz[keep], None if intensity is None else intensity[keep], dropped=own.dropped)


def seen_through(xyz: Array, own: Array) -> Array:
    """(N,) bool: points (N, 3) before which every one of the scan's own points (M, 3) about their bearing lies clearly
    farther away."""
    if not len(xyz) or not len(own):
        return np.zeros(len(xyz), dtype=bool)
    (bearings, ranges), (own_bearings, own_ranges) = _bearings(xyz), _bearings(own)
    distance, index = cKDTree(own_bearings, balanced_tree=False, compact_nodes=False).query(
        bearings, k=list(range(1, min(_LOOKED_AT, len(own)) + 1)), distance_upper_bound=_BESIDE, workers=-1)
    near = np.isfinite(distance)
    farther = own_ranges[np.where(near, index, 0)] > ranges[:, None] * (1 + _BEHIND[0]) + _BEHIND[1]
    return near.any(axis=1) & (farther | ~near).all(axis=1)


def hidden(xyz: Array) -> Array:
    """(N,) bool: points (N, 3) with clearly nearer ones to the left and right of them, or above and below.

    Behind a silhouette nearer points are on one side only, so that what stands beside an edge stays.
    """
    if len(xyz) < 3:
        return np.zeros(len(xyz), dtype=bool)
    bearings, ranges = _bearings(xyz)
    distance, index = cKDTree(bearings, balanced_tree=False, compact_nodes=False).query(
        bearings, k=min(_LOOKED_AT, len(xyz)), distance_upper_bound=_BESIDE, workers=-1)
    near = np.isfinite(distance)
    index = np.where(near, index, 0)
    before = near & (ranges[index] < ranges[:, None] * (1 - _BEHIND[0]) - _BEHIND[1])  # (N, k)
    offset = bearings[index] - bearings[:, None]  # (N, k, 2)
    steep = np.abs(offset[..., 1]) > np.abs(offset[..., 0])
    sides = [before & steep & (offset[..., 1] > 0), before & steep & (offset[..., 1] < 0),
             before & ~steep & (offset[..., 0] > 0), before & ~steep & (offset[..., 0] < 0)]
    above, below, left, right = (side.any(axis=1) for side in sides)
    return (above & below) | (left & right)


def _bearings(xyz: Array) -> tuple[Array, Array]:
    """(N, 2) azimuth and elevation in rad, and (N,) range in m, of points (N, 3)."""
    ranges = np.maximum(np.linalg.norm(xyz, axis=1), 1e-9)
    return np.stack([np.arctan2(xyz[:, 1], xyz[:, 0]), np.arcsin(np.clip(xyz[:, 2] / ranges, -1, 1))], axis=1), ranges
