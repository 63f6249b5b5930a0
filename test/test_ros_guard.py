"""The watch in the node: what it says of answers, what it repairs and saves, and what a restart keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import ros_here  # noqa: F401  skips where ROS is missing, before anything of it is imported

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Registration, Sample
from crossi2p_ros.guard import Guard
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.parameters import Settings
from crossi2p_ros.prior import Reference
from crossi2p_ros.ros_compat.tf2 import Buffer

CAMERA = Camera(np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), 64, 48)
SAMPLE = Sample("1.0", np.zeros((48, 64, 3), np.uint8), CAMERA, PointCloud.from_arrays(np.ones((5, 3))))
SIGMA = np.array([np.radians(0.12)] * 3 + [0.015] * 3)


def turned(degrees: float) -> np.ndarray:
    return se3.make(se3.exp_so3(np.radians([0.0, degrees, 0.0])), np.array([0.1, 0.0, 0.0]))


@dataclass
class Node:
    """A node's guard, and the sensors of a robot whose camera may be elsewhere than its reference says."""

    folder: Path
    policy: str = "apply"
    prior: float | None = 0.0  # degrees; what the source says, None: nothing
    clock: int = 0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings(repair_policy=self.policy, save_path=str(self.folder / "extrinsic.yaml"),
                                 prior_source="none")
        self.reference = Reference(lambda: self.settings, Buffer())
        self.used: list[Outcome] = []
        self.guard = Guard(lambda: self.settings, self.reference, self.used.append)
        self.rng = np.random.default_rng(0)

    def hear(self, degrees: float, count: int = 1, same_pair: bool = False, status: str = "ok", doubt: float = 0.01,
             fits: bool = True) -> None:
        """Answers of a camera that is turned by so much from zero."""
        for _ in range(count):
            start = self.reference.find("lidar", "camera", 0)
            start = turned(self.prior) if start is None and self.prior is not None else start
            self.clock -= 10**8 if same_pair else 0
            self.answer(se3.exp_se3(SIGMA * self.rng.normal(size=6)) @ turned(degrees), start, status, doubt, fits)

    def answer(self, T_cam_lidar: np.ndarray, start: np.ndarray | None, status: str = "ok", doubt: float = 0.01,
               fits: bool = True) -> None:
        """One answer from that start."""
        found = Registration(T_cam_lidar, np.diag(SIGMA**2), status, "because", -1.0, -2.0, doubt_before=doubt,
                             convincing=fits)
        self.clock += 10**8
        self.log += self.guard.consider(Outcome(found, start, SAMPLE, "lidar", "camera", self.clock, 0.0, 0.5,
                                                self.clock / 1e9, {}, self.clock))


def test_a_move_is_told_repaired_saved_and_confirmed(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    assert node.guard.state == "calibrated" and node.guard.repairs == 0 and not node.reference.accepted
    node.hear(1.5, 8)
    assert any(line.startswith("decalibrated: turned by") for line in node.log)
    assert any(line.startswith("repaired: the reference was 1.") for line in node.log)
    assert node.guard.repairs == 1 and node.reference.accepted
    node.hear(1.5, 20)
    assert node.guard.state == "calibrated" and node.guard.repairs == 1
    assert se3.rotation_error_deg(read_calibration(tmp_path / "extrinsic.yaml"), turned(1.5)) < 0.5


def test_by_report_the_node_only_tells(tmp_path: Path) -> None:
    node = Node(tmp_path, "report")
    node.hear(0.0, 10)
    node.hear(1.5, 12)
    assert node.guard.state == "decalibrated" and "turned by 1." in node.guard.words
    assert not node.reference.accepted and not (tmp_path / "extrinsic.yaml").exists()
    node.reference.accept(turned(1.5), "lidar", "camera")  # as the operator does
    node.hear(1.5)
    assert node.guard.state == "repaired"


def test_answers_of_the_same_pairs_add_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0)
    node.hear(0.0, 9, same_pair=True)
    assert node.guard.state == "unknown" and "1 of 3 usable" in node.guard.words


def test_one_pair_that_is_registered_again_and_again_repairs_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, prior=None)
    node.hear(40.0)
    node.hear(40.0, 9, same_pair=True)
    assert not node.reference.accepted and node.guard.agreeing == 1
    node.hear(40.0, 2)
    assert node.reference.accepted


