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
from importlib.util import find_spec

from .borrowed import CHOICES
from .installation import check_ros

__all__ = ["check_ros", "describe", "implementations"]

# module here -> package behind it. The node does without the two that convert messages.
MODULES = {"message_filters": "message_filters", "tf2": "tf2_ros", "cv_bridge": "cv_bridge",
           "point_cloud2": "sensor_msgs_py", "tf_transformations": "tf_transformations"}
OF_THE_NODE = ("message_filters", "tf2", "tf_transformations")


def implementations() -> dict[str, str]:
    """For each borrowed package what stands behind it: `ROS 4.11.4`, or `crossi2p (why not the real one)`.

    What the node does not use is looked for and not loaded: a cv_bridge for numpy 1 writes a page beside numpy 2.
    """
    for module in OF_THE_NODE:
        import_module(f"{__name__}.{module}")
    return {package: CHOICES.get(package) or ("ROS, not loaded" if find_spec(package) else "crossi2p (not installed)")
            for package in MODULES.values()}


def describe() -> str:
    """`implementations` of what the node uses, as one line for its log."""
    found = implementations()
    return "; ".join(f"{MODULES[module]}: {found[MODULES[module]]}" for module in OF_THE_NODE)
