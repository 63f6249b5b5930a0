"""What an ordinary ROS node hears of register_node: diagnostics, the extrinsic, transforms, the answer of ~/save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from crossi2p_core.datasets.bag_layout import BagLayout

from ..interface import DIAGNOSTICS, EXTRINSIC, SAVE, TF_STATIC
from ..messages.answers import extrinsic_from_transform
from .course import NotRepaired
from .said import Said

NODE = "/register_node"
ANSWER_S = 15.0  # for a service


class Listener:
    """hear: called with each message of the diagnostics. start: (4, 4) T_cam_lidar that TF tells, None before.
    answer: (4, 4) T_cam_lidar of the last answer, None before."""

    def __init__(self, node: Node, hear: Callable[[Said], None]) -> None:
        self.hear = hear
        self.start: np.ndarray | None = None
        self.answer: np.ndarray | None = None
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        layout = BagLayout()
        self._frames = layout.lidar_frame, layout.camera_frame
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(DiagnosticArray, DIAGNOSTICS.name, self._on_diagnostics, 10)
        node.create_subscription(TransformStamped, EXTRINSIC.name.replace("~", NODE), self._on_extrinsic, latched)
        node.create_subscription(TFMessage, TF_STATIC.name, self._on_static, latched)
        self._save: Any = node.create_client(Trigger, SAVE.name.replace("~", NODE))

    def until(self, condition: Callable[[], bool], seconds: float, check: Callable[[], None]) -> bool:
        """Listen until the condition holds; False if it does not within that time. check: called in between."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            check()
            self._executor.spin_once(timeout_sec=0.1)
        return condition()

    def save(self, check: Callable[[], None]) -> None:
        """Call ~/save; raises NotRepaired where nothing was saved."""
        future = None
        if self.until(self._save.service_is_ready, ANSWER_S, check):
            future = self._save.call_async(Trigger.Request())
            self.until(future.done, ANSWER_S, check)
        answer = future.result() if future is not None and future.done() else None
        if answer is None or not answer.success:
            raise NotRepaired(f"~/save did not save: {answer.message if answer else 'it gave no answer'}")

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.hear(Said.of(status))

    def _on_extrinsic(self, message: TransformStamped) -> None:
        self.answer = extrinsic_from_transform(message, *self._frames, EXTRINSIC.name)

    def _on_static(self, message: TFMessage) -> None:
        """Of all links the one that the player makes wrong; the node's own leads to another frame."""
        for transform in message.transforms:
            if (transform.header.frame_id, transform.child_frame_id) == self._frames:
                self.start = extrinsic_from_transform(transform, *self._frames, TF_STATIC.name)


@contextmanager
def listening(hear: Callable[[Said], None]) -> Iterator[Listener]:
    """A listener on a node of its own, in the network of this process' environment, until the block ends."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    listener = None
    try:
        listener = Listener(rclpy.create_node("crossi2p_demo", context=context), hear)
        yield listener
    finally:
        if listener is not None:
            listener.close()
        context.try_shutdown()
