"""Every frame with its cloud where it was when the image was taken, as far as motion tells when that was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..calibration_file import LONGEST_OFFSET_S
from ..errors import InputError
from ..types import Sample
from .frames import Read, evenly
from .look import Seen
from .time_offset import TimeOffset, at_exposure, find_time_offset, gap_of

Array = np.ndarray
Look = Callable[[Sequence[Sample]], Seen]
ROUNDS = 3  # of undoing a time offset: bounds of the search may have hidden a part of it
HIDDEN_S = (-0.15, -0.1, -0.05, 0.05, 0.1, 0.15)  # that are tried; what is 50 ms off shows by itself at 16 m/s
ASKED = 8  # frames, of the faster half
AGREE = 0.6  # where frames agree by more none hides; late ones at speed do by 0.2 to 0.4, those in time by 0.65 to 0.95
HIDES_M = 0.5  # that the fastest frame moves within the largest offset; less shows within the bounds of any search


def look_in_time(read: Read, look_at: Look) -> tuple[Seen, TimeOffset | None]:
    """As `look_at` sees the frames with each cloud at the exposure of its image, and the time offset.

    Clouds are moved where the motion of the frames tells well enough when images were taken: by the offset where one is
    shown, and by what lies between the stamps of images and scans.
    """
    seen = look_at(read.samples)
    gaps = np.array([gap_of(sample) for sample in read.samples])
    offset = _offset(seen, read.twists, gaps)
    if offset is None:
        return seen, None
    hidden = _hidden(read, look_at, seen)
    if hidden:
        later = _undo(read, look_at, offset, hidden)
        if later[1].shown and later[0].frames_agree > seen.frames_agree:
            return later
    if offset.shown or offset.shows(gaps):
        return _undo(read, look_at, offset, offset.seconds if offset.shown else 0.0)
    return seen, offset


def _undo(read: Read, look_at: Look, offset: TimeOffset, seconds: float) -> tuple[Seen, TimeOffset]:
    """Move clouds by so much, and by what is still shown then."""
    for _ in range(ROUNDS):
        seen = look_at(at_exposure(read.samples, read.twists, seconds))
        rest = _offset(seen, read.twists, np.zeros(len(read.samples)))
        offset = offset.undone(seconds, rest)
        if rest is None or not rest.shown or abs(seconds + rest.seconds) > LONGEST_OFFSET_S:
            break
        seconds += rest.seconds
    return seen, offset


def _hidden(read: Read, look_at: Look, seen: Seen) -> float:
    """About the offset that does not show because frames at speed lie beyond the bounds of the search: the one of
    HIDDEN_S with which image and cloud fit best, 0 where none is needed or none fits better. seen: without."""
    speeds = np.array([0.0 if twist is None else np.linalg.norm(twist[3:]) for twist in read.twists])
    if seen.frames_agree > AGREE or speeds.max() * max(HIDDEN_S) < HIDES_M:
        return 0.0
    fast = np.argsort(-speeds)[:max(ASKED, len(speeds) // 2)]
    asked = [fast[i] for i in evenly(len(fast), ASKED)]
    samples, twists = [read.samples[i] for i in asked], [read.twists[i] for i in asked]

    def fit(seconds: float) -> float:
        try:
            return look_at(at_exposure(samples, twists, seconds)).fit
        except InputError:  # none of them can be registered there
            return 0.0

    return max((0.0, *HIDDEN_S), key=fit)


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
