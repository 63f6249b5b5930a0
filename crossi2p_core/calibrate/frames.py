"""The frames of a calibration: spread over a recording, of one rig, readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.source import Source
from ..errors import InputError
from ..motion.accumulated import track_of
from ..types import Registration, Sample

Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Looked:
    """A frame by itself: what was found, or `found` None and why."""

    name: str
    found: Registration | None
    reason: str


@dataclass(frozen=True)
class Read:
    """samples: of one rig, at least one. unused: frames that cannot be read or are of another rig. twists: (6,) of each
    sample's LiDAR, see `Track.twist`, None where it is not known; empty where nobody asked."""

    samples: tuple[Sample, ...]
    unused: tuple[Looked, ...]
    twists: tuple[np.ndarray | None, ...] = ()


def read_frames(source: Source, chosen: Sequence[int], wanted: int, advance: Advance, moving: bool = False) -> Read:
    """Up to `wanted` of the chosen frames of a source, evenly apart; the rig is that of most of them.

    advance: told what is being done, and how far it is. moving: find out how the LiDAR moved, too. Raises InputError
    where none can be read.
    """
    rigs, unused = dict[str, list[tuple[int, Sample]]](), list[Looked]()
    spread = [chosen[i] for i in evenly(len(chosen), wanted)]
    for done, index in enumerate(spread, 1):
        try:
            sample = source[index]
            rigs.setdefault(sample.rig, []).append((index, sample))
        except InputError as error:
            unused.append(Looked(source.names[index], None, str(error)))
        advance("Reading", done, len(spread))
    if not rigs:
        raise InputError(f"none of the {len(spread)} frames can be read; the first: {unused[0].reason}")
    most = max(rigs.values(), key=len)
    samples = tuple(sample for _, sample in most)
    unused += [Looked(sample.name, None, f"is of the rig {sample.rig!r}, most are of {samples[0].rig!r}")
               for others in rigs.values() if others is not most for _, sample in others]
    twists = _twists(source, [index for index, _ in most], advance) if moving else ()
    return Read(samples, tuple(unused), twists)


def _twists(source: Source, indices: Sequence[int], advance: Advance) -> tuple[np.ndarray | None, ...]:
    """Of each frame, None where it cannot be told."""
    track = track_of(source)
    twists: list[np.ndarray | None] = []
    for done, index in enumerate(indices, 1):
        try:
            twists.append(track.twist(index))
        except InputError:  # a neighbour that cannot be read
            twists.append(None)
        advance("Following the motion", done, len(indices))
    return tuple(twists)


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` numbers from 0, evenly apart, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
