"""What both executables need of the process they run in: an end that nothing breaks, and ROS' arguments in words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from crossi2p_core.errors import InputError


class Stop:
    """Asked for by SIGINT and SIGTERM, once or over and over: `ros2 launch` and a terminal may both send the same one.

    Make it before anything slow is imported, and keep ROS from setting handlers of its own. Then no signal is raised as
    an exception in the midst of something, and the context stays whole until everything has been taken apart.
    """

    def __init__(self) -> None:
        """Until `begin`, a signal ends the process at once, with 0: nothing is there yet that has to be taken apart."""
        self.asked = False
        self._begun = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def begin(self) -> None:
        """From now on a signal sets `asked`, and that is all."""
        self._begun = True

    def _ask(self, *of_the_signal: Any) -> None:
        if not self._begun:
            os._exit(0)
        self.asked = True


def leave(code: int) -> NoReturn:
    """End the process at once. Python would take a second to tear down torch, and trip over threads that use it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def ros_arguments_in_words() -> Iterator[None]:
    """What rclpy says of a command line that it does not understand, as an InputError."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(f"ROS does not understand what follows --ros-args: {str(error).partition(', at /')[0]}; "
                         "correct it") from error
