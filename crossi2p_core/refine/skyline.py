"""Which points have nothing but sky above them, told apart from the gaps that every scan has between its rows."""

from __future__ import annotations

import numpy as np

from .spacing import Spacing

_BAND = np.radians(0.25)  # of elevation: points of one band have the same row above them
_WIDEST = np.radians(6.0)
_SAME_ROW = 0.3  # of the row spacing: points closer in elevation than this belong to one row
_OPEN = 2.5  # times the usual gap above points of the same elevation


def open_above(azimuth: np.ndarray, elevation: np.ndarray, spacing: Spacing) -> np.ndarray:
    """(N,) bool for bearings in radians: the next point above is much further away than it is elsewhere at this height.

    Rows need not be evenly spaced: many sensors bunch them near the horizon, and above the last row of the bunch every
    gap is wide. What is usual is therefore read off the other azimuths of the same elevation.
    """
    gap = _gap_above(azimuth, elevation, spacing)
    band = np.floor((elevation - elevation.min()) / _BAND).astype(np.int64)
    usual = np.full(band.max() + 1, _WIDEST / 2)
    real = gap < _WIDEST
    order = np.lexsort((gap[real], band[real]))
    sorted_band, sorted_gap = band[real][order], gap[real][order]
    first = np.searchsorted(sorted_band, np.arange(len(usual)))
    count = np.searchsorted(sorted_band, np.arange(len(usual)), side="right") - first
    filled = count > 0
    usual[filled] = np.minimum(sorted_gap[(first + count // 4)[filled]], _WIDEST / 2)  # the lower quartile of each band
    return gap > _OPEN * usual[band]


def _gap_above(azimuth: np.ndarray, elevation: np.ndarray, spacing: Spacing) -> np.ndarray:
    """(N,) rad to the next higher row within a strip of azimuth, infinite where there is none."""
    width = max(1.5 * spacing.column, np.radians(0.4))
    strip = np.floor((azimuth - azimuth.min()) / width)
    key = 10 * strip + elevation  # elevations span less than pi, so strips stay apart
    order = np.argsort(key)
    key, strip = key[order], strip[order]
    above = np.searchsorted(key, key + _SAME_ROW * spacing.row)
    inside = above < len(key)
    above = np.minimum(above, len(key) - 1)
    gap = np.empty(len(key))
    gap[order] = np.where(inside & (strip[above] == strip), key[above] - key, np.inf)
    return gap
