"""The thread that owns the device: which pairs it takes, which it drops, and how it ends. With the real Registrar."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: python -m crossi2p_ros.tf2_msgs_build")
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Sample
from crossi2p_ros.inputs import Pair
from crossi2p_ros.ledger import Ledger
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.parameters import Settings
from crossi2p_ros.prior import Reference
from crossi2p_ros.ros_compat.tf2 import Buffer
from crossi2p_ros.worker import Worker

MAKE = LiveMessages()
NOWHERE = {"prior_source": "file", "prior_file": "/nowhere.yaml"}
PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Two frames of a street, as far as the camera may see it."""
    return [replace(each, cloud=each.cloud.select(each.cloud.xyz[:, 0] > 0.5 * np.abs(each.cloud.xyz[:, 1])))
            for each in open_source("synthetic:street?seed=1&frames=2")]


@pytest.fixture(scope="module")
def street() -> list[Sample]:
    """Six frames as KITTI's camera sees them."""
    return list(open_source("synthetic:street?seed=3&frames=6&camera=kitti"))


def pair_of(sample: Sample, second: int, camera_frame: str = "camera") -> Pair:
    """Its messages."""
    stamp = second * 10**9
    return Pair(MAKE.image(sample.image, stamp, camera_frame), MAKE.camera_info(sample.camera, stamp, camera_frame),
                MAKE.cloud(sample.cloud, stamp, "lidar"), 0.0, time.monotonic(), ("/image", "/info", "/points"), False)


