"""The frames of all sources as one pool: which comes when, and the decoded ones kept in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from ..datasets import Source
from ..errors import InputError
from ..types import Sample
from .config import SourceConfig

Array = np.ndarray


def epoch_order(sizes: Sequence[int], weights: Sequence[float], seed: int, epoch: int) -> Array:
    """(E, 2) source and frame of every example of an epoch, which has as many examples as there are frames, E.

    Sources share them by weight, to a fraction that is drawn; within a source no frame comes twice before all came
    once. The same numbers give the same order.
    """
    rng = np.random.default_rng([seed, 1, epoch])
    total = sum(size for size, weight in zip(sizes, weights, strict=True) if weight > 0)
    shares = total * np.array(weights, dtype=float) / sum(weights)
    bounds = np.floor(np.concatenate([[0], np.cumsum(shares)]) + rng.random())  # off by less than one, total exact
    bounds[-1] = total
    parts = []
    for source, count in enumerate(np.diff(bounds).astype(int)):
        rounds = [rng.permutation(sizes[source]) for _ in range(-(-count // max(1, sizes[source])))]
        frames = np.concatenate([*rounds, np.zeros(0, int)])[:count].astype(int)
        parts.append(np.stack([np.full(count, source), frames], axis=1))
    return rng.permutation(np.concatenate(parts))


def fingerprint(configs: Sequence[SourceConfig], sources: Sequence[Source]) -> str:
    """Sixteen digits that are equal for equal frames in equal shares, wherever they lie."""
    digest = hashlib.sha256()
    for config, source in zip(configs, sources, strict=True):
        told = (source.kind, config.weight, config.camera, source.names)
        digest.update(repr(told if config.extrinsic is None else (*told, config.extrinsic)).encode())
    return digest.hexdigest()[:16]


class Frames:
    """Frames by their position in an endless, reproducible order; the last ones read stay decoded.

    cache_bytes: for images and clouds. Frames that cannot be read are passed over: the next of the order takes their
    place.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float], seed: int, cache_bytes: int) -> None:
        self.sources, self.weights, self.seed = list(sources), list(weights), seed
        self.sizes = [len(source) for source in self.sources]
        self.epoch_length = sum(size for size, weight in zip(self.sizes, self.weights, strict=True) if weight > 0)
        if not self.epoch_length:
            raise InputError("there is no frame to learn from; name at least one source that has frames")
        self._cache = SampleCache(cache_bytes)
        self._bad: dict[tuple[int, int], str] = {}

    def candidates(self, position: int) -> Iterator[tuple[int, int]]:
        """(source, frame) of the example at a position, then of those that may take its place, nearest first."""
        epoch, first = divmod(position, self.epoch_length)
        order = _order(tuple(self.sizes), tuple(self.weights), self.seed, epoch)
        return (order[(first + k) % self.epoch_length] for k in range(self.epoch_length))

    def read(self, where: tuple[int, int]) -> Sample:
        """One frame. Raises InputError where its files cannot be used; for one called bad, at once."""
        if where in self._bad:
            raise InputError(self._bad[where])
        return self._cache.get(where, self.sources[where[0]])

    def call_bad(self, where: tuple[int, int], reason: str) -> str | None:
        """Never read this frame again; returns the reason if that is news."""
        news = where not in self._bad
        self._bad[where] = reason
        return f"{self.sources[where[0]].names[where[1]]} is left out: {reason}" if news else None


@lru_cache(maxsize=2)
def _order(sizes: tuple[int, ...], weights: tuple[float, ...], seed: int, epoch: int) -> list[tuple[int, int]]:
    return [(int(source), int(frame)) for source, frame in epoch_order(sizes, weights, seed, epoch)]


class SampleCache:
    """Decoded samples up to a number of bytes; the one not used for longest leaves first."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit, self.used = limit_bytes, 0
        self._kept: OrderedDict[tuple[int, int], Sample] = OrderedDict()

    def get(self, where: tuple[int, int], source: Source) -> Sample:
        """The sample, read where it is not at hand."""
        if where in self._kept:
            self._kept.move_to_end(where)
            return self._kept[where]
        sample = source[where[1]]
        self._kept[where] = sample
        self.used += _bytes(sample)
        while self.used > self.limit and self._kept:
            self.used -= _bytes(self._kept.popitem(last=False)[1])
        return sample


def _bytes(sample: Sample) -> int:
    cloud = sample.cloud
    arrays = (sample.image, cloud.xyz, cloud.intensity, cloud.ring, cloud.time)
    return sum(array.nbytes for array in arrays if array is not None)
