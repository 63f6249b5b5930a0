"""CameraInfo in, whoever publishes it: drivers send one with every picture, others send it once and latch it."""

from __future__ import annotations

import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from .ros_compat.events import SubscriptionEventCallbacks
from .streams import Stream

LOOK_S = 0.5  # how often latched publishers are looked for
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Calibrations:
    """The newest CameraInfo of a topic.

    No single subscription hears all: a volatile one is never told what was latched before it came, and a transient
    local one does not hear volatile publishers at all, whose nodes would log a warning about us. So the volatile one
    is there always, and the other comes once there is somebody to be heard by it.
    """

    def __init__(self, node: Node, stream: Stream, qos: QoSProfile,
                 events: SubscriptionEventCallbacks | None) -> None:
        """qos, events: of the volatile subscription. stream: where arrivals are counted."""
        self._node, self._stream = node, stream
        self.newest: Any = None
        self._live = node.create_subscription(CameraInfo, stream.unresolved, self._on_live, qos, event_callbacks=events)
        self._latched: Subscription | None = None
        # A clock of the node's would stand still with the bag.
        self._timer = node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._look()

    def close(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        for subscription in (self._live, self._latched):
            if subscription is not None:
                self._node.destroy_subscription(subscription)

    def _look(self) -> None:
        """Listen to latched publishers, once there is one."""
        if self._latched is None and any(_latches(each.qos_profile) for each in
                                         self._node.get_publishers_info_by_topic(self._stream.unresolved)):
            silent = SubscriptionEventCallbacks(use_default_callbacks=False)  # that it does not hear others is meant
            self._latched = self._node.create_subscription(CameraInfo, self._stream.unresolved, self._on_latched,
                                                           LATCHED, event_callbacks=silent)

    def _on_live(self, info: CameraInfo) -> None:
        self._stream.heard(time.monotonic())
        self.newest = info

    def _on_latched(self, info: CameraInfo) -> None:
        """What the publisher says while we listen comes on both ways, and counts once."""
        if info != self.newest:
            self._on_live(info)


def _latches(offered: QoSProfile) -> bool:
    """Whether latecomers are told what was said before: without reliability they are not."""
    return (offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
            and offered.reliability == ReliabilityPolicy.RELIABLE)
