"""For test_register_hostile*.py: a node that is well, what it says of each damage, and how it gets well again."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from hostile_messages import Case
from rclpy.time import Time
from registering import Sensors, own_network, registering, running_node

from crossi2p_core.datasets import open_source
from crossi2p_core.types import Sample

OK, WARN, ERROR = 0, 1, 2
SIZE = (256, 80)
PATIENCE_S = 20.0


def tiny_street() -> Sample:
    """A frame that is registered in a fraction of a second: 256 x 80 pixels, 10 114 points."""
    whole = open_source("synthetic:street?seed=1&frames=1")[0]
    x, y, _ = whole.cloud.xyz.T
    seen = np.flatnonzero(x > 0.5 * np.abs(y))[::4]
    return replace(whole, image=cv2.resize(whole.image, SIZE, interpolation=cv2.INTER_AREA),
                   camera=whole.camera.resize(*SIZE), cloud=whole.cloud.select(seen))


@contextmanager
def session(sensors: type[Sensors] = Sensors, **parameters: Any) -> Iterator[tuple[Sensors, subprocess.Popen[str]]]:
    """Sensors with a good prior, and a node that starts in a process of its own once they are there."""
    network, sample = own_network(), tiny_street()
    given = {"autostart": "true", "prior__max_deg": 0.5, "prior__max_m": 0.05} | parameters
    with running_node("robot", network) as (node, spin_until):
        robot = sensors(node, spin_until, sample)
        robot.tell_prior(sample.T_cam_lidar)
        with registering(network, **given) as process:
            yield robot, process


def registers(robot: Sensors, damage: Callable[..., None] = lambda *three: None, seconds: float = PATIENCE_S) -> bool:
    """Whether pairs that are sent from now on give an extrinsic."""
    begin = robot.node.get_clock().now().nanoseconds
    robot.extrinsics.clear()
    return robot.sending_until(lambda: any(Time.from_msg(each.header.stamp).nanoseconds > begin
                                           for each in robot.extrinsics), damage, seconds)


def sending_without(robot: Sensors, missing: str, condition: Callable[[], bool]) -> bool:
    """Send all but the `image`, the `info` or the `cloud` until the condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        publishers = {"image": robot.images, "info": robot.infos, "cloud": robot.clouds}
        for (name, publisher), message in zip(publishers.items(), robot.messages(), strict=True):
            if name != missing:
                publisher.publish(message)
        robot.spin_until(condition, 0.2)
    return condition()


def suffer(robot: Sensors, process: subprocess.Popen[str], cases: Sequence[Case]) -> None:
    """Each case is named and counted, or used where it can be; the node survives it, and good pairs register again."""
    assert registers(robot), robot.said
    for case in cases:
        robot.said = None
        if case.words:
            assert robot.sending_until(lambda c=case: robot.says(c.words) and robot.level() == ERROR, case.damage,
                                       PATIENCE_S), (case.name, robot.said)
            assert not case.counter or counted(robot, case), (case.name, robot.said)
        else:
            assert registers(robot, case.damage), (case.name, robot.said)
        assert process.poll() is None, case.name
        assert registers(robot), ("never got well again", case.name, robot.said)
    assert robot.sending_until(lambda: robot.level() in (OK, WARN), seconds=PATIENCE_S), robot.said


def counted(robot: Sensors, case: Case) -> int:
    """How often the last diagnostics have counted what a case does."""
    assert robot.said is not None
    by_kind = case.counter == "refused: "
    kind = re.sub(r"-?\d+(\.\d+)?", "#", case.words.rpartition("; ")[0] or case.words) if by_kind else ""
    return sum(int(each.value) for each in robot.said.values if each.key.startswith(case.counter) and kind in each.key)
