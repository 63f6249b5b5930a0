"""Which scan belongs to which image: two streams by time, and what is left over."""

import numpy as np


def pair_nearest(first: np.ndarray, second: np.ndarray, slop: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,), (P,) of the pairs in which each is the other's nearest, at most `slop` apart.

    first (N,), second (M,): times in one unit (that of `slop`), in any order. No element is used twice, so a slower
    camera leaves scans out instead of lending them a stale image. Pairs come in the order of `first`.
    """
    if not len(first) or not len(second):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    forth = nearest(first, second)  # (N,) indices into second
    back = nearest(second, first)  # (M,) indices into first
    index = np.arange(len(first))
    keep = (back[forth] == index) & (np.abs(first - second[forth]) <= slop)
    pairs = index[keep]
    pairs = pairs[np.argsort(first[pairs], kind="stable")]
    return pairs, forth[pairs]


def nearest(queries: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(N,) for each query the index of the nearest of `times` (M >= 1,); the earlier one at equal distance."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    right = np.clip(np.searchsorted(ordered, queries), 1, max(1, len(times) - 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    closer_left = np.abs(queries - ordered[left]) <= np.abs(ordered[right] - queries)
    return order[np.where(closer_left, left, right)]


def gap_notes(images: set[str], clouds: set[str]) -> list[str]:
    """Sentences about names that miss one of their files."""
    notes = []
    for lonely, words in ((images - clouds, "image but no scan"), (clouds - images, "scan but no image")):
        if lonely:
            shown = ", ".join(sorted(lonely)[:5]) + (", ..." if len(lonely) > 5 else "")
            notes.append(f"{len(lonely)} left out with {words}: {shown}")
    return notes
