"""The frames of a calibration: spread over a recording, of one rig, readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.source import Source
from ..errors import InputError
from ..motion.accumulated import track_of
from ..motion.track import Track
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
    sample's LiDAR, see `Track.twist`, None where it is not known; empty where nobody asked. why_still: in words why no
    motion is known of any, empty where some is."""

    samples: tuple[Sample, ...]
    unused: tuple[Looked, ...]
    twists: tuple[np.ndarray | None, ...] = ()
    why_still: str = "nobody asked"


def read_frames(source: Source, chosen: Sequence[int], wanted: int, advance: Advance, moving: bool = False) -> Read:
    """Up to `wanted` of the chosen frames of a source, evenly apart; the rig is that of most of them.

    advance: told what is being done, and how far it is. moving: find out how the LiDAR moved, too. Raises InputError
    where none can be read.
    """
    track = track_of(source)
    rigs, unused = dict[str, list[tuple[Sample, np.ndarray | str]]](), list[Looked]()
    spread = [chosen[i] for i in evenly(len(chosen), wanted)]
    for done, index in enumerate(spread, 1):
        try:
            sample = source[index] if track.source is not source else track.sample(index)
            rigs.setdefault(sample.rig, []).append((sample, _twist(track, index) if moving else "switched off"))
        except InputError as error:
            unused.append(Looked(source.names[index], None, str(error)))
        advance("Reading", done, len(spread))
    if not rigs:
        raise InputError(f"none of the {len(spread)} frames can be read; the first: {unused[0].reason}")
    most = max(rigs.values(), key=len)
    samples, told = zip(*most, strict=True)
    twists = tuple(None if isinstance(one, str) else one for one in told)
    unused += [Looked(sample.name, None, f"is of the rig {sample.rig!r}, most are of {samples[0].rig!r}")
               for others in rigs.values() if others is not most for sample, _ in others]
    why_still = "" if any(twist is not None for twist in twists) else str(told[0])
    return Read(samples, tuple(unused), twists if moving else (), why_still)


def _twist(track: Track, index: int) -> np.ndarray | str:
    """Of one frame, or why it cannot be told."""
    try:
        twist = track.twist(index)
    except InputError as error:  # open3d that is not there
        return str(error)
    return twist if twist is not None else "neither stamps with poses nor the scans tell how the LiDAR moved"


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` numbers from 0, evenly apart, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
