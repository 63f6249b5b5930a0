"""Static transforms told by a latched message, for a publisher that changes its mind.

The StaticTransformBroadcaster of Python ROS forgets all but the last call (Humble), or silently keeps the first
transform of a child for ever (Jazzy and newer). A calibrator needs neither, so this one is used everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from threading import Lock

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Publishes on /tf_static all transforms that it was given, the newest of each child frame, to latecomers too."""

    def __init__(self, node: Node, qos: QoSProfile | None = None) -> None:
        """`qos` should stay reliable, transient local, depth 1: one message has everything."""
        qos = qos or QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                                reliability=ReliabilityPolicy.RELIABLE)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self._node = node
        self._lock = Lock()
        self._of_child: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Add or replace one transform or several, by child frame, and publish them all."""
        given = [transform] if isinstance(transform, TransformStamped) else list(transform)
        with self._lock:
            self._of_child |= {each.child_frame_id: deepcopy(each) for each in given}
            self.pub_tf.publish(TFMessage(transforms=list(self._of_child.values())))

    def destroy(self) -> None:
        """Take the publisher, and with it the latched message, out of the graph."""
        self._node.destroy_publisher(self.pub_tf)
