"""What follows from an answer: what TF says after a restart and after ~/reset, and what the deviation is from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from test_ros_guard import SIGMA, Node, turned
from test_ros_report import outcome

from crossi2p_core.geometry import se3
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.prior import Reference
from crossi2p_ros.ros_compat.tf2 import Buffer
from crossi2p_ros.sequel import Sequel


@dataclass
class Told:
    """In the place of `Outputs`: what TF would say of the reference, in degrees, None: nothing."""

    links: list[float | None] = field(default_factory=list)
    told: Outcome | None = None

    def publish(self, outcome: Outcome, in_use: np.ndarray | None) -> None:
        self.told = outcome
        self.follow(in_use)

    def use(self, outcome: Outcome) -> None:
        self.follow(outcome.registration.T_cam_lidar)

    def follow(self, in_use: np.ndarray | None) -> None:
        self.links.append(None if in_use is None else round(float(se3.rotation_error_deg(in_use, turned(0.0))), 1))

    def forget(self) -> None:
        return


def sequel(node: Node) -> tuple[Sequel, Told]:
    told = Told()
    node.guard._use = told.use
    return Sequel(node.log.append, node.reference, node.guard, told), told  # type: ignore[arg-type]


def answer(node: Node, degrees: float, start: np.ndarray | None) -> Outcome:
    """Of a camera that is turned by so much, from this start."""
    found = outcome()
    node.clock += 10**8
    return replace(found, registration=replace(found.registration, T_cam_lidar=turned(degrees),
                                               covariance=np.diag(SIGMA**2)),
                   reference=start, stamp=node.clock, oldest=node.clock)


@pytest.mark.parametrize("prior", [0.0, None])
def test_after_a_restart_tf_never_says_what_was_repaired_before(tmp_path: Path, prior: float | None) -> None:
    before = Node(tmp_path, prior=prior)
    before.hear(0.0, 10)
    before.hear(1.5, 8)
    assert before.guard.repairs >= 1
    again = Node(tmp_path, prior=prior)
    follows, told = sequel(again)
    start = None if prior is None else turned(prior)
    follows.prepare(answer(again, 0.0, start))
    repaired = again.reference.find("lidar", "camera", 0)
    assert repaired is not None and sum("goes on with the calibration" in line for line in again.log) == 1
    follows.publish(answer(again, 1.5, repaired))
    assert len(told.links) == 2 and told.links == [round(float(se3.rotation_error_deg(repaired, turned(0.0))), 1)] * 2


def test_after_a_reset_tf_says_what_is_left(tmp_path: Path) -> None:
    node = Node(tmp_path, "report", prior=None)
    follows, told = sequel(node)
    follows.forget()
    assert not told.links  # there is nothing to take back
    found = answer(node, 1.5, None)
    follows.publish(found)
    node.guard.accept(found)
    follows.forget()
    assert told.links == [None, 1.5, None]


def test_a_link_that_has_moved_since_does_not_call_an_answer_off(tmp_path: Path) -> None:
    buffer, node = Buffer(), Node(tmp_path)
    node.settings = replace(node.settings, prior_source="tf")
    node.reference = Reference(lambda: node.settings, buffer)
    follows, _ = sequel(node)
    for second in range(1, 31):
        buffer.set_transform(LiveMessages().transform(turned(float(second)), second * 10**9, "camera", "lidar"), "test")
    valid = replace(answer(node, 5.1, turned(5.0)), stamp=5 * 10**9)
    assert follows.deviation(None) is None
    np.testing.assert_allclose(follows.deviation(valid), (0.1, 0.0), atol=1e-6)
