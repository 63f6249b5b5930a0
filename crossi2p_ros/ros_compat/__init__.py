"""The ROS packages that crossi2p borrows: the real one where it loads, otherwise our small one with the same names.

A distribution has all of them. ROS from PyPI has none, and cv_bridge of a distribution does not load beside numpy 2.

    message_filters.py    Subscriber, ApproximateTimeSynchronizer
    tf2.py                Buffer, TransformListener, TransformBroadcaster; StaticTransformBroadcaster is always ours
    cv_bridge.py          CvBridge
    point_cloud2.py       read_points, create_cloud, ... of sensor_msgs_py
    tf_transformations.py matrices, quaternions, Euler angles
    borrowed.py           the choice, and the words for the log
    own/                  our equivalents

Only what crossi2p uses is there. `python -m crossi2p_ros.ros_compat` tells what this machine has.
"""

from __future__ import annotations

from importlib import import_module

from .borrowed import CHOICES
from .installation import check_ros

__all__ = ["check_ros", "describe", "implementations"]

MODULES = ("message_filters", "tf2", "cv_bridge", "point_cloud2", "tf_transformations")


def implementations() -> dict[str, str]:
    """For each borrowed package what stands behind it: `ROS 4.11.4`, or `crossi2p (why not the real one)`."""
    for module in MODULES:
        import_module(f"{__name__}.{module}")
    return dict(CHOICES)


def describe() -> str:
    """`implementations` as one line for the log."""
    return "; ".join(f"{package}: {choice}" for package, choice in implementations().items())