def test_pairs_that_are_passed_over_are_blind_moments_once_a_second(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.log += node.guard.pass_over("nobody has asked yet", 10**9)
    node.hear(0.0, 10)
    begin = node.clock
    for tenth in range(1, 190):
        node.log += node.guard.pass_over("the vehicle turns", begin + tenth * 10**8)
    assert node.guard.state == "calibrated"  # nineteen moments
    for second in range(20, 23):
        node.log += node.guard.pass_over("the vehicle turns", begin + second * 10**9)
    assert node.guard.state == "unknown" and node.guard.words.endswith("say nothing; the last: the vehicle turns")
    assert sum("cannot tell" in line for line in node.log) == 1
    node.clock = begin + 10**11
    node.hear(0.0, 3)
    assert node.guard.state == "calibrated"


def test_a_restart_goes_on_with_the_repair_while_the_source_says_what_was_repaired(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(1.5, 8)
    repaired = node.reference.find("lidar", "camera", 0)
    again = Node(tmp_path)
    again.hear(1.5)
    assert any("goes on with the calibration that was repaired before" in line for line in again.log)
    np.testing.assert_allclose(again.reference.find("lidar", "camera", 0), repaired, atol=1e-9)
    again.hear(1.5, 20)
    assert again.guard.state == "calibrated" and again.guard.repairs == 0
    other = Node(tmp_path, prior=1.5)
    other.hear(1.5, 4)
    assert not other.reference.accepted
    shy = Node(tmp_path, "report")
    shy.hear(1.5, 4)
    assert not shy.reference.accepted


def test_reset_takes_the_repair_back_for_good(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(1.5, 8)
    node.reference.reset()
    node.guard.forget()
    assert not (tmp_path / "extrinsic.watch.json").exists() and node.guard.state == ""
    node.hear(0.0, 5)
    assert not node.reference.accepted and node.guard.state == "calibrated"


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"format": "crossi2p watch 1"}), "\x00\xff"])
def test_a_damaged_file_is_said_and_nothing_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "extrinsic.watch.json").write_text(content)
    node = Node(tmp_path)
    node.hear(0.0, 10)
    assert node.log[0].startswith("the watch begins anew") and node.guard.state == "calibrated"


def test_what_cannot_be_written_is_said_and_the_repair_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    node = Node(tmp_path)
    node.settings = replace(node.settings, save_path=str(tmp_path / "file" / "extrinsic.yaml"))
    node.hear(0.0, 10)
    node.hear(1.5, 8)
    assert node.reference.accepted
    assert any("state of the watch is not kept" in line for line in node.log)
    assert any("in use, but not saved" in line for line in node.log)


def test_another_camera_has_a_watch_of_its_own(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    found = Registration(turned(0.0), np.diag(SIGMA**2), "ok", "because", doubt_before=0.01, convincing=True)
    node.guard.consider(Outcome(found, turned(0.0), SAMPLE, "lidar", "other", 10**10, 0.0, 0.5, 0.0, {}, 10**10))
    assert node.guard.state == "unknown" and "1 of 3" in node.guard.words


def test_what_a_repair_puts_to_use_is_told_once_however_unsure_its_answers_are(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10, status="uncertain")
    node.hear(1.5, 20, status="uncertain")
    assert node.guard.repairs == 1 and len(node.used) == 1 and node.guard.in_use is node.used[0]
    found = node.used[0].registration
    assert found.status == "ok" and se3.rotation_error_deg(found.T_cam_lidar, turned(1.5)) < 0.3
    np.testing.assert_allclose(node.reference.find("lidar", "camera", 0), found.T_cam_lidar, atol=1e-12)


def test_a_proposal_waits_for_the_operator_and_is_gone_once_it_is_accepted(tmp_path: Path) -> None:
    node = Node(tmp_path, "propose")
    node.hear(0.0, 10)
    node.hear(1.5, 20, status="uncertain")
    proposed = node.guard.proposed
    assert proposed is not None and not node.used and sum("a repair is proposed" in line for line in node.log) == 1
    assert se3.rotation_error_deg(proposed.registration.T_cam_lidar, turned(1.5)) < 0.3
    late = node.reference.find("lidar", "camera", 0)
    node.guard.accept(proposed)
    assert node.guard.proposed is None and node.guard.in_use is proposed and node.used == [proposed] and late is None
    node.prior, accepted = 0.0, node.reference
    node.reference = Reference(lambda: node.settings, Buffer())
    node.hear(1.5)  # under way while the operator accepted: it started from what was the reference before
    node.reference = accepted
    node.hear(1.5, 20, status="uncertain")
    assert node.guard.proposed is None and node.guard.state == "calibrated"


def test_doubts_alone_repair_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(0.1, 200, doubt=0.35)
    assert node.guard.state == "decalibrated" and node.guard.words == "off, by an amount that the frames leave open"
    assert node.guard.repairs == 0 and not list(tmp_path.glob("*.bak"))


@pytest.mark.parametrize("reset", [False, True])
def test_after_time_has_jumped_back_answers_tell_again(tmp_path: Path, reset: bool) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 100)
    if reset:
        node.guard.forget()
    node.clock = 10**7  # the bag begins anew
    node.hear(1.5, 8)
    assert node.guard.repairs == 1, node.guard.words


def test_a_full_disk_is_said_and_the_repair_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)

    def full(*_: object) -> None:
        raise InputError("cannot write it: No space left on device; choose a folder you may write to")

    monkeypatch.setattr("crossi2p_core.atomic.write_bytes", full)
    node.hear(1.5, 8)
    assert node.guard.repairs == 1 and node.reference.accepted
    assert any(line.startswith("repaired: the reference was") for line in node.log)
    assert any("state of the watch is not kept: cannot write it: No space" in line for line in node.log)
    assert any("in use, but not saved: cannot write it: No space" in line for line in node.log)


