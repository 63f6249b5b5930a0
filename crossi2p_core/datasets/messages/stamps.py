"""Time stamps of ROS 1 and ROS 2 headers."""

from __future__ import annotations

from typing import Any


def stamp_ns(header: Any) -> int:
    """Nanoseconds of a std_msgs/Header; ROS 2 says sec and nanosec, rospy secs and nsecs."""
    stamp = header.stamp
    seconds = stamp.sec if hasattr(stamp, "sec") else stamp.secs
    rest = next(getattr(stamp, name) for name in ("nanosec", "nsec", "nsecs") if hasattr(stamp, name))
    return int(seconds) * 1_000_000_000 + int(rest)
