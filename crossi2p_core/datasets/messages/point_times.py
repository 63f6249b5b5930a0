"""Times of single points: drivers agree neither on the unit nor on the zero, so the values themselves must tell."""

from __future__ import annotations

import numpy as np

UNITS = (1.0, 1e-3, 1e-6, 1e-9)  # seconds, milliseconds, microseconds, nanoseconds
LONGEST_SCAN_S = 2.0  # also how far a scan's stamp may be from its points
SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e9, 1.0))  # (larger than, unit in seconds)


def seconds_after(time: np.ndarray, stamp: int) -> np.ndarray | None:
    """(N,) seconds relative to `stamp` (ns), or None where the values can mean no time of a point of this scan.

    Whole numbers are nanoseconds within the scan. Others are absolute in the unit in which they lie near the stamp, if
    there is one, else relative in the largest unit that makes them no longer than a scan. Times since 1970 by another
    clock than the stamp's count from the first point. float32 cannot hold times since 1970, it is minutes off.
    """
    if time.dtype.kind in "iu":  # of 32 bits at most, so nanoseconds within the scan
        return time * np.float32(1e-9)
    ends, at = np.array(_range(time)), stamp * 1e-9
    is_double = time.dtype.itemsize == 8
    if is_double and ends[1] > LONGEST_SCAN_S:
        near = next((unit for unit in UNITS if np.abs(ends * unit - at).max() < LONGEST_SCAN_S), None)
        if near is not None:
            return time * near - at
    since_1970 = next((unit for threshold, unit in SINCE_1970 if ends[1] > threshold), None)
    if since_1970 is not None:
        is_scan = (ends[1] - ends[0]) * since_1970 <= LONGEST_SCAN_S
        return (time - ends[0]) * since_1970 if is_double and is_scan else None
    relative = next((unit for unit in UNITS if np.abs(ends).max() * unit <= LONGEST_SCAN_S), None)
    return None if relative is None else time if relative == 1 else time * time.dtype.type(relative)


def _range(time: np.ndarray) -> tuple[float, float]:
    """Smallest and largest finite value."""
    low, high = float(time.min(initial=np.inf)), float(time.max(initial=-np.inf))
    if np.isfinite(low) and np.isfinite(high):  # no NaN, no Inf: the quick way nearly always does
        return low, high
    finite = time[np.isfinite(time)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
