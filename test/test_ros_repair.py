"""When an estimate becomes the reference by itself, and when it must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import ros_here  # noqa: F401  skips where ROS is missing, before anything of it is imported

from crossi2p_core.geometry import se3
from crossi2p_core.monitor.watch import Seen
from crossi2p_core.types import Camera, PointCloud, Registration, Sample
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.parameters import Settings
from crossi2p_ros.repair import Repair

APPLY = Settings(repair_policy="apply", repair_agreeing=3)
PROPOSE = replace(APPLY, repair_policy="propose")
CAMERA = Camera(np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), 64, 48)
SAMPLE = Sample("1.0", np.zeros((48, 64, 3), np.uint8), CAMERA, PointCloud.from_arrays(np.ones((5, 3))))


def turned(degrees: float) -> np.ndarray:
    return se3.make(se3.exp_so3(np.radians([0.0, degrees, 0.0])), np.zeros(3))


def outcome(degrees: float, status: str = "ok", sigma: float = 1e-3) -> Outcome:
    """An answer that is turned from the reference by so much."""
    found = Registration(turned(degrees), sigma**2 * np.eye(6), status, f"because {status}")
    return Outcome(found, np.eye(4), SAMPLE, "lidar", "camera", 10**9, 0.0, 0.5, 0.0, {})


def repaired_after(answers: list[Outcome], settings: Settings = APPLY) -> dict[int, np.ndarray]:
    """Indices of the answers that brought a repair, and where it sees the camera."""
    repair = Repair(lambda: settings)
    return {index: said.answer.registration.T_cam_lidar for index, each in enumerate(answers)
            if (said := repair.consider(each)) is not None and said.applied}


def test_what_three_agree_on_becomes_the_reference_by_how_sure_they_are() -> None:
    applied = repaired_after([outcome(1.0, sigma=1e-2), outcome(1.2), outcome(0.9, sigma=1e-2)])
    assert list(applied) == [2]
    np.testing.assert_allclose(applied[2], turned(1.2), atol=2e-4)


@pytest.mark.parametrize("answers", [
    [outcome(1.0), outcome(1.0)],  # too few
    [outcome(0.2)] * 5,  # near the reference
    [outcome(1.0), outcome(1.1), outcome(0.1), outcome(1.0), outcome(1.1)],  # back at it in between
    [outcome(1.0), outcome(2.0), outcome(1.0), outcome(2.0)],  # they contradict each other
    [outcome(1.0), outcome(1.0), outcome(1.0, "uncertain"), outcome(1.0, "failed")],  # not believed
], ids=["too few", "near", "back", "contradicting", "not ok"])
def test_less_than_that_repairs_nothing(answers: list[Outcome]) -> None:
    assert not repaired_after(answers)


def test_answers_from_scratch_that_agree_become_the_reference() -> None:
    answers = [replace(outcome(degrees), reference=None) for degrees in (40.0, 40.1, 39.9)]
    repair = Repair(lambda: APPLY)
    said = [repair.consider(each) for each in answers]
    assert said[:2] == [None, None] and said[2] is not None and said[2].applied
    assert said[2].words.startswith("found: the camera is where 3 answers in a row say")
    np.testing.assert_allclose(said[2].answer.registration.T_cam_lidar, turned(40.0))


def test_an_unsure_answer_in_between_does_not_count_against_the_others() -> None:
    assert repaired_after([outcome(1.0), outcome(1.0, "uncertain"), outcome(1.0), outcome(1.0)]).keys() == {3}


def test_it_tells_how_many_agree_so_far() -> None:
    repair = Repair(lambda: APPLY)
    said = []
    for each in (outcome(1.0), outcome(1.1), outcome(2.0), outcome(2.0), outcome(2.1)):
        repair.consider(each)
        said.append(repair.agreeing)
    assert said == [1, 2, 1, 2, 0]


def test_the_policy_report_repairs_nothing() -> None:
    assert not repaired_after([outcome(1.0)] * 9, replace(APPLY, repair_policy="report"))


def test_what_was_forgotten_does_not_count() -> None:
    repair = Repair(lambda: APPLY)
    repair.consider(outcome(1.0))
    repair.consider(outcome(1.0))
    repair.forget()
    assert not repair.consider(outcome(1.0))


def test_the_policy_propose_says_so_once_and_changes_nothing() -> None:
    repair = Repair(lambda: PROPOSE)
    said = [repair.consider(outcome(degrees)) for degrees in (1.0, 1.1, 1.0, 1.0, 0.1, 1.0, 1.0, 1.1)]
    assert [index for index, each in enumerate(said) if each] == [2, 7]
    assert said[2] is not None and not said[2].applied and "~/accept" in said[2].words


def test_a_proposal_is_kept_until_an_answer_is_back_or_others_agree_on_something_else() -> None:
    repair = Repair(lambda: PROPOSE)
    proposed = []
    for degrees in (1.0, 1.0, 1.0, 1.1, 3.0, 1.0, 3.0, 3.0, 3.0, 0.1):
        repair.consider(outcome(degrees))
        T = None if repair.proposed is None else repair.proposed.registration.T_cam_lidar
        proposed.append(0.0 if T is None else round(float(se3.rotation_error_deg(T, np.eye(4))), 2))
    assert proposed == [0, 0, 1, 1, 1, 1, 1, 1, 3, 0]


@pytest.mark.parametrize("policy", ["propose", "apply"])
def test_of_an_endless_drive_no_more_answers_are_kept_than_make_a_repair(policy: str) -> None:
    repair = Repair(lambda: replace(APPLY, repair_policy=policy))
    for _ in range(50):
        repair.consider(outcome(1.0), confirmed=policy == "propose")
        assert repair.agreeing <= 3 and len(repair._agreeing) <= 3


def test_what_does_not_differ_from_the_reference_repairs_nothing() -> None:
    settings = replace(APPLY, warn_deviation_deg=0.05, warn_deviation_cm=1.0)
    assert not repaired_after([outcome(0.2)] * 9, settings)  # under half of monitor.least_deg
    assert not repaired_after([outcome(1.0, sigma=0.02)] * 3, settings)  # within what they may err
    assert repaired_after([outcome(1.0)] * 3, settings)


def test_nothing_follows_before_the_watch_confirms_it() -> None:
    repair = Repair(lambda: APPLY)
    said = [repair.consider(outcome(1.0), confirmed) for confirmed in (False, False, False, False, True)]
    assert said[:4] == [None] * 4 and said[4] is not None and said[4].applied


@pytest.mark.parametrize(("frames", "degrees", "repaired"), [(10, 0.05, True), (9, 0.05, False), (10, 0.3, False)])
def test_answers_that_are_sure_only_together_repair_once_they_are(frames: int, degrees: float, repaired: bool) -> None:
    seen = Seen(turned(1.0), np.diag([np.radians(degrees)**2] * 3 + [0.01**2] * 3), frames)
    found = Repair(lambda: APPLY).consider(outcome(1.7, "uncertain"), True, seen)
    assert (found is not None and found.applied) is repaired
    if found is not None:
        np.testing.assert_allclose(found.answer.registration.T_cam_lidar, turned(1.0), atol=1e-9)
        assert found.answer.valid and "was 1.00 deg" in found.words


def test_who_asked_for_reports_alone_gets_no_proposal() -> None:
    repair = Repair(lambda: replace(APPLY, repair_policy="report"))
    assert not any(repair.consider(outcome(1.0)) for _ in range(9))
    assert repair.proposed is None and repair.agreeing == 0


def test_one_proposal_is_made_once() -> None:
    repair = Repair(lambda: PROPOSE)
    assert [index for index in range(9) if repair.consider(outcome(1.0))] == [2]


@pytest.mark.parametrize(("metres", "repaired"), [(0.01, True), (0.06, False)])
def test_where_the_camera_is_has_to_be_sure_and_not_only_where_it_looks(metres: float, repaired: bool) -> None:
    seen = Seen(turned(1.0), np.diag([np.radians(0.05)**2] * 3 + [metres**2] * 3), 10)
    assert (Repair(lambda: APPLY).consider(outcome(1.7, "uncertain"), True, seen) is not None) is repaired


def test_three_answers_are_surer_than_one() -> None:
    repair = Repair(lambda: APPLY)
    said = [repair.consider(outcome(1.0)) for _ in range(3)][2]
    assert said is not None
    assert np.trace(said.answer.registration.covariance) < 0.5 * np.trace(outcome(1.0).registration.covariance)
