"""Whether a pair was taken in a moment that says little: while the vehicle turns or drives fast."""

from __future__ import annotations

import numpy as np
from rclpy.time import Time

from crossi2p_core.datasets.messages.stamps import stamp_ns
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.geometry import se3

from .parameters import Settings
from .ros_compat.tf2 import Buffer, ExtrapolationException, TransformException

SPAN_NS = 100_000_000  # over which motion is measured
LATE_NS = 300_000_000  # by which the tree may lag behind the newest scan, and still tell of its motion


def why_passed_over(settings: Settings, buffer: Buffer, lidar_frame: str, stamp: int) -> str:
    """Why a pair with this stamp (ns) is left out; empty where it is not, or where motion is not known.

    A tree that does not tell of motion at that moment or just before is no reason: the gate is a refinement, not a
    condition.
    """
    fixed = settings.gate_fixed_frame
    if not fixed:
        return ""
    try:
        end = _newest(buffer, fixed, lidar_frame, stamp)
        if end <= SPAN_NS:  # there is no time before 0, and that of 0 means the newest
            return ""
        before, after = (buffer.lookup_transform(fixed, lidar_frame, Time(nanoseconds=at))
                         for at in (end - SPAN_NS, end))
    except TransformException:
        return ""
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
