"""Which answer ~/accept and ~/save mean: what many answers stand behind, unless the operator has asked for another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import own_network, running_node
from std_srvs.srv import Trigger
from test_ros_repair import outcome, turned

from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.geometry import se3
from crossi2p_ros.guard import Guard
from crossi2p_ros.interface import CALIBRATE, SAVE
from crossi2p_ros.ledger import Ledger
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.parameters import Settings
from crossi2p_ros.prior import Reference
from crossi2p_ros.ros_compat.tf2 import Buffer
from crossi2p_ros.services import Services


class Desk:
    """The services without ROS, and what is in use when they were called."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(save_path=str(folder / "extrinsic.yaml"), prior_source="none")
        self.reference, self.ledger = Reference(lambda: self.settings, Buffer()), Ledger()
        self.guard = Guard(lambda: self.settings, self.reference)
        self.asked: Any = None
        node = SimpleNamespace(create_service=lambda *_, **__: None, executor=None)
        self.worker: Any = SimpleNamespace(calibrate=lambda tell: tell(self.asked) or True)
        self.services = Services(node, lambda: self.settings, self.worker, self.ledger, self.guard,  # type: ignore[arg-type]
                                 why_no_pairs=lambda: "", forget=self.guard.forget)
        self.clock = 0.0

    def answers(self, degrees: float) -> Outcome:
        """A valid answer, the newest."""
        self.clock += 1
        found = replace(outcome(degrees), finished=self.clock)
        self.ledger.add(found)
        return found

    def call(self, name: str) -> str:
        said = SimpleNamespace(success=False, message="")
        called = getattr(self.services, f"_{name}")(None, said)
        if asyncio.iscoroutine(called):
            asyncio.run(called)
        return f"{'' if said.success else 'not: '}{said.message}"

    def in_use(self) -> float:
        """Degrees of the reference."""
        T = self.reference.find("lidar", "camera", 0)
        assert T is not None
        return round(float(se3.rotation_error_deg(T, turned(0.0))), 3)

    def saved(self) -> float:
        """Degrees of the file."""
        T = read_extrinsic(self.settings.save_path).T_cam_lidar
        return round(float(se3.rotation_error_deg(T, turned(0.0))), 3)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_a_repair_it_is_the_last_valid_result(desk: Desk) -> None:
    assert desk.call("accept").startswith("not: there is no valid result")
    desk.answers(1.0)
    desk.answers(1.2)
    assert desk.call("save").startswith("wrote the last valid result") and desk.saved() == 1.2
    assert desk.call("accept").startswith("the last valid result is the reference now") and desk.in_use() == 1.2


def test_a_proposal_goes_before_what_was_valid_before_the_move(desk: Desk) -> None:
    desk.answers(0.0)
    desk.guard._repair.proposed = desk.answers(2.0)  # as the watch does
    desk.ledger.last_valid = replace(outcome(0.0), finished=0.5)
    assert desk.call("save").startswith("wrote the proposed repair") and desk.saved() == 2.0
    assert desk.call("accept").startswith("the proposed repair is the reference now") and desk.in_use() == 2.0
    assert desk.guard.proposed is None


def test_what_is_in_use_is_not_overwritten_by_a_single_answer(desk: Desk) -> None:
    desk.guard.accept(desk.answers(2.0))
    desk.answers(2.3)
    assert desk.call("save").startswith("wrote the calibration in use") and desk.saved() == 2.0
    assert desk.call("accept") and desk.in_use() == 2.3  # another one may still take its place
    assert desk.call("reset") and desk.guard.in_use is None and desk.call("save").startswith("not: ")


def test_what_the_operator_has_asked_for_goes_before_what_came_earlier(desk: Desk,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        """A future that is done."""

        def __init__(self, executor: Any) -> None:
            self.result: Any = None

        def add_done_callback(self, _: Any) -> None:
            return

        def set_result(self, result: Any) -> None:
            self.result = result

        def __await__(self) -> Any:
            yield from ()
            return self.result

    monkeypatch.setattr("crossi2p_ros.services.Future", Done)
    desk.guard._repair.proposed = desk.answers(2.0)
    desk.asked = desk.answers(1.0)
    assert desk.call("calibrate").startswith("ok")
    assert desk.call("save").startswith("wrote the last valid result") and desk.saved() == 1.0
    desk.guard._repair.proposed = desk.answers(3.0)
    desk.answers(0.5)
    assert desk.call("accept") and desk.in_use() == 3.0


@pytest.mark.parametrize("offered", [CALIBRATE, SAVE])
def test_calls_that_nobody_has_taken_when_services_are_withdrawn_are_answered(desk: Desk, offered: Any) -> None:
    network = own_network()
    with running_node("robot", network) as (robot, spin_until), running_node("register_node", network) as (node, _):
        services = Services(node, lambda: desk.settings, desk.worker, desk.ledger, desk.guard, why_no_pairs=lambda: "",
                            forget=desk.guard.forget)
        client = robot.create_client(Trigger, offered.name.replace("~", "register_node"))
        assert spin_until(client.service_is_ready)
        waiting = [client.call_async(Trigger.Request()) for _ in range(2)]
        spin_until(lambda: False, 0.5)  # the calls arrive, and nobody spins the node that they are for
        services.close()
        assert spin_until(lambda: all(each.done() for each in waiting)), "nobody answered"
        assert all("cleaned up" in each.result().message for each in waiting)
        assert spin_until(lambda: robot.count_services(client.srv_name) == 0)


def test_nothing_is_accepted_while_links_move(desk: Desk) -> None:
    desk.answers(2.0)
    desk.guard.moves = True
    assert desk.call("accept").startswith("not: TF between the sensors moves") and not desk.reference.accepted


def test_what_cannot_be_saved_is_no_success(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk.settings = replace(desk.settings, save_path=str(tmp_path / "file" / "e.yaml"))
    desk.answers(2.0)
    assert desk.call("save").startswith("not: cannot write")


def test_after_a_reset_nobody_has_asked_for_an_answer(desk: Desk) -> None:
    desk.answers(2.0)
    desk.services._asked_at = 99.0
    desk.call("reset")
    desk.guard._repair.proposed = desk.answers(3.0)
    desk.answers(0.5)
    assert desk.call("save").startswith("wrote the proposed repair")
