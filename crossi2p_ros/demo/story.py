"""The demo from beginning to end: a drive, a node, a player, a repair, what was saved, what it looks like."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.commands.results import staged_folder

from .course import Course, NotRepaired
from .drive import Drive
from .ending import Result, draw, error, table
from .listener import Listener, listening
from .live import Live
from .programs import own_network, running
from .said import Said

STEPS = 6
STARTING_S = 60.0  # for the node: Python and torch are read from disk
TOGETHER = 2  # frames that the node registers at once: surer than one, and still seconds on two busy cores
AGREEING = 3  # answers in a row that repair
SAVED = "extrinsic.yaml"


@dataclass(frozen=True)
class Plan:
    """out: folder for everything. seed: of the street and of the knock. degrees, centimetres: how hard the camera was
    knocked. limit: seconds for the repair once the drive is played."""

    out: Path
    seed: int = 1
    degrees: float = 2.0
    centimetres: float = 10.0
    limit: float = 120.0


def tell(plan: Plan) -> bool:
    """Run the demo and print it; returns whether the camera was really repaired.

    Raises InputError for what cannot be written, NotRepaired, with the reason, where the end was not reached.
    """
    began = time.monotonic()
    print(f"A camera was knocked by {plan.degrees:g} deg and {plan.centimetres:g} cm. A ROS 2 node finds out, and "
          "repairs its calibration.", flush=True)
    with staged_folder(plan.out) as stage:
        assert stage is not None
        drive = _record(plan)
        course = Course(AGREEING)
        start = _watch(plan, drive, course, stage / SAVED)
        for former in (*stage.glob("*.bak"), *stage.glob("*.watch.json")):  # what the node keeps for its next start
            former.unlink()
        step(6, "both processes have ended; drawing the scan on the image, before and after")
        saved = read_extrinsic(stage / SAVED)
        assert course.last is not None
        result = Result(error(start, drive.truth), error(saved.T_cam_lidar, drive.truth), saved.status,
                        course.last.count("registrations ok"), course.last.count("pairs"), time.monotonic() - began)
        pictures = draw(drive.recorded(), start, saved.T_cam_lidar, result, stage)
    yaml = plan.out / SAVED
    print(table(result, {"pictures": [plan.out / name for name in pictures], "YAML": [yaml],
                         "URDF": [yaml.with_suffix(".urdf.xml")],
                         "command": [yaml.with_suffix(".static_transform.txt")], "bag": [drive.bag],
                         "logs": [_log(plan, "register_node"), _log(plan, "bag_player")]}))
    return result.repaired


def step(number: int, text: str) -> None:
    """Announce a step."""
    print(f"{number}/{STEPS}  {text}", flush=True)


def _record(plan: Plan) -> Drive:
    """The drive's bag, reused where it is there."""
    drive = Drive(plan.out / "drive", plan.seed)
    if drive.is_there():
        step(1, f"a synthetic street (seed {plan.seed}) lies in {drive.bag} already: {drive.words()}")
    else:
        step(1, f"rendering a synthetic street (seed {plan.seed}) into {drive.bag}: {drive.words()}")
        drive.write()
    return drive


def _watch(plan: Plan, drive: Drive, course: Course, save_path: Path) -> np.ndarray:
    """Node and player at work until the repair is confirmed and saved; returns the wrong T_cam_lidar (4, 4) they had.
    """
    os.environ.update(own_network())
    parameters = {"autostart": True, "use_sim_time": True, "frames": TOGETHER, "repair.policy": "apply",
                  "repair.agreeing": AGREEING, "save_path": save_path}
    given = [f"-p {name}:={str(value).lower() if value is True else value}" for name, value in parameters.items()]
    with listening(course.hear) as listener:
        step(2, f"register_node starts in DDS domain {os.environ['ROS_DOMAIN_ID']}, for this machine alone")
        with running("register_node", "--ros-args", *" ".join(given).split(), log=_log(plan, "register_node")) as node:
            if not listener.until(lambda: course.last is not None and course.last.active, STARTING_S, node.check):
                raise NotRepaired(f"within {STARTING_S:g} s {course.missing()}")
            step(3, f"the node is active; bag_player plays the drive to it over and over, {plan.degrees:g} deg and "
                    f"{plan.centimetres:g} cm wrong in /tf_static")
            knock = f"{plan.degrees!r},{plan.centimetres!r}"
            with running("bag_player", drive.bag, "--loop", "--onward", "--clock", "--decalibrate", knock, "--seed",
                         plan.seed, log=_log(plan, "bag_player")) as player:
                def check() -> None:
                    node.check()
                    player.check()

                step(4, "listening to /diagnostics, ~/extrinsic and /tf_static")
                _live(plan, drive, course, listener, check)
                step(5, f"calling ~/save, which writes {save_path.name} and beside it URDF and command line")
                listener.save(check)
    if listener.start is None:
        raise NotRepaired("/tf_static never told where the camera was thought to be")
    return listener.start


def _live(plan: Plan, drive: Drive, course: Course, listener: Listener, check: Callable[[], None]) -> None:
    """Print what is said until the repair is confirmed. Raises NotRepaired when the time is over."""
    began = time.monotonic()
    live = Live(AGREEING, colours=sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def hear(said: Said) -> None:
        course.hear(said)
        found = None if listener.answer is None else error(listener.answer, drive.truth)
        if line := live.line(said, time.monotonic() - began, found):
            print(line, flush=True)

    listener.hear = hear
    if not listener.until(lambda: course.confirmed, plan.limit, check):
        raise NotRepaired(f"within {plan.limit:g} s {course.missing()} (logs: {_log(plan, 'register_node')}, "
                          f"{_log(plan, 'bag_player')})")


def _log(plan: Plan, program: str) -> Path:
    return plan.out / f"{program}.log"
