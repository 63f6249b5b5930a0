"""Whether a pair was taken in a moment that says little: while the vehicle turns or drives fast."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from rclpy.time import Time

from crossi2p_core.datasets.messages.stamps import stamp_ns
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.geometry import se3

from .parameters import Settings
from .ros_compat.tf2 import Buffer, ExtrapolationException, TransformException

SPAN_NS = 100_000_000  # over which motion is measured
LATE_NS = 300_000_000  # by which the tree may lag behind the newest scan, and still tell of its motion
RECENT = 10  # pairs of which none has a known motion: the gate does nothing, and somebody relies on it


class MotionGate:
    """Asked about every pair; keeps count of those whose motion nobody knows. unknown: how many so far."""

    def __init__(self, settings: Callable[[], Settings], buffer: Buffer) -> None:
        self._settings, self._buffer = settings, buffer
        self._recent: deque[str] = deque(maxlen=RECENT)  # the fixed frame that told nothing, empty where it told
        self.unknown = 0

    def why_passed_over(self, lidar_frame: str, stamp: int) -> str:
        """Why a pair with this stamp (ns) is left out; empty where it is not."""
        settings = self._settings()
        reason = why_passed_over(settings, self._buffer, lidar_frame, stamp)
        self.unknown += reason is None
        self._recent.append(settings.gate_fixed_frame if reason is None else "")
        return reason or ""

    @property
    def problem(self) -> str:
        """In words, that the gate lets everything in because it never hears of motion; empty where it hears."""
        fixed, recent = self._settings().gate_fixed_frame, tuple(self._recent)
        if not fixed or recent != (fixed,) * RECENT:
            return ""
        return (f"TF tells no motion of the LiDAR in gate.fixed_frame {fixed} for the last {RECENT} pairs, so that "
                "none is passed over; correct the name, or publish that frame")


def why_passed_over(settings: Settings, buffer: Buffer, lidar_frame: str, stamp: int) -> str | None:
    """Why a pair with this stamp (ns) is left out; empty where it is not, None where motion is not known.

    A tree that does not tell of motion at that moment or just before is no reason: the gate is a refinement, not a
    condition.
    """
    fixed = settings.gate_fixed_frame
    if not fixed:
        return ""
    try:
        end = _newest(buffer, fixed, lidar_frame, stamp)
        if end <= SPAN_NS:  # there is no time before 0, and that of 0 means the newest
            return None
        before, after = (buffer.lookup_transform(fixed, lidar_frame, Time(nanoseconds=at))
                         for at in (end - SPAN_NS, end))
    except TransformException:
        return None
    T0, T1 = (transform_from_message(each.transform, f"TF to {fixed}") for each in (before, after))
    seconds = SPAN_NS / 1e9
    turn = float(np.degrees(se3.rotation_angle(T0[:3, :3].T @ T1[:3, :3]))) / seconds
    speed = float(np.linalg.norm(T1[:3, 3] - T0[:3, 3])) / seconds
    if turn > settings.gate_max_turn:
        return f"the vehicle turns faster than gate.max_turn ({settings.gate_max_turn:g} deg/s)"
    if speed > settings.gate_max_speed:
        return f"the vehicle drives faster than gate.max_speed ({settings.gate_max_speed:g} m/s)"
    return ""


def _newest(buffer: Buffer, fixed: str, lidar_frame: str, stamp: int) -> int:
    """The stamp, or the newest moment (ns) that the tree tells of where that is just before: /tf often comes late."""
    try:
        buffer.lookup_transform(fixed, lidar_frame, Time(nanoseconds=stamp))
    except ExtrapolationException:
        latest = stamp_ns(buffer.lookup_transform(fixed, lidar_frame, Time()).header)
        if not 0 < stamp - latest <= LATE_NS:
            raise
        return latest
    return stamp
