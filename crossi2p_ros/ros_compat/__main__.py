"""`python -m crossi2p_ros.ros_compat`: what ROS is on this machine; exit code 2 where it is not enough."""

import sys

from crossi2p_core.errors import InputError

from . import check_ros, implementations

if __name__ == "__main__":
    try:
        print(f"rclpy: {check_ros()}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for package, choice in implementations().items():
        print(f"{package}: {choice}")
