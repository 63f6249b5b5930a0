"""Stand-in for tf2_ros.Buffer: the tree of frames behind ROS's messages, times and locks.

Left out, because unused here: coroutines, the service `tf2_frames`, conversion of objects by `transform`.
"""

from __future__ import annotations

from threading import Condition
from typing import Any

import numpy as np
import rclpy.logging
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from crossi2p_core.geometry.quaternion import xyzw_from_rotation

from .tf2_errors import TransformException
from .tf2_history import Link
from .tf2_tree import Tree

DEFAULT_CACHE_S = 10.0
AT_ONCE = Duration()


class Buffer:
    """Transforms of the last seconds; safe to fill in one thread and to ask in others.

    Times are rclpy Times or time messages; zero asks for the newest. Frames are named without a leading slash.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        """`cache_time`: how much is remembered, 10 s by default. Forgets when the node's clock jumps back (1 s)."""
        self._tree = Tree(_ns(cache_time or Duration(seconds=DEFAULT_CACHE_S)))
        self._changed = Condition()
        self._logger = rclpy.logging.get_logger("tf2_buffer")
        self.clock = Clock() if node is None else node.get_clock()
        backward = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(backward, post_callback=self._after_jump)

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at its stamp; a broken one is logged and left out."""
        self._add(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds always."""
        self._add(transform, authority, static=True)

    def clear(self) -> None:
        """Forget everything that is not static."""
        with self._changed:
            self._tree.clear()

    def lookup_transform(self, target_frame: str, source_frame: str, time: Any,
                         timeout: Duration = AT_ONCE) -> TransformStamped:
        """T_target_source at a time, waiting up to `timeout` for it; a TransformException says why there is none.

        Never wait in a callback of the executor that fills this buffer: nothing would come in meanwhile.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        with self._changed:
            T, at = self._tree.transform(target_frame, source_frame, _ns(time))
        return _message(target_frame, source_frame, T, at)

    def lookup_transform_full(self, target_frame: str, target_time: Any, source_frame: str, source_time: Any,
                              fixed_frame: str, timeout: Duration = AT_ONCE) -> TransformStamped:
        """From the source at one time to the target at another, through a frame that stands still meanwhile."""
        self.can_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        with self._changed:
            T_fixed_source, _ = self._tree.transform(fixed_frame, source_frame, _ns(source_time))
            T_target_fixed, at = self._tree.transform(target_frame, fixed_frame, _ns(target_time))
        return _message(target_frame, source_frame, T_target_fixed @ T_fixed_source, at)

    def can_transform(self, target_frame: str, source_frame: str, time: Any,
                      timeout: Duration = AT_ONCE,
                      return_debug_tuple: bool = False) -> bool | tuple[bool, str]:
        """Whether `lookup_transform` would succeed, after up to `timeout`; on request with the reason why not."""
        why_not = self._wait([(target_frame, source_frame, _ns(time))], timeout)
        return (not why_not, why_not) if return_debug_tuple else not why_not

    def can_transform_full(self, target_frame: str, target_time: Any, source_frame: str, source_time: Any,
                           fixed_frame: str, timeout: Duration = AT_ONCE,
                           return_debug_tuple: bool = False) -> bool | tuple[bool, str]:
        """Whether `lookup_transform_full` would succeed; as `can_transform`."""
        why_not = self._wait([(target_frame, fixed_frame, _ns(target_time)),
                              (fixed_frame, source_frame, _ns(source_time))], timeout)
        return (not why_not, why_not) if return_debug_tuple else not why_not

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Newest time for which the way between two frames is known; zero where nothing on it moves."""
        with self._changed:
            return Time(nanoseconds=self._tree.latest_common_time(target_frame, source_frame))

    def all_frames_as_yaml(self) -> str:
        """Every frame with its parent, its broadcaster, its rate in Hz, and the times in s that are remembered."""
        with self._changed:
            lines = [self._yaml_of(frame) for frame, history in self._tree.histories.items() if len(history)]
        return "".join(lines) or "[]"

    def _yaml_of(self, frame: str) -> str:
        history = self._tree.histories[frame]
        span = (history.latest - history.oldest) / 1e9
        return (f"{frame}: \n  parent: '{history.parent_at(0)}'\n  broadcaster: '{self._tree.authorities[frame]}'\n"
                f"  rate: {len(history) / max(span, 1e-4):.3f}\n  most_recent_transform: {history.latest / 1e9:.6f}\n"
                f"  oldest_transform: {history.oldest / 1e9:.6f}\n  buffer_length: {span:.3f}\n")

    def _add(self, transform: TransformStamped, authority: str, static: bool) -> None:
        child, move, turn = transform.child_frame_id, transform.transform.translation, transform.transform.rotation
        link = Link(_ns(transform.header.stamp), transform.header.frame_id.removeprefix("/"), (move.x, move.y, move.z),
                    (turn.x, turn.y, turn.z, turn.w))
        with self._changed:
            refused = self._tree.add(child.removeprefix("/"), link, static, authority)
            self._changed.notify_all()
        if refused:
            self._logger.warning(f"transform of '{child}' from {authority} is ignored: {refused}",
                                 throttle_duration_sec=5.0)

    def _wait(self, ways: list[tuple[str, str, int]], timeout: Duration) -> str:
        """Wait until all ways (target, source, ns) can be gone; returns why they cannot, or an empty string."""
        with self._changed:
            self._changed.wait_for(lambda: not self._why_not(ways), _ns(timeout) / 1e9)
            return self._why_not(ways)

    def _why_not(self, ways: list[tuple[str, str, int]]) -> str:
        try:
            for target, source, time in ways:
                self._tree.check(target, source, time)
        except TransformException as error:
            return str(error)
        return ""

    def _after_jump(self, jump: TimeJump) -> None:
        self._logger.warning("the clock jumped back; forgetting all transforms that are not static")
        self.clear()


def _ns(time: Any) -> int:
    """Nanoseconds of an rclpy Time or Duration, or of a message of either."""
    return time.nanoseconds if hasattr(time, "nanoseconds") else time.sec * 10**9 + time.nanosec


def _message(target: str, source: str, T: np.ndarray, stamp: int) -> TransformStamped:
    """T_target_source as a message."""
    message = TransformStamped(child_frame_id=source)
    message.header.frame_id = target
    message.header.stamp = Time(nanoseconds=stamp).to_msg()
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = T[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = xyzw_from_rotation(T[:3, :3]).tolist()
    return message
