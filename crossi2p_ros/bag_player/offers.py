"""The quality of service of a topic as it was recorded, strong enough for everyone who listened then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

DEPTH = 10  # where the recording does not tell: discovery does not carry the depth
MOST_LATCHED = 1000  # messages kept for latecomers
TF_STATIC = "tf_static"


@dataclass(frozen=True)
class Offer:
    """reliable: lost messages are sent again. latched: latecomers get the last `depth` messages."""

    reliable: bool
    latched: bool
    depth: int

    def profile(self) -> QoSProfile:
        """The same for rclpy."""
        return QoSProfile(
            depth=self.depth,
            reliability=ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if self.latched else DurabilityPolicy.VOLATILE)


def offer_of(topic: str, connections: Sequence[Any], count: int) -> Offer:
    """The strongest of what the recorded publishers of a topic offered; reliable where the bag does not tell.

    connections: as `rosbags` has them. count: messages on the topic; one that is latched keeps them all, since several
    nodes may each have said their part once.
    """
    profiles = [profile for each in connections for profile in getattr(each.ext, "offered_qos_profiles", [])]
    reliable = not profiles or any(profile.reliability.name != "BEST_EFFORT" for profile in profiles)
    latched = (topic.endswith(TF_STATIC) or any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles)
               or any(getattr(each.ext, "latching", None) for each in connections))
    depth = max([DEPTH, *(profile.depth for profile in profiles)])
    return Offer(reliable or latched, latched, min(max(depth, count), MOST_LATCHED) if latched else depth)
