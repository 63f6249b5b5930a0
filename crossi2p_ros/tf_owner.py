"""The one link of the TF tree that the node owns, and the watch that nobody else claims it."""

from __future__ import annotations

from collections import deque
from threading import RLock
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3

from .interface import TF, TF_STATIC
from .messages.live import LiveMessages
from .outcome import Outcome
from .ros_compat.tf2 import Buffer, StaticTransformBroadcaster, TransformException

SUFFIX = "_registered"
SENT_KEPT = 100  # of our own links, to be known again when they come back
Numbers = tuple[str, float, float, float, float, float, float, float]


class TransformOwner:
    """Publishes the registered camera as TF, below the LiDAR or as the edge parent -> child of the user's tree.

    problem: in words why it does not, empty where it does.
    """

    def __init__(self, node: Node, buffer: Buffer, parent: str, child: str) -> None:
        """parent, child: the edge to own; both empty: a frame of its own."""
        self._node, self._buffer, self._parent, self._child = node, buffer, parent, child
        self._make = LiveMessages()
        self._lock = RLock()  # the worker publishes, the executor hears
        self._closed = False
        self._sent: deque[Numbers] = deque(maxlen=SENT_KEPT)
        self._foreign: dict[str, str] = {}  # child -> parent, of links that others publish
        self._broadcaster: StaticTransformBroadcaster | None = None
        self._mine = child
        self.problem = ""
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._ears = [node.create_subscription(TFMessage, TF.name, self._hear, QoSProfile(depth=100)),
                      node.create_subscription(TFMessage, TF_STATIC.name, self._hear, latched)]

    def publish(self, outcome: Outcome) -> None:
        """Send the answer, or say in `problem` why not."""
        try:
            message = self._message(outcome)
        except (InputError, TransformException) as error:
            self.problem = f"TF is not published: {error}"
            return
        with self._lock:
            self._mine = message.child_frame_id
            if self._closed or self._refuse():
                return
            self.problem = ""
            self._sent.append(_numbers(message))
            if self._broadcaster is None:
                self._broadcaster = StaticTransformBroadcaster(self._node)
            self._broadcaster.sendTransform(message)

    def withdraw(self) -> None:
        """Take the link out of the tree, for those who come later, until the next one is published."""
        with self._lock:
            self.problem = ""
            self._withdraw()

    def close(self) -> None:
        """Take the link out of the tree, for those who come later."""
        for ear in self._ears:
            self._node.destroy_subscription(ear)
        with self._lock:
            self._closed = True
            self._withdraw()

    def _message(self, outcome: Outcome) -> TransformStamped:
        T_lidar_cam = se3.inverse(outcome.registration.T_cam_lidar)
        if not self._parent:
            return self._make.transform(T_lidar_cam, outcome.stamp, outcome.lidar_frame, outcome.camera_frame + SUFFIX)
        return self._make.transform(self._through_tree(T_lidar_cam, outcome), outcome.stamp, self._parent, self._child)

    def _through_tree(self, T_lidar_cam: np.ndarray, outcome: Outcome) -> np.ndarray:
        """T_parent_child (4, 4) with which the tree says what was found, whichever sensor hangs on the parent."""
        lidar, camera = outcome.lidar_frame, outcome.camera_frame
        above, below, T = lidar, camera, T_lidar_cam
        if self._hangs_below(lidar):
            above, below, T = camera, lidar, se3.inverse(T_lidar_cam)
        between = self._hangs_below(below) and not self._hangs_below(above)
        if not between or not self._connected(self._parent, above) or not self._connected(self._child, below):
            raise InputError(f"the edge {self._parent} -> {self._child} does not lie between {lidar} and {camera} in "
                             "the tree; publish the transforms on both of its sides, or name another edge")
        return self._lookup(self._parent, above) @ T @ self._lookup(below, self._child)

    def _hangs_below(self, frame: str) -> bool:
        """Whether the child of the edge is an ancestor of a frame, or the frame itself, by what others publish: through
        our own edge, once it is there, everything hangs together."""
        with self._lock:
            passed: set[str] = set()
            while frame != self._child and frame in self._foreign and frame not in passed:
                passed.add(frame)
                frame = self._foreign[frame]
            return frame == self._child

    def _connected(self, a: str, b: str) -> bool:
        return a == b or bool(self._buffer.can_transform(a, b, Time()))

    def _lookup(self, target: str, source: str) -> np.ndarray:
        if target == source:
            return np.eye(4)
        message = self._buffer.lookup_transform(target, source, Time())
        return transform_from_message(message.transform, f"TF from {source} to {target}")

    def _hear(self, message: TFMessage) -> None:
        """Remember who else gives a frame a parent; what we sent ourselves comes back to the last digit."""
        with self._lock:
            for transform in message.transforms:
                if _numbers(transform) not in self._sent:
                    self._foreign[transform.child_frame_id.lstrip("/")] = transform.header.frame_id.lstrip("/")
            if self._broadcaster is not None:
                self._refuse()

    def _refuse(self) -> bool:
        """Whether someone else owns our frame; then nothing of ours stays in the tree."""
        if self._mine not in self._foreign:
            return False
        self.problem = (f"TF is not published: someone else publishes {self._foreign[self._mine]} -> {self._mine}, and "
                        "a frame has one parent; stop that publisher, or name another edge")
        self._withdraw()
        return True

    def _withdraw(self) -> None:
        if self._broadcaster is not None:
            self._broadcaster.destroy()
            self._broadcaster = None


def _numbers(message: Any) -> Numbers:
    """What tells one link from another."""
    t, q = message.transform.translation, message.transform.rotation
    return f"{message.header.frame_id} {message.child_frame_id}", t.x, t.y, t.z, q.x, q.y, q.z, q.w
