"""The control that never looks at the image: where the scan was taken, where the vehicle headed, and the usual rig.

What it gets right, a network can get right by heart. Every score stands beside it.

Origin: a scanner leaves at most one point per bearing, so from its own place the most bearings are taken, and from any
other place points cover one another. Heading: the vehicle hides the same floor from its scanner in every frame.
Extrinsic: the mean over frames of the same recording, the judged one left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Sample

Array = np.ndarray
SECTORS = 36
FULL_TURN = 0.9  # share of the sectors of azimuth that the scan of a spinning LiDAR reaches
ROWS, COLUMNS = 40, 720  # bearings that are told apart in the search for the origin
SEARCH = ((2.0, 10.0), (1.0, 2.0), (0.4, 1.0), (0.15, 0.4), (0.06, 0.15))  # step and reach in m, coarse to fine
THINNING = 3  # every third point tells the origin as well, in a third of the time
BINS = 180  # of heading
BANDS, BAND_DEG, LOWEST_DEG = 8, 1.0, -24.0  # of elevation, where the shadow falls on the floor
NEAR_M, NEAR_WEIGHT = 3.2, 3.0  # the vehicle's own surface counts as three bands


class Seen(NamedTuple):
    """What is kept of a training frame. shadow: (BANDS + 1, BINS). elevations: lowest and highest, rad."""

    name: str
    rig: str
    shadow: Array
    elevations: tuple[float, float]
    T_cam_lidar: Array


@dataclass(frozen=True)
class ImageFree:
    """The control, learned from frames."""

    frames: tuple[Seen, ...]

    @classmethod
    def learn(cls, samples: list[Sample]) -> ImageFree:
        """From training frames in the LiDAR's own frame; those without extrinsic or of other sensors are left out."""
        return cls(tuple(
            Seen(one.name, one.rig, shadow(one.cloud.xyz), _elevations(one.cloud.xyz), np.asarray(one.T_cam_lidar))
            for one in samples if one.T_cam_lidar is not None and is_spinning(one.cloud.xyz)))

    def answer(self, sample: Sample, moved: bool) -> Array:
        """T_cam_lidar (4, 4) of a sample whose scan has been moved, or not. Never reads image, camera or truth.

        Raises InputError where the control is not applicable: other sensors, no training frame of this rig.
        """
        known = [one for one in self.frames if one.rig == sample.rig and one.name != sample.name]
        if not known:
            raise InputError("not applicable: no other frame of this rig with a spinning LiDAR and a known extrinsic")
        usual = mean_transform(np.array([one.T_cam_lidar for one in known]))
        if not moved:
            return usual
        template = np.mean([one.shadow for one in known], axis=0)
        place = find_origin(sample.cloud.xyz, known[0].elevations)
        yaw = find_heading(sample.cloud.xyz - place, template)
        return usual @ se3.inverse(se3.make(se3.exp_so3(np.array([0.0, 0.0, yaw])), place))


def is_spinning(xyz: Array) -> bool:
    """Whether the scan (N, 3) reaches all around."""
    sector = np.floor((np.arctan2(xyz[:, 1], xyz[:, 0]) / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS
    return len(np.unique(sector)) >= FULL_TURN * SECTORS


def find_origin(xyz: Array, elevations: tuple[float, float]) -> Array:
    """(3,) m, z = 0: the place within SEARCH of the frame's zero from where points (N, 3) take the most bearings."""
    thinned, place = xyz[::THINNING].astype(np.float64), np.zeros(2)
    for step, reach in SEARCH:
        offsets = step * np.arange(-round(reach / step), round(reach / step) + 1)
        around = place + np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1).reshape(-1, 2)
        place = around[int(np.argmax([_bearings_taken(thinned, at, elevations) for at in around]))]
    return np.array([*place, 0.0])


def _bearings_taken(xyz: Array, place: Array, elevations: tuple[float, float]) -> int:
    """How many cells of azimuth and elevation hold a point, as seen from place (2,)."""
    x, y = xyz[:, 0] - place[0], xyz[:, 1] - place[1]
    low, high = elevations
    row = np.floor((np.arctan2(xyz[:, 2], np.hypot(x, y)) - low) / (high - low) * ROWS).astype(int)
    column = np.floor((np.arctan2(y, x) / (2 * np.pi) + 0.5) * COLUMNS).astype(int) % COLUMNS
    within = (row >= 0) & (row < ROWS)
    return int(np.count_nonzero(np.bincount(row[within] * COLUMNS + column[within], minlength=ROWS * COLUMNS)))


def shadow(xyz: Array) -> Array:
    """(BANDS + 1, BINS): where the floor, and at last the vehicle itself, was hit; by azimuth from -180 deg."""
    distance = np.hypot(xyz[:, 0], xyz[:, 1])
    band = np.floor((np.degrees(np.arctan2(xyz[:, 2], distance)) - LOWEST_DEG) / BAND_DEG).astype(int)
    azimuth = np.floor((np.arctan2(xyz[:, 1], xyz[:, 0]) / (2 * np.pi) + 0.5) * BINS).astype(int) % BINS
    hit = np.zeros((BANDS + 1, BINS))
    low = (band >= 0) & (band < BANDS)
    hit[band[low], azimuth[low]] = 1.0
    hit[BANDS, azimuth[(distance < NEAR_M) & (band > 0)]] = NEAR_WEIGHT
    return hit


def find_heading(xyz: Array, template: Array) -> float:
    """rad: how far points (N, 3) about their origin are turned against the mean shadow (BANDS + 1, BINS)."""
    usual = template - template.mean(axis=1, keepdims=True)
    spectrum = np.conj(np.fft.rfft(usual)) * np.fft.rfft(shadow(xyz))
    score = np.fft.irfft(spectrum.sum(axis=0), BINS)  # correlation over the circle, at every shift
    best = int(np.argmax(score))
    before, at, after = score[best - 1], score[best], score[(best + 1) % BINS]
    bend = before - 2 * at + after
    return (best + (0.5 * (before - after) / bend if bend < 0 else 0.0)) * 2 * np.pi / BINS


def mean_transform(T: Array) -> Array:
    """(4, 4) of (n, 4, 4): the rotation nearest to the mean of rotations, and the mean translation."""
    U, _, Vt = np.linalg.svd(T[:, :3, :3].mean(axis=0))
    return se3.make(U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt, T[:, :3, 3].mean(axis=0))


def _elevations(xyz: Array) -> tuple[float, float]:
    """Between which nearly all points lie, with a margin of a degree."""
    low, high = np.percentile(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])), (1, 99))
    return float(low - np.radians(1)), float(high + np.radians(1))
