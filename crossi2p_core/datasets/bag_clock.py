"""Stamps of a bag's messages: real times where there are any, always growing, never near zero."""

from __future__ import annotations

import math

from ..errors import InputError
from ..types import Sample

START_NS = 1_700_000_000_000_000_000  # a clock that no ROS node takes for "not set"
LEAST_NS = 1_000_000_000_000_000  # eleven days after 1970: times below it count from the start of a recording
MOST_NS = (2**31 - 1) * 1_000_000_000  # the seconds of a ROS stamp are an int32
LONGEST_S = 1e15  # what is beyond is no time, whatever it counts from
HZ = 10.0
MIN_HZ, MAX_HZ = 1e-3, 1e6  # beyond it frames no longer differ in the float seconds of a Sample


class Clock:
    """Gives each sample its two stamps, in nanoseconds, each later than all before.

    A sample without times comes one period after the one before, the first at START_NS. Times that count from the start
    of a recording are moved so that they begin at START_NS. Where times do not grow (frames in another order, one drive
    after another) the sample comes one period after the one before, and those after it keep their distance to it;
    `joints` counts such places.
    """

    def __init__(self, hz: float = HZ) -> None:
        if not MIN_HZ <= hz <= MAX_HZ:
            raise InputError(f"hz={hz:g} is no frame rate; give a number of frames per second, such as 10")
        self.joints = 0
        self._period = math.ceil(1e9 / hz)
        self._shift = 0
        self._last: tuple[int, int] | None = None

    def stamps(self, sample: Sample) -> tuple[int, int]:
        """(scan, image); one that is missing is taken from the other.

        Raises InputError where the two are further apart than any clock of ROS reaches.
        """
        following = START_NS if self._last is None else max(self._last) + self._period
        told = [s for s in (sample.stamp_cloud, sample.stamp_image) if s is not None]
        if not all(abs(s) < LONGEST_S for s in told):  # nor is NaN
            raise InputError(f"{sample.name}: {told} s are no times; correct those of the recording")
        known = [round(s * 1e9) for s in told]
        if not known:
            if following > MOST_NS:
                raise InputError(f"{sample.name}: at so few frames per second it would be taken after 2038, which no "
                                 "stamp of ROS can say; choose more")
            self._last = following, following
            return self._last
        placed = known[0] + self._shift, known[-1] + self._shift
        if not self._fits(placed):
            self.joints += self._last is not None
            self._shift = following - min(known)
            placed = known[0] + self._shift, known[-1] + self._shift
            if not self._fits(placed):
                raise InputError(f"{sample.name}: scan and image are {abs(known[0] - known[-1]) * 1e-9:.0f} s apart; "
                                 "correct the times of the recording")
        self._last = placed
        return placed

    def _fits(self, stamps: tuple[int, int]) -> bool:
        """Whether ROS can hold both, and both are later than those before."""
        before = (LEAST_NS, LEAST_NS) if self._last is None else self._last
        return all(b < s <= MOST_NS for b, s in zip(before, stamps, strict=True))
