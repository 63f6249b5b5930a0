"""The executable `register_node`: looks for one usable ROS 2 before anything of it is imported, then runs the node."""

from __future__ import annotations

import sys

from crossi2p_core.errors import InputError

from .ros_compat import check_ros


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 0 when it ended well, 2 with a sentence for what the user has to change."""
    try:
        check_ros()
        from .lifecycle import run

        return run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
