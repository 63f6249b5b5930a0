"""What is known of each input topic, and from it, in words, why no pairs come. No ROS here."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

RECENT = 10  # arrivals that the rate is taken from, and stamps that partners are looked for among
SILENT_S = 3.0  # a stream that said nothing for so long has stopped,
USUAL = 3  # unless it is so slow that this is less than so many of its usual intervals,
LEAST_INTERVALS = 3  # of which one alone says nothing: it may be a pause
JUMP_NS = 1_000_000_000  # stamps that fall back further than this have started anew


@dataclass
class Stream:
    """One topic. kind: package/msg/Type that we listen for, empty where any will do. asked: the name that the topic
    comes from, in the node's namespace and remapped; empty: its own. arrivals: seconds of a steady clock. stamps: ns,
    what pairs are made by; an empty one ends them."""

    name: str
    topic: str
    count: int = 0
    empty_stamps: int = 0
    jumps_back: int = 0
    kind: str = ""
    asked: str = ""
    qos_problem: str = ""
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    stamps: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))

    def arrived(self, stamp: int, now: float) -> bool:
        """Count a message; returns whether time has jumped back since the last one. Stamps before 1970 are none."""
        self.heard(now)
        if stamp <= 0:
            self.empty_stamps += 1
            self.stamps.clear()  # former ones would go on telling that all is well
            return False
        back = bool(self.stamps) and stamp < self.stamps[-1] - JUMP_NS
        if back:
            self.jumps_back += 1
            self.stamps.clear()
        self.stamps.append(stamp)
        return back

    def heard(self, now: float) -> None:
        """Count a message whose stamp does not matter."""
        self.count += 1
        self.arrivals.append(now)
        self.qos_problem = ""  # some publisher fits

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
                 publishers: Callable[[str], Sequence[str]], paired: float = -math.inf) -> str:
    """In words, what keeps pairs from coming; empty where image, cloud and calibration do come together.

    slop: seconds. publishers: the types that a topic is published as, one per publisher. paired: when the last pair
    came, seconds of the same clock as now.
    """
    for stream in (image, cloud, info):
        if stream.qos_problem:
            return f"{stream.topic}: {stream.qos_problem}"
        if not stream.count or (stream is not info and stream.silent(now)):
            return _why_silent(stream, now, publishers(stream.unresolved))
    for stream in (image, cloud):
        if not stream.stamps:
            return (f"{stream.topic}: the stamps are empty, {stream.empty_stamps} so far; let the driver fill "
                    "header.stamp")
    if now - paired <= max(image.patience, cloud.patience):
        return ""  # though the newest stamps may lie apart: one of the two comes late
    apart = min(abs(a - b) for a in image.stamps for b in cloud.stamps) / 1e9
    if apart >= slop:
        return (f"stamps of image and cloud are {1e3 * apart:.0f} ms apart or more, and sync.slop allows "
                f"{1e3 * slop:g} ms; synchronise the sensors' clocks, or set sync.time_offset or sync.slop")
    return ""


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
