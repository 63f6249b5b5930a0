"""A bag as something to be played: its topics, which of them this machine knows the types of, and their messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from crossi2p_core.datasets import rosbag
from crossi2p_core.datasets.rosbag_cdr import cdr_messages, why_not_cdr
from crossi2p_core.datasets.rosbag_file import BagFile
from crossi2p_core.errors import InputError

from ..messages.live import message_class
from .offers import Offer, offer_of

CLOCK = "/clock"


class Recording:
    """The topics of a bag that are to be played.

    classes: message class by topic. offers: quality of service by topic. skipped: topics that cannot be played, and
    why. first, last: times (ns) between which is played. Raises InputError for a path that is no bag, a bag that is
    damaged or empty, a topic that is not in it, a start beyond its end, and if nothing is left to play.
    """

    def __init__(self, path: Path, topics: Collection[str] = (), start: float = 0.0, own_clock: bool = False) -> None:
        if not rosbag.matches(path):
            raise InputError(f"{path} is no bag; give a folder with a metadata.yaml, or a .mcap, .db3 or .bag file")
        self.bag = BagFile(path)
        self.classes: dict[str, Any] = {}
        self.offers: dict[str, Offer] = {}
        self.skipped: dict[str, str] = {}
        for topic in self._chosen(topics):
            self._add(topic, own_clock)
        if not self.classes:
            reasons = "; ".join(f"{topic}: {reason}" for topic, reason in self.skipped.items())
            raise InputError(f"{path} has nothing that can be played ({reasons or 'it holds no message'})")
        begin, self.last = self.bag.span()
        self.first = begin + round(start * 1e9)
        if self.first > self.last:
            raise InputError(f"--start {start:g} is beyond the end of {path}, which is "
                             f"{(self.last - begin) / 1e9:.1f} s long; give less")

    def earlier(self) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time ns, CDR) of what was latched before the start, such as /tf_static, and holds there still."""
        latched = [topic for topic, offer in self.offers.items() if offer.latched]
        return cdr_messages(self.bag, latched, stop=self.first)

    def messages(self) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time ns, CDR) from the start on, by time."""
        return cdr_messages(self.bag, self.classes, start=self.first)

    def _chosen(self, wishes: Collection[str]) -> list[str]:
        """The wanted topics that hold messages, or all that do."""
        present = sorted(topic for topic in self.bag.types if self.bag.counts[topic])
        for wish in wishes:
            if wish not in present:
                near = difflib.get_close_matches(wish, present, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(present) or 'none'}"
                raise InputError(f"{self.bag.path} has no messages on a topic {wish!r}; {hint}")
        return [topic for topic in present if topic in wishes or not wishes]

    def _add(self, topic: str, own_clock: bool) -> None:
        """Make a topic ready to be played, or note why it cannot be."""
        connections = self.bag.connections(topic)
        try:
            if topic == CLOCK and own_clock:
                raise InputError("--clock publishes a clock of its own")
            if len({connection.msgtype for connection in connections}) > 1:
                raise InputError("it has messages of several types")
            if reason := why_not_cdr(self.bag, topic):
                raise InputError(reason)
            validate_topic_name(topic)
            self.classes[topic] = message_class(self.bag.types[topic])
        except (InputError, InvalidTopicNameException) as error:
            self.skipped[topic] = " ".join(str(error).split())
            return
        self.offers[topic] = offer_of(topic, connections, self.bag.counts[topic])
