"""Stand-in for tf2_ros' listener and broadcaster: /tf and /tf_static into a buffer, and transforms out on /tf."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from threading import Thread

from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from .tf2_buffer import Buffer

AUTHORITY = "default_authority"  # messages do not tell who sent them


class TransformListener:
    """Fills a buffer from the topics for as long as it is not unregistered."""

    def __init__(self, buffer: Buffer, node: Node, *, spin_thread: bool = False, qos: QoSProfile | int | None = None,
                 static_qos: QoSProfile | int | None = None, tf_topic: str = "/tf",
                 tf_static_topic: str = "/tf_static") -> None:
        """`spin_thread` spins the node in a thread of its own; otherwise whoever owns the node does."""
        self.buffer = buffer
        self.node = node
        # Reentrant, so that a callback of the node that waits for a transform does not keep it from coming in.
        self.group = ReentrantCallbackGroup()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(TFMessage, tf_topic, self.callback, qos or QoSProfile(depth=100),
                                               callback_group=self.group)
        self.tf_static_sub = node.create_subscription(TFMessage, tf_static_topic, self.static_callback,
                                                      static_qos or latched, callback_group=self.group)
        self.executor: SingleThreadedExecutor | None = None
        if spin_thread:
            self.executor = SingleThreadedExecutor()
            self.executor.add_node(node)
            Thread(target=_spin, args=[self.executor], daemon=True).start()

    def callback(self, data: TFMessage) -> None:
        """Take in what came on /tf."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, AUTHORITY)

    def static_callback(self, data: TFMessage) -> None:
        """Take in what came on /tf_static."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)

    def unregister(self) -> None:
        """Stop listening."""
        if self.executor is not None:
            self.executor.shutdown()
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)


class TransformBroadcaster:
    """Sends transforms that hold at their stamp."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """`qos`: default reliable, depth 100."""
        self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100) if qos is None else qos)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Send one transform, or several in one message."""
        several = [transform] if isinstance(transform, TransformStamped) else list(transform)
        self.pub_tf.publish(TFMessage(transforms=several))


def _spin(executor: SingleThreadedExecutor) -> None:
    """Spin until the executor or ROS is shut down."""
    with suppress(ExternalShutdownException):
        executor.spin()
