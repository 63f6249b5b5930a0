"""Thin a cloud to one real point per cube, without sorting: 120 000 points in a few milliseconds."""

from __future__ import annotations

import numpy as np

from ..errors import InputError

_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: Fibonacci hashing, Knuth, TAOCP volume 3, 6.4


def voxel_downsample(xyz: np.ndarray, size: float) -> np.ndarray:
    """Indices (M,), ascending, of one point of xyz (N, 3) per cube of `size` metres: the one nearest its cube's mean.

    No point is moved or invented, so intensity, ring and time of the kept ones stay true. The same cloud gives the
    same points (the earlier one at equal distance). Cubes are aligned to the origin of the cloud's frame. Raises
    InputError for a size that is not positive, and for coordinates that are not finite or too far apart for the size.
    """
    xyz = np.asarray(xyz)
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise InputError(f"a cloud needs an (N, 3) array of x, y, z; this one is {xyz.shape}")
    if not (np.isfinite(size) and size > 0):
        raise InputError(f"the voxel size must be a positive number of metres; it is {size}")
    if len(xyz) == 0:
        return np.zeros(0, dtype=np.int64)
    columns = np.ascontiguousarray(xyz.T, dtype=np.float64)  # (3, N)
    voxel, count = _group(_keys(columns, size))
    members = np.bincount(voxel, minlength=count)
    distance2 = np.zeros(len(xyz))
    for column in columns:
        mean = np.bincount(voxel, weights=column, minlength=count) / members
        away = column - mean[voxel]
        distance2 += away * away
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, voxel, distance2)
    candidates = np.flatnonzero(distance2 == nearest[voxel])[::-1]
    chosen = np.empty(count, dtype=np.int64)
    chosen[voxel[candidates]] = candidates  # of repeated places the last one written stays: the earliest point
    kept = np.zeros(len(xyz), dtype=bool)
    kept[chosen] = True
    return np.flatnonzero(kept)


def _keys(columns: np.ndarray, size: float) -> np.ndarray:
    """One int64 (N,) per point of columns (3, N) float64, equal exactly where the cubes are equal."""
    key, cells = np.zeros(columns.shape[1], dtype=np.int64), 1
    for column in columns:
        index = np.floor(column * (1 / size))
        low, high = float(index.min()), float(index.max())
        if not np.isfinite(high - low):
            raise InputError("the cloud has NaN or infinite coordinates; drop those points before thinning it")
        along = int(high - low) + 1
        cells *= along
        if cells >= 2**63:
            raise InputError(f"voxels of {size} m are too small for a cloud that is {along * size:.3g} m long")
        key *= along
        key += (index - low).astype(np.int64)
    return key


def _group(keys: np.ndarray) -> tuple[np.ndarray, int]:
    """The group (N,) int32 of each key (N,) int64, equal keys sharing one, and the number of groups.

    Hashing instead of sorting: every key claims a place in a table, keys that find another one there try again in a
    fresh table. Each round settles at least one key, three or four rounds settle all.
    """
    group, count = np.empty(len(keys), dtype=np.int32), 0
    left, multiplier = np.arange(len(keys), dtype=np.int32), _MULTIPLIER
    while len(left):
        bits = len(keys).bit_length() + 1
        place = ((keys.view(np.uint64) * np.uint64(multiplier)) >> np.uint64(64 - bits)).view(np.int64)
        rank = np.arange(len(keys), dtype=np.int32)
        table = np.empty(1 << bits, dtype=np.int32)
        table[place] = rank
        winner = table[place]
        settled = keys[winner] == keys
        number = np.cumsum(winner == rank, dtype=np.int32) + np.int32(count - 1)  # groups in the order of their winners
        group[left] = number[winner]  # those not settled are written again
        count = int(number[-1]) + 1
        left, keys = left[~settled], keys[~settled]
        multiplier = (multiplier * _MULTIPLIER | 1) % 2**64
    return group, count
