"""The executable `register_node`: looks for one usable ROS 2 before anything of it is imported, then runs the node."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from crossi2p_core.errors import InputError

from .process import Stop, leave
from .ros_compat import check_ros


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the node until it is told to end: exit code 0, 2 for what the user has to change, 1 for a bug."""
    stop = Stop()
    try:
        check_ros()
        from .spin import run

        run(arguments, stop)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except Exception:
        traceback.print_exc()
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