def test_what_was_found_from_scratch_is_taken_up_after_a_restart(tmp_path: Path) -> None:
    node = Node(tmp_path, prior=None)
    node.hear(40.0, 6)
    assert node.guard.repairs == 1 and any(line.startswith("found: the camera is where") for line in node.log)
    again = Node(tmp_path, prior=None)
    again.hear(40.0)
    assert any("goes on with the calibration that was found before" in line for line in again.log)
    found = again.reference.find("lidar", "camera", 0)
    np.testing.assert_allclose(found, read_calibration(tmp_path / "extrinsic.yaml"), atol=1e-9)
    assert again.guard.in_use is again.used[0] and np.isfinite(again.used[0].registration.covariance).all()
    again.hear(40.0, 10)
    again.hear(0.0, 20, fits=False)
    assert again.guard.state == "suspect" and again.reference.accepted  # it was good: nothing drops it but ~/reset
    for policy, path in (("report", tmp_path), ("apply", tmp_path / "elsewhere")):
        other = Node(path, policy, prior=None)
        other.hear(40.0)
        assert not other.reference.accepted and other.guard.state == ""


def test_a_camera_that_was_moved_while_the_node_was_off_is_looked_for_anew(tmp_path: Path) -> None:
    node = Node(tmp_path, prior=None)
    node.hear(40.0, 6)
    again = Node(tmp_path, prior=None)
    again.hear(0.0, 11, fits=False)
    assert again.log[-1] == "nothing fits the calibration that was found before: it is looked for from scratch again"
    assert not again.reference.accepted and not (tmp_path / "extrinsic.watch.json").exists()
    again.hear(0.0, 6)
    assert se3.rotation_error_deg(again.reference.find("lidar", "camera", 0), turned(0.0)) < 0.3


def searched(node: Node, degrees: float, status: str = "ok", count: int = 10) -> None:
    """The answer of a search from scratch in so many pairs, that started where the node's answers do."""
    start = node.reference.find("lidar", "camera", 0)
    found = Registration(turned(degrees), np.diag(SIGMA**2), status, "because", convincing=True)
    node.clock += 10**8
    node.log += node.guard.consider(Outcome(found, turned(0.0) if start is None else start, SAMPLE, "lidar", "camera",
                                            node.clock, 0.0, 0.5, 0.0, {}, node.clock, count))


def lost(node: Node, camera: str = "camera", degrees: float | None = None) -> list[Sample]:
    """What the worker is given to look at from scratch, for a pair of this camera and the reference of now."""
    start = node.reference.find("lidar", camera, 0)
    known = turned(0.0 if degrees is None else degrees) if start is None else start
    return node.guard.lost(("lidar", camera), known)


@pytest.mark.parametrize("policy", ["report", "propose", "apply"])
def test_where_nothing_fits_any_more_the_camera_is_looked_for_from_scratch(tmp_path: Path, policy: str) -> None:
    node = Node(tmp_path, policy)
    node.hear(0.0, 10)
    node.hear(15.0, 9, fits=False)
    assert not lost(node)  # nine may be an accident
    node.hear(15.0, fits=False)
    assert node.guard.state == "suspect" and len(lost(node)) == (0 if policy == "report" else 10)
    assert not lost(node) and node.guard.searches == (policy != "report")  # none is looked at twice
    searched(node, 15.0)
    assert node.guard.repairs == (policy == "apply") and (node.guard.proposed is not None) == (policy == "propose")
    if policy == "propose":
        assert "proposed: the reference is 15.00 deg and 0.0 cm off, as 10 pairs together say" in node.log[-1]
        node.hear(15.0, 30, fits=False)
        assert not lost(node)  # it waits for the operator
    if policy == "apply":
        assert "repaired: the reference was 15.00 deg and 0.0 cm off, as 10 pairs together say" in node.log[-2]
        assert se3.rotation_error_deg(read_calibration(tmp_path / "extrinsic.yaml"), turned(15.0)) < 1e-6
        node.hear(15.0, 12)
        assert node.guard.state == "calibrated"


@pytest.mark.parametrize(("degrees", "status"), [(15.0, "uncertain"), (15.0, "failed"), (0.0, "ok")])
def test_a_search_that_finds_nothing_to_repair_says_so_and_is_made_again(tmp_path: Path, degrees: float,
                                                                         status: str) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(15.0, 10, fits=False)
    assert lost(node)
    searched(node, degrees, status)
    assert node.guard.repairs == 0 and "10 pairs together, looked at from scratch, lead to no repair" in node.log[-1]
    node.hear(15.0, 9, fits=False)
    assert not lost(node)
    node.hear(15.0, fits=False)
    assert len(lost(node)) == 10 and node.guard.searches == 2


def test_what_fitted_nowhere_counts_no_more_once_something_fits_or_the_reference_is_another(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(15.0, 10, fits=False)
    node.hear(0.0)
    assert not lost(node)
    node.hear(15.0, 10, fits=False)
    assert not lost(node, "other camera") and not lost(node, degrees=15.0)  # of which nothing is known yet
    node.prior = 15.0  # an operator has corrected what the source says
    node.hear(15.0)
    assert not lost(node) and node.guard.state == "unknown"
