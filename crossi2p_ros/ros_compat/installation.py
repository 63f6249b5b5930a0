"""Is there one ROS 2 here, and only one? Asked before rclpy is imported: two load each other's libraries."""

from __future__ import annotations

import os
import sys
from importlib import metadata, util
from pathlib import Path

from crossi2p_core.errors import InputError


def check_ros() -> str:
    """Says which rclpy will be imported; raises InputError, with what to do, where that cannot go well."""
    spec = util.find_spec("rclpy")
    distribution = os.environ.get("ROS_DISTRO", "")
    if spec is None or spec.origin is None:
        if distribution:
            raise InputError(f"ROS {distribution} is sourced, but {sys.executable} does not see its rclpy; run it with "
                             "PYTHONPATH as it was sourced and with the Python that this ROS was built for, or, from "
                             "a clone, on ROS 2 from PyPI, which make keeps apart: make clean install ROS=wheels")
        raise InputError("no ROS 2 here; source a distribution (source /opt/ros/<name>/setup.bash), or on x86-64 Linux "
                         "install its wheels: make install, or pip install '.[ros]', from a clone")
    where = Path(spec.origin).parent
    try:
        wheels = metadata.version("ros-rclpy")
    except metadata.PackageNotFoundError:
        return f"{distribution} at {where}".strip()
    if not where.is_relative_to(sys.prefix):
        raise InputError(f"two ROS 2 at once: {distribution} at {where} is sourced and {sys.prefix} holds the wheels; "
                         "use a shell where nothing is sourced, or an environment without them (make clean install "
                         "ROS=none)")
    if util.find_spec("tf2_msgs") is None:
        raise InputError(f"the ROS wheels in {sys.prefix} lack tf2_msgs; build it: "
                         f"{sys.executable} -m crossi2p_ros.tf2_msgs_build")
    return f"{wheels} from PyPI at {where}"
