"""`python -m crossi2p_ros.tf2_msgs_build`: one line about what was done, or about what is missing (exit code 2)."""

import sys

from crossi2p_core.errors import InputError

from . import ensure_tf2_msgs

if __name__ == "__main__":
    try:
        print(ensure_tf2_msgs())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
