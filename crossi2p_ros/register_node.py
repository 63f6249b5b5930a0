"""The executable `register_node`: looks for one usable ROS 2 before anything of it is imported, then runs the node."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from crossi2p_core.errors import InputError

from .process import Stop, leave, ros_arguments_in_words
from .ros_compat import check_ros


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the node until it is told to end: exit code 0, 2 for what the user has to change, 1 for a bug."""
    stop = Stop()
    try:
        check_ros()
        _refuse_plain_arguments(sys.argv if arguments is None else [sys.argv[0], *arguments])
        from .spin import run

        run(arguments, stop)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except Exception:
        traceback.print_exc()
        leave(1)
    leave(0)


def _refuse_plain_arguments(arguments: list[str]) -> None:
    """Raise InputError for what is not ROS' own: it would have no effect, and nobody would say so."""
    from rclpy.utilities import remove_ros_args

    with ros_arguments_in_words():
        plain = remove_ros_args(arguments)[1:]
    if plain:
        raise InputError(f"register_node takes no {' '.join(plain)}; usage: register_node --ros-args [-p NAME:=VALUE] "
                         "[--params-file FILE] [-r FROM:=TO]; config/register.yaml has all parameters")


if __name__ == "__main__":
    main()
