"""How far apart a LiDAR's samples are, read off the cloud itself: 16 beams, 64 beams and rosettes alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LARGEST = np.radians(6.0)  # wider gaps are holes in the scene, not the sensor's raster
_APART = 10.0  # rad: more than any two angles differ by, so that one sort keeps strips apart
_SHARE = 0.25  # the gap at which a quarter of all covered angle lies in smaller ones: holes do not move it


@dataclass(frozen=True)
class Spacing:
    """Angles in radians between neighbouring rows (elevation) and columns (azimuth), metres between thinned points."""

    row: float
    column: float
    grain: float

    @property
    def elevation_scale(self) -> float:
        """Factor on elevations that makes rows as dense as columns; 1 where rows are not the sparser ones."""
        return min(1.0, self.column / self.row)


def estimate_spacing(azimuth: np.ndarray, elevation: np.ndarray, grain: float) -> Spacing:
    """Row and column spacing of a scan given as angles (N,) in radians.

    Within narrow strips of azimuth the sorted elevations of a spinning LiDAR show its rows as equal gaps with next to
    nothing between them; weighting each gap by its own size finds that gap, whatever the number of columns.
    """
    row = _typical_gap(elevation, azimuth / np.radians(1.0))
    column = _typical_gap(azimuth, elevation / np.radians(0.2))
    low, high = np.radians(0.05), np.radians(4.0)
    return Spacing(float(np.clip(row, low, high)), float(np.clip(column, low, high)), grain)


def _typical_gap(values: np.ndarray, position: np.ndarray) -> float:
    """The typical gap within strips of unit `position`; strips are cut twice, lest a cut runs along a row."""
    return min(_gap_within(values, np.floor(position + shift)) for shift in (0.0, 0.5))


def _gap_within(values: np.ndarray, strip: np.ndarray) -> float:
    """The gap between sorted neighbours of one strip below which `_SHARE` of the covered angle lies."""
    gaps = np.diff(np.sort(_APART * strip + values))
    gaps = np.sort(gaps[gaps < _LARGEST])
    if len(gaps) == 0:
        return float(_LARGEST)
    covered = np.cumsum(gaps)
    return float(gaps[np.searchsorted(covered, _SHARE * covered[-1])])
