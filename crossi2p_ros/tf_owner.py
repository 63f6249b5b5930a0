"""The one link of the TF tree that the node owns, and the watch that nobody else claims it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
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
LOOK_S = 1.0  # how often it is seen whether a publisher of static links has left,
CONFIRM_S = 5.0  # after which those that are left have so long to say theirs again
MOVING_S = 10.0  # likewise of those on /tf: as long as tf2 remembers them
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Numbers = tuple[str, float, float, float, float, float, float, float]


@dataclass(frozen=True)
class _Claim:
    """A frame's parent by somebody else. static: said for good. at: when last, steady seconds."""

    parent: str
    static: bool
    at: float


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
        self._foreign: dict[str, _Claim] = {}  # by child, of links that others publish
        self._publishers: dict[str, set[bytes]] = {}  # of either topic, by now
        self._left_at: dict[bool, float | None] = {True: None, False: None}  # of static links and of others: the last
        self._wanted: TransformStamped | None = None  # what is told as soon as nobody else claims its frame
        self._broadcaster: StaticTransformBroadcaster | None = None
        self._mine = child
        self.problem = ""
        self._ear = node.create_subscription(TFMessage, TF.name, partial(self._hear, static=False),
                                             QoSProfile(depth=100))
        self._static_ear = self._listen()
        # A clock of the node's would stand still with the bag.
        self._timer = node.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self, outcome: Outcome) -> None:
        """Send the answer, or say in `problem` why not."""
        try:
            message = self._message(outcome)
        except (InputError, TransformException) as error:
            self.problem, self._wanted = f"TF is not published: {error}", None
            return
        with self._lock:
            self._mine, self._wanted = message.child_frame_id, message
            if not self._closed and not self._refuse():
                self._send(message)

    def withdraw(self) -> None:
        """Take the link out of the tree, for those who come later, until the next one is published."""
        with self._lock:
            self.problem, self._wanted = "", None
            self._withdraw()

    def close(self) -> None:
        """Take the link out of the tree, for those who come later."""
        self._node.destroy_timer(self._timer)
        for ear in (self._ear, self._static_ear):
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
                frame = self._foreign[frame].parent
            return frame == self._child

    def _connected(self, a: str, b: str) -> bool:
        return a == b or bool(self._buffer.can_transform(a, b, Time()))

    def _lookup(self, target: str, source: str) -> np.ndarray:
        if target == source:
            return np.eye(4)
        message = self._buffer.lookup_transform(target, source, Time())
        return transform_from_message(message.transform, f"TF from {source} to {target}")

    def _listen(self) -> Subscription:
        """To static links; whoever has latched some says them to each new listener."""
        return self._node.create_subscription(TFMessage, TF_STATIC.name, partial(self._hear, static=True), LATCHED)

    def _look(self) -> None:
        """Whether somebody has left who may be the one that claims our frame. A publisher that leaves takes nothing
        back, and messages do not tell whose they are: so all who are left are asked again, or heard out."""
        now = time.monotonic()
        if self._has_left(TF_STATIC.name):
            self._node.destroy_subscription(self._static_ear)
            self._static_ear, self._left_at[True] = self._listen(), now
        if self._has_left(TF.name):
            self._left_at[False] = now
        with self._lock:
            self._expire(now)

    def _has_left(self, topic: str) -> bool:
        there = {bytes(each.endpoint_gid) for each in self._node.get_publishers_info_by_topic(topic)}
        gone = self._publishers.get(topic, set()) - there
        self._publishers[topic] = there
        return bool(gone)

    def _expire(self, now: float) -> None:
        """A claim on our frame ends that nobody has made again since somebody left. All other links stay known: the
        tree holds them, too. Called with the lock."""
        for static, wait in ((True, CONFIRM_S), (False, MOVING_S)):
            left_at = self._left_at[static]
            if left_at is None or now - left_at <= wait:
                continue
            self._left_at[static] = None
            claim = self._foreign.get(self._mine)
            if claim is not None and claim.static is static and claim.at < left_at:
                del self._foreign[self._mine]
                if self._wanted is not None and not self._closed:
                    self._send(self._wanted)

    def _hear(self, message: TFMessage, static: bool) -> None:
        """Remember who else gives a frame a parent; what we sent ourselves comes back to the last digit."""
        with self._lock:
            for transform in message.transforms:
                if _numbers(transform) not in self._sent:
                    self._foreign[transform.child_frame_id.lstrip("/")] = _Claim(
                        transform.header.frame_id.lstrip("/"), static, time.monotonic())
            if self._broadcaster is not None:
                self._refuse()

    def _refuse(self) -> bool:
        """Whether someone else owns our frame; then nothing of ours stays in the tree."""
        if self._mine not in self._foreign:
            return False
        self.problem = (f"TF is not published: someone else publishes {self._foreign[self._mine].parent} -> "
                        f"{self._mine}, and a frame has one parent; stop that publisher, or name another edge")
        self._withdraw()
        return True

    def _send(self, message: TransformStamped) -> None:
        self.problem = ""
        self._sent.append(_numbers(message))
        if self._broadcaster is None:
            self._broadcaster = StaticTransformBroadcaster(self._node)
        self._broadcaster.sendTransform(message)

    def _withdraw(self) -> None:
        if self._broadcaster is not None:
            self._broadcaster.destroy()
            self._broadcaster = None


def _numbers(message: Any) -> Numbers:
    """What tells one link from another."""
    t, q = message.transform.translation, message.transform.rotation
    return f"{message.header.frame_id} {message.child_frame_id}", t.x, t.y, t.z, q.x, q.y, q.z, q.w
