"""Times of single points: drivers agree neither on the unit nor on the zero, so the values themselves must tell."""

from __future__ import annotations

import numpy as np

UNITS = (1.0, 1e-3, 1e-6, 1e-9)  # seconds, milliseconds, microseconds, nanoseconds
LONGEST_SCAN_S = 2.0  # also how far a scan's stamp may be from its points
SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e9, 1.0))  # (larger than, unit in seconds)
_LATEST_S = 1e11  # no time: the year 5138, and float64 tells microseconds no more


def seconds_after(time: np.ndarray, stamp: int) -> np.ndarray | None:
    """(N,) seconds relative to `stamp` (ns), or None where the values can mean no time of a point of this scan.

    Whole numbers are nanoseconds within the scan. Others may be times since 1970, or since the start of a simulation,
    by the stamp's clock, or since 1970 by another, which then count from the first point; else they are relative, in
    the largest unit that makes them no longer than a scan. float32 cannot hold times since 1970, it is minutes off.
    """
    if time.dtype.kind in "iu":  # of 32 bits at most, so nanoseconds within the scan
        return time * np.float32(1e-9)
    first, last = _range(time)
    if time.dtype.itemsize == 8 and last > LONGEST_SCAN_S:
        unit, zero = _absolute(first, last, stamp * 1e-9)
        if unit:
            return (time - zero / unit) * unit
    if last > SINCE_1970[-1][0]:
        return None
    relative = next((unit for unit in UNITS if max(abs(first), abs(last)) * unit <= LONGEST_SCAN_S), None)
    return None if relative is None else time if relative == 1 else time * time.dtype.type(relative)


def _absolute(first: float, last: float, stamp: float) -> tuple[float, float]:
    """Unit and zero (both in seconds) of absolute times from `first` to `last` around `stamp` (s); unit 0 for none."""
    since_1970 = next((unit for threshold, unit in SINCE_1970 if threshold < last < _LATEST_S / unit), 0.0)
    ends = np.array([first, last])
    near = [unit for unit in UNITS if np.abs(ends * unit - stamp).max() < LONGEST_SCAN_S]
    if since_1970 and (last - first) * since_1970 <= LONGEST_SCAN_S:
        return since_1970, stamp if since_1970 in near else first * since_1970
    return near[0] if near else 0.0, stamp


def _range(time: np.ndarray) -> tuple[float, float]:
    """Smallest and largest finite value."""
    low, high = float(time.min(initial=np.inf)), float(time.max(initial=-np.inf))
    if np.isfinite(low) and np.isfinite(high):  # no NaN, no Inf: the quick way nearly always does
        return low, high
    finite = time[np.isfinite(time)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
