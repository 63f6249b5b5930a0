"""The command line of the demo. Exit codes: 0 repaired, 1 not repaired, 2 bad input, 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from crossi2p_core.errors import InputError

from ..ros_compat import check_ros
from .course import NotRepaired

NAME = "crossi2p demo"
INTERRUPTED = 128 + signal.SIGINT
WITHOUT_ROS = ["register", "synthetic:street?seed=1&frames=4&camera=kitti", "--perturb", "2,10", "--seed", "18"]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything is written.")] = Path("out/demo"),
    seed: Annotated[int, typer.Option(
        "--seed", metavar="N", help="Of the street, and of the directions in which its camera was knocked.")] = 1,
    limit: Annotated[float, typer.Option(
        "--limit", metavar="S", help="Seconds for the node to repair the calibration once the drive is played.")
    ] = 120.0,
) -> None:
    """Knock the camera of a synthetic drive, play it through DDS to register_node, and watch the node repair it."""
    if seed < 0 or not 0 < limit < 86400:
        raise InputError(f"--seed {seed} --limit {limit:g}: a seed is 0 or more, a limit some seconds")
    try:
        check_ros()
    except InputError as error:
        print(f"{NAME}: the same by the command line alone, without ROS: {error}")
        print(f"{NAME}: 'make clean demo ROS=wheels' runs the demo itself, on ROS 2 from PyPI", flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "crossi2p_core", *WITHOUT_ROS, "--out", str(out)])
    # The wheels' rclpy starts Python anew when it is imported first, so nothing may have happened before.
    import rclpy  # noqa: F401

    from .story import Plan, tell

    raise typer.Exit(0 if tell(Plan(out, seed=seed, limit=limit)) else 1)


def main() -> None:
    """Entry point; never a traceback for what a user did, nor for a repair that did not come."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app(prog_name=NAME)
    except InputError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        sys.exit(2)
    except NotRepaired as reason:
        print(f"{NAME}: not repaired: {reason}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stdout.flush()
            os._exit(INTERRUPTED)  # all is tidied up; a frame that is being rendered cannot be broken off
        raise


def _interrupt(*of_the_signal: Any) -> None:
    """Unwind, which ends the processes; a second signal must not disturb that, for it takes a few seconds at most."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.write(2, f"{NAME}: interrupted\n".encode())  # print() could be what was interrupted
    sys.exit(INTERRUPTED)
