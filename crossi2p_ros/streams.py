"""What is known of each input topic, and from it, in words, why no pairs come. No ROS here."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

RECENT = 10  # arrivals that the rate is taken from
KEPT_S = 5.0  # for which stamps are kept, to find partners among: clouds may be delivered that much later than images
MOST_STAMPS = 1000
SILENT_S = 3.0  # a stream that said nothing for so long has stopped,
USUAL = 3  # unless it is so slow that this is less than so many of its usual intervals,
LEAST_INTERVALS = 3  # of which one alone says nothing: it may be a pause
JUMP_NS = 1_000_000_000  # stamps that fall back further than this have started anew


@dataclass
class Stream:
    """One topic. kind: package/msg/Type that we listen for, empty where any will do. asked: the name that the topic
    comes from, in the node's namespace and remapped; empty: its own. arrivals: seconds of a steady clock. stamps: ns,
    of the last seconds, what pairs are made by; an empty one ends them. stamped_at: when each of those came."""

    name: str
    topic: str
    count: int = 0
    empty_stamps: int = 0
    jumps_back: int = 0
    kind: str = ""
    asked: str = ""
    qos_problem: str = ""
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    stamps: deque[int] = field(default_factory=lambda: deque(maxlen=MOST_STAMPS))
    stamped_at: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_STAMPS))

    def arrived(self, stamp: int, now: float) -> bool:
        """Count a message; returns whether time has jumped back since the last one. Stamps before 1970 are none."""
        self.heard(now)
        if stamp <= 0:
            self.empty_stamps += 1
            self._forget_stamps()  # former ones would go on telling that all is well
            return False
        back = bool(self.stamps) and stamp < self.stamps[-1] - JUMP_NS
        if back:
            self.jumps_back += 1
            self._forget_stamps()
        while self.stamped_at and now - self.stamped_at[0] > KEPT_S:
            self.stamped_at.popleft()
            self.stamps.popleft()
        self.stamps.append(stamp)
        self.stamped_at.append(now)
        return back

    def heard(self, now: float) -> None:
        """Count a message whose stamp does not matter."""
        self.count += 1
        self.arrivals.append(now)
        self.qos_problem = ""  # some publisher fits

    def _forget_stamps(self) -> None:
        self.stamps.clear()
        self.stamped_at.clear()

    def rate(self, now: float) -> float:
        """Messages per second of late; 0 once it is silent."""
        if len(self.arrivals) < 2 or self.silent(now):
            return 0.0
        return (len(self.arrivals) - 1) / max(self.arrivals[-1] - self.arrivals[0], 1e-6)

    def silent(self, now: float) -> bool:
        """Nothing came of late."""
        return not self.arrivals or now - self.arrivals[-1] > self.patience

    @property
    def patience(self) -> float:
        """Seconds for which it may say nothing."""
        intervals = [after - before for before, after in pairwise(self.arrivals)]
        return max(SILENT_S, USUAL * median(intervals)) if len(intervals) >= LEAST_INTERVALS else SILENT_S

    @property
    def unresolved(self) -> str:
        """The name to subscribe by: what has been remapped would be remapped again."""
        return self.asked or self.topic


def why_no_pairs(image: Stream, cloud: Stream, info: Stream, slop: float, now: float,
                 publishers: Callable[[str], Sequence[str]], paired: float = -math.inf, queue_size: int = 10) -> str:
    """In words, what keeps pairs from coming; empty where image, cloud and calibration do come together.

    slop: seconds. publishers: the types that a topic is published as, one per publisher. paired: when the last pair
    came, seconds of the same clock as now. queue_size: messages of each that wait for a partner.
    """
    for stream in (image, cloud, info):
        if stream.qos_problem and publishers(stream.unresolved):
            return f"{stream.topic}: {stream.qos_problem}"
        if not stream.count or (stream is not info and stream.silent(now)):
            return _why_silent(stream, now, publishers(stream.unresolved))
    for stream in (image, cloud):
        if not stream.stamps:
            return (f"{stream.topic}: the stamps are empty, {stream.empty_stamps} so far; let the driver fill "
                    "header.stamp")
    if now - paired <= max(image.patience, cloud.patience):
        return ""  # though the newest stamps may lie apart: one of the two comes late
    apart, image_later = _nearest(image, cloud)
    if apart >= slop:
        return (f"stamps of image and cloud are {1e3 * apart:.0f} ms apart or more, and sync.slop allows "
                f"{1e3 * slop:g} ms; synchronise the sensors' clocks, or set sync.time_offset or sync.slop")
    early, late = (cloud, image) if image_later > 0 else (image, cloud)
    needed = math.ceil(early.rate(now) * abs(image_later)) + 1
    if needed > queue_size:
        return (f"each {late.name} arrives {abs(image_later):.2f} s after the {early.name} of its moment, which by "
                f"then waits no more: sync.queue_size is {queue_size}, and has to be {needed} at least; set it, or see "
                "why one of them is late or stamped so")
    return ""


def _nearest(image: Stream, cloud: Stream) -> tuple[float, float]:
    """Seconds between the stamps of the two that are nearest to each other, and by how much that image came later."""
    images = sorted(zip(image.stamps, image.stamped_at, strict=True))
    nearest = math.inf, 0.0
    for stamp, came in zip(cloud.stamps, cloud.stamped_at, strict=True):
        at = bisect_left(images, (stamp, -math.inf))
        for other, other_came in images[max(at - 1, 0):at + 1]:
            nearest = min(nearest, (abs(other - stamp) / 1e9, other_came - came))
    return nearest


def _why_silent(stream: Stream, now: float, publishers: Sequence[str]) -> str:
    """What is wrong with a topic on which nothing comes."""
    since = f"for {now - stream.arrivals[-1]:.0f} s" if stream.arrivals else "yet"
    if not publishers:
        return (f"no {stream.name} {since}: nobody publishes {stream.topic}; start the driver or correct the name of "
                "the topic")
    if stream.kind and stream.kind not in publishers:
        return (f"no {stream.name} {since}: {stream.topic} is published as {publishers[0]}, not as {stream.kind}; "
                "choose another topic, for compressed images one whose name ends in /compressed")
    return (f"no {stream.name} {since}: {stream.topic} has a publisher, but nothing arrives; does it send, and does it "
            "use the Fast DDS profile for large messages (config/fastdds_large_messages.xml)?")
