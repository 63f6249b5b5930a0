"""Every frame by itself, and what all agree on; where motion tells when images were taken, with clouds moved there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..registrar import Registrar
from ..types import Prior, Registration, Sample
from .agree import Agreement, agree
from .frames import Advance, Looked, Read
from .time_offset import TimeOffset, at_exposure, find_time_offset, gap_of

Array = np.ndarray
ROUNDS = 3  # of undoing a time offset: bounds of the search may have hidden a part of it


@dataclass(frozen=True)
class Seen:
    """samples: of all frames, and looked: what each said by itself. which: indices of those that have an answer.
    agreement: of these."""

    samples: tuple[Sample, ...]
    looked: tuple[Looked, ...]
    which: tuple[int, ...]
    agreement: Agreement

    @property
    def answers(self) -> list[Registration]:
        return [found for one in self.looked if (found := one.found) is not None]

    @property
    def covariances(self) -> Array:
        """(n, 6, 6) of the answers."""
        return np.array([found.covariance for found in self.answers])


def look(samples: Sequence[Sample], start: Prior, registrar: Registrar, advance: Advance) -> Seen:
    """Register each. Raises InputError where none can be registered."""
    looked = []
    for done, sample in enumerate(samples, 1):
        found = registrar.register(sample, start)
        kept = found if found.status != "failed" and np.isfinite(found.covariance).all() else None
        looked.append(Looked(sample.name, kept, found.reason))
        advance("Registering each frame", done, len(samples))
    which = tuple(i for i, one in enumerate(looked) if one.found is not None)
    if not which:
        raise InputError(f"no frame can be registered from this start: {looked[0].name}: {looked[0].reason}")
    answers = [one.found for one in looked if one.found is not None]
    agreement = agree(np.array([found.T_cam_lidar for found in answers]),
                      np.array([found.covariance for found in answers]))
    return Seen(tuple(samples), tuple(looked), which, agreement)


def look_in_time(read: Read, look_at: Callable[[Sequence[Sample]], Seen]) -> tuple[Seen, TimeOffset | None]:
    """As `look_at` sees the frames with each cloud at the exposure of its image, and the time offset.

    Clouds are moved where the motion of the frames tells well enough when images were taken: by the offset where one is
    shown, and by what lies between the stamps of images and scans.
    """
    seen = look_at(read.samples)
    gaps = np.array([gap_of(sample) for sample in read.samples])
    offset = _offset(seen, read.twists, gaps)
    if offset is None or not (offset.shown or offset.shows(gaps)):
        return seen, offset
    seconds = offset.seconds if offset.shown else 0.0
    for _ in range(ROUNDS):
        seen = look_at(at_exposure(read.samples, read.twists, seconds))
        rest = _offset(seen, read.twists, np.zeros(len(gaps)))
        offset = offset.undone(seconds, rest)
        if rest is None or not rest.shown:
            break
        seconds += rest.seconds
    return seen, offset


def _offset(seen: Seen, twists: Sequence[Array | None], gaps: Array) -> TimeOffset | None:
    """By the frames that have an answer and a motion."""
    if not twists:
        return None
    known = [(k, i) for k, i in enumerate(seen.which) if twists[i] is not None]
    if not known:
        return None
    answer, frame = (list(indices) for indices in zip(*known, strict=True))
    T = np.array([found.T_cam_lidar for found in seen.answers])
    return find_time_offset(T[answer], seen.covariances[answer], seen.agreement.T,
                            np.array([twists[i] for i in frame]), gaps[frame])
