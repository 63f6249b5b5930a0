"""After a move so large that nothing fits any more: which pairs are kept for a search from scratch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from crossi2p_core import audition
from crossi2p_core.datasets import open_source
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Camera, PointCloud, Sample
from crossi2p_ros.far_search import APART_S, Misfits, search_from_scratch

SAMPLE = Sample("", np.zeros((48, 64, 3), np.uint8), Camera(np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), 64, 48),
                PointCloud.from_arrays(np.ones((5, 3))))


def at(second: float) -> Sample:
    return replace(SAMPLE, name=f"{second:g}", stamp_cloud=second)


def test_pairs_that_saw_the_same_count_once() -> None:
    misfits = Misfits(3)
    for second in (0.0, 0.1, 0.2, APART_S, 0.8):
        misfits.add(at(second), None)
    assert misfits.take() == []
    misfits.add(at(1.1), None)
    assert [sample.name for sample in misfits.take()] == ["0", "0.5", "1.1"]
    assert misfits.take() == []


def test_the_newest_are_kept_also_after_time_has_jumped_back() -> None:
    misfits = Misfits(2)
    for second in (5.0, 6.0, 7.0, 1.0):
        misfits.add(at(second), None)
    assert [sample.name for sample in misfits.take()] == ["7", "1"]


def test_a_robot_that_stands_still_shows_one_place_and_is_waited_for() -> None:
    misfits = Misfits(2)
    for second in range(20):
        misfits.add(at(second), 7)
    assert misfits.take() == []
    misfits.add(at(30.0), 8)
    assert [sample.name for sample in misfits.take()] == ["0", "30"]


def test_a_search_that_nobody_wants_ends_before_anything_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audition, "align", lambda *_: pytest.fail("this takes a second for each place"))
    street = list(open_source("synthetic:street?seed=3&frames=5"))
    found = search_from_scratch(street, np.eye(4), Registrar(device="cpu"), lambda: False)
    assert found.status == "failed" and "broken off" in found.reason


def test_a_search_that_finds_nothing_or_is_not_wanted_any_more_has_failed_and_says_why() -> None:
    street = list(open_source("synthetic:street?seed=3&frames=5"))
    truth, registrar = street[0].T_cam_lidar, Registrar(device="cpu")
    dark = [replace(each, image=np.zeros_like(each.image)) for each in street]
    for samples, wanted, reason in ((dark, True, "from scratch: "), (street, False, "the search was broken off")):
        found = search_from_scratch(samples, truth, registrar, lambda wanted=wanted: wanted)
        assert found.status == "failed" and reason in found.reason, found.reason
        np.testing.assert_array_equal(found.T_cam_lidar, truth)