@dataclass
class Bench:
    """A worker, and what came out of it."""

    settings: Settings
    ledger: Ledger = field(default_factory=Ledger)
    outcomes: list[Outcome] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    gate: str = ""
    turns_at: frozenset[int] = frozenset()  # seconds
    passed_over: list[tuple[str, int]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # stamps that the gate was asked about
    registrar: Registrar = field(default_factory=lambda: Registrar(device="cpu", weights="none"))
    lost: list[Sample] = field(default_factory=list)  # to be looked at from scratch, once

    def __post_init__(self) -> None:
        self.reference = Reference(lambda: self.settings, Buffer())
        self.worker = Worker(self.registrar, lambda: self.settings, self.reference, self.ledger,
                             gate=self.turning, publish=self.outcomes.append,
                             pass_over=lambda reason, stamp: self.passed_over.append((reason, stamp // 10**9)),
                             idle=lambda: None, complain=self.complaints.append, lost=self.look_for)

    def look_for(self, frames: tuple[str, str], reference: np.ndarray) -> list[Sample]:
        """What the guard has kept."""
        taken, self.lost = self.lost, []
        return taken

    def turning(self, pair: Pair) -> str:
        """The gate."""
        self.asked.append(pair.stamp // 10**9)
        return self.gate or ("the vehicle turns" if self.asked[-1] in self.turns_at else "")

    def calibrate(self) -> Any:
        """What it answers when asked to register now; None where it refuses at once."""
        done = threading.Event()
        answers: list[Any] = []
        if not self.worker.calibrate(lambda answer: (answers.append(answer), done.set())):
            return None
        assert done.wait(PATIENCE_S)
        return answers[0]


@contextmanager
def bench(start: np.ndarray | None = None, registrar: Registrar | None = None, **settings: Any) -> Iterator[Bench]:
    """An active worker that ends with the block, in time and without complaints."""
    made = Bench(Settings(**({"prior_source": "none"} | settings)),
                 registrar=registrar or Registrar(device="cpu", weights="none"))
    if start is not None:
        made.reference.accept(start, "lidar", "camera")
    made.worker.start()
    made.worker.activate()
    try:
        yield made
    finally:
        begin = time.monotonic()
        made.worker.stop()
        assert time.monotonic() - begin < 2.0
        assert not made.complaints


def waited(condition: Any, seconds: float = PATIENCE_S) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        threading.Event().wait(0.02)
    return condition()


def test_several_pairs_are_registered_together(samples: list[Sample]) -> None:
    truth = samples[0].T_cam_lidar
    assert truth is not None
    start = se3.perturb(truth, np.random.default_rng(0), 1.0, 0.1)
    with bench(start, mode="manual", frames=2) as made:
        for second, sample in enumerate(samples, 1):
            made.worker.offer(pair_of(sample, second))
        joint = made.calibrate()
        made.worker.forget()
        made.worker.offer(pair_of(samples[1], 3))
        alone = made.calibrate()
    assert isinstance(joint, Outcome) and isinstance(alone, Outcome) and made.outcomes == [joint, alone]
    assert joint.registration.matches > 1.5 * alone.registration.matches
    assert se3.translation_error_m(joint.registration.T_cam_lidar, truth) < 0.5 * se3.translation_error_m(start, truth)
    assert joint.stamp == 2 * 10**9 and {"convert", "search"} <= joint.seconds.keys()


def test_the_newest_pair_is_next_and_the_others_are_counted_as_dropped(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar) as made:
        for second in range(1, 8):
            made.worker.offer(pair_of(samples[0], second))
        assert waited(lambda: bool(made.outcomes) and made.outcomes[-1].stamp == 7 * 10**9)
        assert len(made.outcomes) + made.ledger.dropped == 7


def test_nothing_is_registered_without_a_start_and_it_is_said(samples: list[Sample]) -> None:
    with bench(mode="manual", **NOWHERE) as made:
        assert made.calibrate() is None
        made.worker.offer(pair_of(samples[0], 1))
        assert "nowhere.yaml" in made.calibrate() and "nowhere.yaml" in made.ledger.missing
        made.gate = "the vehicle turns"
        made.worker.forget()
        made.worker.offer(pair_of(samples[0], 2))
        assert made.calibrate() == "the vehicle turns" and made.ledger.passed_over == 1
        assert not made.outcomes


def test_no_start_is_needed(samples: list[Sample]) -> None:
    truth = np.asarray(samples[0].T_cam_lidar)
    with bench(mode="manual") as made:
        made.worker.offer(pair_of(replace(samples[0], T_cam_lidar=None), 1))
        found = made.calibrate()
    assert isinstance(found, Outcome) and found.reference is None
    assert se3.rotation_error_deg(found.registration.T_cam_lidar, truth) < 2.0
    assert found.from_reference_in_words == "found from scratch"


def test_a_camera_that_changes_its_frame_starts_a_new_window(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="manual", frames=2, **NOWHERE) as made:
        made.worker.offer(pair_of(samples[0], 1))
        made.worker.offer(pair_of(samples[1], 2, "other_camera"))
        assert "nowhere.yaml" in str(made.calibrate())  # what was accepted is of the first camera
        made.reference.accept(samples[0].T_cam_lidar, "lidar", "other_camera")
        found = made.calibrate()
        assert isinstance(found, Outcome) and found.camera_frame == "other_camera"
        assert "the frames changed from lidar and camera to lidar and other_camera" in " ".join(
            reason for reason, _ in made.ledger.refused())


def test_periodic_registers_once_per_period(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="periodic", period=1000.0) as made:
        made.worker.offer(pair_of(samples[0], 1))
        assert waited(lambda: len(made.outcomes) == 1)
        made.worker.offer(pair_of(samples[0], 2))
        assert not waited(lambda: len(made.outcomes) > 1, 3.0)
        assert isinstance(made.calibrate(), Outcome)  # being asked is another matter
        assert [each.stamp for each in made.outcomes] == [10**9, 2 * 10**9]


def test_a_picture_that_cannot_be_drawn_keeps_nobody_waiting(samples: list[Sample]) -> None:
    made = Bench(Settings(prior_source="none", mode="manual"))
    made.worker = Worker(made.registrar, lambda: made.settings, made.reference, made.ledger,
                         gate=lambda pair: "", publish=lambda outcome: 1 / 0,
                         pass_over=lambda reason, stamp: None, idle=lambda: None, complain=made.complaints.append)
    made.reference.accept(samples[0].T_cam_lidar, "lidar", "camera")
    made.worker.start()
    made.worker.activate()
    made.worker.offer(pair_of(samples[0], 1))
    assert isinstance(made.calibrate(), Outcome) and isinstance(made.calibrate(), Outcome)
    assert made.worker.stop() and "ZeroDivisionError" in made.complaints[0]
    assert made.ledger.refused()[0] == ("internal error: ZeroDivisionError: division by zero", 2)


def test_whoever_asked_is_answered_when_the_node_is_deactivated(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="manual") as made:
        assert waited(lambda: made.ledger.warm)
        made.worker.offer(pair_of(samples[0], 1))
        answers: list[Any] = []
        assert made.worker.calibrate(answers.append)
        made.worker.deactivate()
        assert waited(lambda: bool(answers)) and "deactivated" in answers[0]
        assert not made.outcomes and made.ledger.last is None
        assert not made.worker.calibrate(answers.append)


def test_the_gate_is_asked_once_about_every_pair_and_keeps_each_refused_one_out(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="manual", frames=2) as made:
        made.worker.offer(pair_of(samples[0], 1))
        alone = made.calibrate()
        made.turns_at = frozenset({2, 3, 4})
        for second in (2, 3):
            made.worker.offer(pair_of(samples[1], second))
        still_alone = made.calibrate()
        made.worker.offer(pair_of(samples[1], 4))
        made.worker.offer(pair_of(samples[1], 5))
        joint = made.calibrate()
        assert made.asked == [1, 2, 3, 4, 5] and made.ledger.passed_over == 3
    assert [each.stamp // 10**9 for each in (alone, still_alone, joint)] == [1, 1, 5]
    assert still_alone.registration.matches == alone.registration.matches
    assert joint.registration.matches > 1.5 * alone.registration.matches


def test_a_refused_pair_costs_no_period(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="periodic", period=1000.0) as made:
        made.turns_at = frozenset({1})
        made.worker.offer(pair_of(samples[0], 1))
        assert waited(lambda: made.ledger.passed_over == 1)
        bad = pair_of(samples[0], 2)
        bad.image.encoding = "nonsense"
        made.worker.offer(bad)
        assert waited(lambda: bool(made.ledger.refused()))
        made.worker.offer(pair_of(samples[0], 3))
        assert waited(lambda: bool(made.outcomes)) and made.outcomes[0].stamp == 3 * 10**9
        assert [second for _, second in made.passed_over] == [1, 2]
        assert made.passed_over[0][0] == "the vehicle turns" and "nonsense" in made.passed_over[1][0]


@pytest.mark.parametrize(("void", "words"), [("forget", "forgotten meanwhile"), ("deactivate", "deactivated")])
def test_what_is_under_way_is_voided_and_who_waits_is_told_at_once(samples: list[Sample], void: str,
                                                                   words: str) -> None:
    with bench(samples[0].T_cam_lidar, mode="manual") as made:
        assert waited(lambda: made.ledger.warm)
        made.worker.offer(pair_of(samples[0], 1))
        under_way, go_on, answers = threading.Event(), threading.Event(), list[Any]()
        find = made.reference.find

        def held(*arguments: Any) -> np.ndarray:
            under_way.set()
            assert go_on.wait(PATIENCE_S)
            return find(*arguments)

        made.reference.find = held  # type: ignore[method-assign]
        assert made.worker.calibrate(answers.append) and under_way.wait(PATIENCE_S)
        assert made.worker.calibrate(answers.append)
        getattr(made.worker, void)()
        assert len(answers) == 2 and all(words in each for each in answers)
        go_on.set()
        made.worker.activate()
        made.worker.offer(pair_of(samples[0], 2))
        assert isinstance(made.calibrate(), Outcome)
        assert [each.stamp for each in made.outcomes] == [2 * 10**9] and len(answers) == 2


def test_a_pair_of_long_ago_is_not_calibrated_with(samples: list[Sample]) -> None:
    with bench(samples[0].T_cam_lidar, mode="manual") as made:
        made.worker.offer(replace(pair_of(samples[0], 1), arrived=time.monotonic() - 3600.0))
        said = made.calibrate()
        # 3600 s, and some for warm-up
        assert re.search(r"the newest pair came 36\d\d s ago, and sync\.max_age allows 10 s", said)
        made.settings = replace(made.settings, sync_max_age=0.0)
        assert isinstance(made.calibrate(), Outcome)


class _Broken(Registrar):
    """Of which the first registration fails."""

    failed = False

    def register(self, *arguments: Any, **options: Any) -> Any:
        if not self.failed:
            self.failed = True
            raise MemoryError("no memory")
        return super().register(*arguments, **options)


def test_a_search_that_finds_no_camera_is_a_failed_registration_and_costs_a_period(samples: list[Sample]) -> None:
    first, second = (pair_of(replace(each, image=np.zeros_like(each.image)), k) for k, each in enumerate(samples, 1))
    with bench(prior_source="none", mode="periodic", period=1000.0) as made:
        made.worker.offer(first)
        assert waited(lambda: made.ledger.registrations["failed"] == 1)
        made.worker.offer(second)
        time.sleep(0.3)
        assert made.asked == [1] and made.ledger.registrations["failed"] == 1 and not made.ledger.refused()
        assert "the registration failed: nobody knows" in str(made.ledger.last_refusal) and not made.outcomes
        assert "the image is dark" in made.calibrate() and made.ledger.registrations["failed"] == 2  # asked, at once


def test_a_failed_warm_up_hides_nothing(samples: list[Sample]) -> None:
    made = Bench(Settings(prior_source="none", mode="manual"))
    made.worker = Worker(_Broken(device="cpu"), lambda: made.settings, made.reference, made.ledger, gate=made.turning,
                         publish=made.outcomes.append, pass_over=lambda reason, stamp: None, idle=lambda: None,
                         complain=made.complaints.append)
    made.worker.start()
    assert waited(lambda: made.ledger.warm, 10.0)
    assert waited(lambda: bool(made.complaints)) and "MemoryError" in made.complaints[0]
    assert "internal error: MemoryError" in made.ledger.refused()[0][0]
    assert made.worker.stop()


@pytest.mark.parametrize("weights", ["none", pytest.param("default", marks=pytest.mark.slow)])
def test_where_the_reference_is_lost_the_camera_is_found_in_the_pairs_that_fitted_nowhere(
        street: list[Sample], weights: str) -> None:
    truth = street[0].T_cam_lidar
    far = se3.perturb(truth, np.random.default_rng(0), 15.0, 0.5)
    kept = [replace(each, T_cam_lidar=None, T_world_lidar=None, stamp_cloud=2.0 * i) for i, each in enumerate(street)]
    with bench(far, Registrar(device="cpu", weights=weights)) as made:
        made.lost = kept
        for second in (1, 2):
            made.worker.offer(pair_of(street[0], second))
            assert waited(lambda second=second: len(made.outcomes) == second, 200.0)
    first, second = made.outcomes
    assert [first.searched, second.searched, len(made.lost)] == [6, 0, 0]
    np.testing.assert_allclose(first.reference, far)
    found = first.registration
    assert found.status == "ok" and found.reason.startswith("from scratch: standard deviation")
    assert se3.rotation_error_deg(found.T_cam_lidar, truth) < 0.5
    assert se3.translation_error_m(found.T_cam_lidar, truth) < 0.1
    assert not second.valid


def test_who_asks_for_the_newest_pairs_gets_no_search_instead(street: list[Sample]) -> None:
    far = se3.perturb(street[0].T_cam_lidar, np.random.default_rng(0), 15.0, 0.5)
    with bench(far, Registrar(device="cpu"), mode="manual") as made:
        made.lost = street
        made.worker.offer(pair_of(street[0], 1))
        answer = made.calibrate()
    assert answer.searched == 0 and made.lost == street
