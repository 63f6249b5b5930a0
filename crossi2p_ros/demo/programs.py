"""Node and player as processes: started in a DDS network of their own, watched, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .course import NotRepaired

DOMAINS = 100  # of ROS 2's: higher ones meet the ports that Linux gives away
ENDING_S = 5.0  # both end in under two when asked


def own_network() -> dict[str, str]:
    """Environment of processes that shall hear each other and nobody else, least of all a robot on this network."""
    network = {"ROS_DOMAIN_ID": str(1 + os.getpid() % DOMAINS), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if os.environ.get("ROS_DISTRO") == "humble":  # knows no ranges
        network["ROS_LOCALHOST_ONLY"] = "1"
    return network


class Program:
    """A module of this package that runs as a process; what it says goes into a log."""

    def __init__(self, module: str, arguments: list[str], log: Path) -> None:
        self.name, self.log = module, log
        # A core stays free for the other processes: threads that wait for each other's cores only get slower.
        threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) - 1))}
        with log.open("wb") as file:
            # In a session of its own Ctrl-C does not reach it, so it is asked to end once, and by us.
            self._process = subprocess.Popen([sys.executable, "-m", f"crossi2p_ros.{module}", *arguments],
                                             env=threads | dict(os.environ), stdin=subprocess.DEVNULL, stdout=file,
                                             stderr=subprocess.STDOUT, start_new_session=True)

    def check(self) -> None:
        """Raises NotRepaired if it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            last = (self.log.read_text(errors="replace").strip() or "it said nothing").splitlines()[-1]
            raise NotRepaired(f"{self.name} ended by itself with exit code {code}: {last} (all of it: {self.log})")

    def end(self) -> None:
        """Ask it to end, and wait; what does not end in time is killed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(module: str, *arguments: object, log: Path) -> Iterator[Program]:
    """`python -m crossi2p_ros.MODULE ARGUMENTS`, until the block ends."""
    program = Program(module, [str(argument) for argument in arguments], log)
    try:
        yield program
    finally:
        program.end()
