"""Nearest points: by a k-d tree on the CPU, by all distances in torch on any device. No compiled extension of ours."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

_LEAF = 24  # points; the fastest for thousands of queries of a scan in z-order
_DISTANCES_AT_ONCE = 2**27  # of all clouds together: half a gigabyte


def nearest_by_tree(points: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(m, k) int64 indices of the points (n, 3) nearest to each query (m, 3), nearest first; k at most n.

    On as many threads as torch may use.
    """
    tree = cKDTree(points, leafsize=_LEAF)
    _, index = tree.query(queries, k=np.arange(1, k + 1), workers=torch.get_num_threads())
    return index.astype(np.int64, copy=False)


def nearest_by_distances(points: Tensor, queries: Tensor, k: int, count: Tensor, first: Tensor | None = None) -> Tensor:
    """(B, m, k) indices of the points (B, n, 3) nearest to each query (B, m, 3), nearest first.

    count: (B,) how many rows of `points` there are; where that is less than k, the nearest repeats. first: (B, m)
    indices that come first whatever their distance. Squared differences, not a matrix product: that would err by
    centimetres at 80 m.
    """
    missing = torch.arange(points.shape[1], device=points.device) >= count[:, None]  # (B, n)
    chunk = max(1, _DISTANCES_AT_ONCE // (points.shape[0] * points.shape[1]))
    found = []
    for begin in range(0, queries.shape[1], chunk):
        part = queries[:, begin:begin + chunk]
        distance2 = sum((part[..., i, None] - points[:, None, :, i]).square() for i in range(3))
        distance2 = distance2.masked_fill(missing[:, None], torch.inf)  # type: ignore[union-attr]
        if first is not None:
            distance2.scatter_(2, first[:, begin:begin + chunk, None], -1.0)
        value, index = distance2.topk(k, dim=2, largest=False)
        found.append(torch.where(value.isinf(), index[..., :1], index))
    return torch.cat(found, dim=1)


def itself_first(index: np.ndarray) -> np.ndarray:
    """Row i of the neighbours (n, k) with i in front; where points coincide a tree may answer another one first."""
    n, k = index.shape
    own = np.arange(n)
    wrong = np.flatnonzero(index[:, 0] != own)
    if len(wrong):
        fixed = index[wrong]
        place = np.where((fixed == own[wrong, None]).any(axis=1), (fixed == own[wrong, None]).argmax(axis=1), k - 1)
        fixed[np.arange(len(wrong)), place] = fixed[:, 0]
        fixed[:, 0] = own[wrong]
        index[wrong] = fixed
    return index


def nearest_of_one(points: Tensor, queries: Tensor, k: int, count: Tensor, first: Tensor | None) -> Tensor:
    """`nearest_by_distances` for one cloud on the CPU, by a tree. With `first`, the queries are the points, and `first`
    says which row each of them repeats."""
    there = int(count[0])
    target = points[0, :there].numpy()
    few = min(k, there)
    if first is None:
        index = nearest_by_tree(target, queries[0].numpy(), few)
    else:
        index = itself_first(nearest_by_tree(target, target, few))[first[0].numpy()]
    filled = np.concatenate([index, np.repeat(index[:, :1], k - few, axis=1)], axis=1)
    return torch.from_numpy(filled)[None]
