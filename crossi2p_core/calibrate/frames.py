"""The frames of a calibration: spread over a recording, of one rig, readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.source import Source
from ..errors import InputError
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
    """samples: of one rig, at least one. unused: frames that cannot be read or are of another rig."""

    samples: tuple[Sample, ...]
    unused: tuple[Looked, ...]


def read_frames(source: Source, chosen: Sequence[int], wanted: int, advance: Advance) -> Read:
    """Up to `wanted` of the chosen frames of a source, evenly apart; the rig is that of most of them.

    advance: told what is being done, and how far it is. Raises InputError where none can be read.
    """
    rigs, unused = dict[str, list[Sample]](), list[Looked]()
    spread = [chosen[i] for i in evenly(len(chosen), wanted)]
    for done, index in enumerate(spread, 1):
        try:
            sample = source[index]
            rigs.setdefault(sample.rig, []).append(sample)
        except InputError as error:
            unused.append(Looked(source.names[index], None, str(error)))
        advance("Reading", done, len(spread))
    if not rigs:
        raise InputError(f"none of the {len(spread)} frames can be read; the first: {unused[0].reason}")
    most = max(rigs.values(), key=len)
    unused += [Looked(sample.name, None, f"is of the rig {sample.rig!r}, most are of {most[0].rig!r}")
               for samples in rigs.values() if samples is not most for sample in samples]
    return Read(tuple(most), tuple(unused))


def evenly(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of `count` numbers from 0, evenly apart, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
