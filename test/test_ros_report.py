"""What the diagnostics say of the node in every state, and why pairs do not come. Needs no ROS."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Registration, Sample
from crossi2p_ros.ledger import MOST_REASONS, OTHER, Ledger
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.parameters import Settings
from crossi2p_ros.report import ERROR, OK, WARN, Snapshot, report
from crossi2p_ros.streams import Stream, why_no_pairs

NOW = 1000.0
MOVED = se3.make(se3.exp_so3(np.radians([0.0, 1.0, 0.0])), np.array([0.0, 0.0, 0.1]))


def outcome(status: str = "ok", age: float = 1.0) -> Outcome:
    """A registration that found the camera 1 deg and 10 cm away from the reference, `age` seconds ago."""
    camera = Camera(np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), 64, 48)
    sample = Sample("1.0", np.zeros((48, 64, 3), np.uint8), camera, PointCloud.from_arrays(np.ones((5, 3))))
    found = Registration(MOVED, 1e-6 * np.eye(6), status, f"because {status}", matches=100, inliers=80,
                         reprojection_px=1.5)
    return Outcome(found, np.eye(4), sample, "lidar", "camera", 10**9, 0.004, 0.8, NOW - age, {"search": 0.5})


def snapshot(**changes: Any) -> Snapshot:
    """A node that is well, with changes."""
    return replace(Snapshot("active", NOW, "cpu", 300.0, last=outcome(), last_valid=outcome(), deviation=(0.1, 1.0)),
                   **changes)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, OK, "registered: because ok"),
    ({"state": "inactive"}, OK, "inactive"),
    ({"state": "unconfigured", "cannot_configure": "no such device"}, ERROR, "cannot configure: no such device"),
    ({"warm": False}, WARN, "warming up"),
    ({"why_no_pairs": "no image yet"}, ERROR, "no image yet"),
    ({"missing": "TF does not lead"}, ERROR, "TF does not lead"),
    ({"tf_problem": "someone else"}, ERROR, "someone else"),
    ({"last_refusal": ("pairs cannot be used: K is zero", NOW)}, ERROR, "cannot be used: K is zero"),
    ({"last_refusal": ("pairs cannot be used: K is zero", NOW - 5)}, OK, "registered"),
    ({"last": None, "last_valid": None}, WARN, "no result yet"),
    ({"last": outcome("failed")}, ERROR, "failed: because failed"),
    ({"last": outcome("uncertain")}, WARN, "uncertain: because uncertain"),
    ({"last": outcome("uncertain"), "last_valid": None}, WARN, "no valid result yet"),
    ({"last_valid": outcome(age=61.0)}, WARN, "61 s old"),
    ({"gate_problem": "TF tells no motion"}, WARN, "TF tells no motion"),
    ({"deviation": (0.5, 1.0)}, WARN, "0.50 deg and 1.0 cm from the reference"),
    ({"deviation": (0.1, 9.0)}, WARN, "9.0 cm from the reference"),
])
def test_level_and_reason(changes: dict[str, Any], level: int, words: str) -> None:
    said = report(snapshot(**changes), Settings())
    assert said.level == level and words in said.message


def test_the_remedy_follows_the_policy() -> None:
    said = [report(snapshot(deviation=(0.5, 1.0)), Settings(repair_policy=policy)).message
            for policy in ("report", "apply")]
    assert "~/accept" in said[0] and "once 3 answers in a row agree" in said[1]


def test_an_old_result_is_no_fault_where_nobody_asks_for_new_ones() -> None:
    old = snapshot(last_valid=outcome(age=61.0))
    assert report(old, Settings(mode="manual")).level == OK
    assert report(old, Settings(warn_age=0.0)).level == OK


def test_by_a_long_period_a_result_is_old_after_two_of_them() -> None:
    rare = Settings(mode="periodic", period=100.0)
    assert report(snapshot(last_valid=outcome(age=199.0)), rare).level == OK
    assert "201 s old (two periods: 200 s)" in report(snapshot(last_valid=outcome(age=201.0)), rare).message
    often = Settings(mode="periodic", period=10.0)
    assert "61 s old (warn.age 60 s)" in report(snapshot(last_valid=outcome(age=61.0)), often).message


def test_values_tell_all_with_units() -> None:
    told = snapshot(rates={"image": 9.96}, counts={"pairs": 7}, refused=(("K is zero", 3),))
    values = report(told, Settings()).values
    expected = {"state": "active", "last result": "ok", "deviation rotation [deg]": "0.100",
                "deviation translation [cm]": "1.00", "reprojection error [px]": "1.50", "edges in view": "100",
                "edges with an image edge": "80", "standard deviation translation [cm]": "0.17",
                "image to cloud [ms]": "4.0", "latency in all [ms]": "800", "latency search [ms]": "500.0",
                "age of last valid result [s]": "1.0", "rate image [Hz]": "10.0", "pairs": "7", "device": "cpu",
                "memory [MB]": "300", "refused: K is zero": "3"}
    assert {key: values.get(key) for key in expected} == expected


def test_deviation_is_in_degrees_and_centimetres() -> None:
    np.testing.assert_allclose(outcome().from_reference, (1.0, 10.0))
    assert outcome().from_reference_in_words == "1.00 deg and 10.0 cm from the reference"
    assert replace(outcome(), reference=None).from_reference_in_words == "found from scratch"
    np.testing.assert_allclose(outcome().deviation(MOVED), (0.0, 0.0), atol=1e-6)


def streams(apart: float = 0.0) -> list[Stream]:
    """Image, cloud and calibration that came ten times, a second ago the last, with stamps that far apart."""
    made = [Stream(name, f"/{name}") for name in ("image", "cloud", "info")]
    for k in range(10):
        for stream, shift in zip(made, (0.0, apart, 0.0), strict=True):
            stream.arrived(round((100 + k + shift) * 1e9), NOW - 1 + 0.1 * k - 0.9)
    return made


def reason(image: Stream, cloud: Stream, info: Stream, publishers: int = 1) -> str:
    """Why no pairs come of these, with a slop of 50 ms."""
    return why_no_pairs(image, cloud, info, 0.05, NOW, lambda topic: ["Image"] * publishers)


def test_pairs_that_come_need_no_reason() -> None:
    assert reason(*streams(0.02)) == ""
    assert streams()[0].rate(NOW) == pytest.approx(10.0)


def test_each_missing_input_is_named() -> None:
    for index, topic in enumerate(("/image", "/cloud", "/info")):
        made = streams()
        made[index] = Stream(topic[1:], topic)
        assert f"nobody publishes {topic}" in reason(*made, publishers=0)
        assert f"{topic} has a publisher, but nothing arrives" in reason(*made)


def test_a_topic_that_stops_is_named() -> None:
    made = streams()
    assert "no image for 6 s" in why_no_pairs(*made, 0.05, NOW + 5, lambda topic: ["Image"])
    assert made[0].rate(NOW + 5) == 0


def test_a_slow_topic_is_waited_for() -> None:
    made = streams()
    made[1] = Stream("cloud", "/cloud")
    for k in range(4):
        made[1].arrived((105 + k) * 10**9, NOW - 8 - 5 * (3 - k))
    assert reason(*made) == "" and made[1].rate(NOW) == pytest.approx(0.2)
    assert made[1].silent(NOW + 8)
    paused = Stream("cloud", "/cloud")
    for at in (NOW - 60, NOW):
        paused.arrived(10**9, at)
    assert paused.silent(NOW + 4)  # one pause is no habit


def test_pairs_that_come_late_need_no_reason() -> None:
    image, cloud, info = streams(0.3)
    assert why_no_pairs(image, cloud, info, 0.05, NOW, lambda topic: ["Image"], paired=NOW - 1) == ""
    assert "300 ms apart" in why_no_pairs(image, cloud, info, 0.05, NOW, lambda topic: ["Image"], paired=NOW - 4)


def test_stamps_that_lie_apart_are_told_in_milliseconds() -> None:
    assert "300 ms apart" in reason(*streams(0.3))


def test_a_stream_that_is_delivered_late_is_no_wrong_clock() -> None:
    image, cloud, info = (Stream(name, f"/{name}") for name in ("image", "cloud", "info"))
    for k in range(120):
        image.arrived(round((100 + k / 30) * 1e9), NOW - 4 + k / 30)
        cloud.arrived(round((100 + k / 30) * 1e9), NOW - 4 + k / 30 + 0.45)
        info.heard(NOW)
    said = reason(image, cloud, info)
    assert "each cloud arrives 0.45 s after the image of its moment" in said and "has to be 15 at least" in said
    assert why_no_pairs(image, cloud, info, 0.05, NOW, lambda topic: ["Image"], queue_size=15) == ""
    assert len(image.stamps) == len(image.stamped_at) == 120
    image.arrived(200 * 10**9, NOW + 60)
    assert len(image.stamps) == len(image.stamped_at) == 1


def test_empty_stamps_and_quality_of_service_are_told() -> None:
    made = streams()
    made[1].arrived(0, NOW)
    made[1].arrived(-(10**9), NOW)
    assert "the stamps are empty, 2 so far" in reason(*made)
    made[0].qos_problem = "incompatible"
    assert reason(*made) == "/image: incompatible"
    assert "incompatible" not in reason(*made, publishers=0)  # whoever offered it has gone
    made[0].arrived(200 * 10**9, NOW)
    assert "incompatible" not in reason(*made)


def test_time_that_jumps_back_is_noticed_and_partners_are_sought_anew() -> None:
    stream = Stream("image", "/image")
    assert [stream.arrived(at * 10**9, 0.0) for at in (100, 101, 50, 51)] == [False, False, True, False]
    assert list(stream.stamps) == [50 * 10**9, 51 * 10**9]
    assert not stream.arrived(0, 0.0) and not stream.stamps  # what was heard before tells nothing of pairs any more
    assert (stream.jumps_back, stream.empty_stamps, stream.count) == (1, 1, 5)


def test_refusals_are_counted_by_kind_and_their_number_is_bounded() -> None:
    ledger = Ledger()
    for k in range(3):
        ledger.refuse(f"{k} bytes are too few; send more than {'a few' if k else 'none'}")
    assert ledger.refused() == [("# bytes are too few", 3)]
    assert ledger.last_refusal is not None and ledger.last_refusal[0] == (
        "pairs cannot be used: 2 bytes are too few; send more than a few")
    assert time.monotonic() - ledger.last_refusal[1] < 5
    ledger.lack("no way from a to b")
    assert ledger.missing == "no way from a to b" and ledger.last_refusal is None  # the newest trouble is told
    assert ledger.refused()[0] == ("no way from a to b", 1)
    ledger.refuse("K is zero")
    ledger.refuse("7 bytes are too few")
    # As many as fit are shown: the newest
    assert ledger.refused() == [("# bytes are too few", 4), ("K is zero", 1), ("no way from a to b", 1)]
    ledger.refuse(f"encoding '{'x' * 10**6}; ' is unknown; use another")
    assert "encoding 'xx" in ledger.last_refusal[0] and len(ledger.last_refusal[0]) < 600
    assert ledger.refused()[0][0].startswith("encoding 'xx") and len(ledger.refused()[0][0]) < 600
    letters = [chr(ord("a") + k % 26) * (1 + k // 26) for k in range(200)]
    for text in letters:
        ledger.refuse(text)
    assert len(ledger.refused()) == MOST_REASONS + 1
    assert dict(ledger.refused())[OTHER] == 200 - (MOST_REASONS - 4)


def test_an_answer_ends_what_was_missing() -> None:
    ledger = Ledger()
    ledger.lack("a start")
    assert ledger.missing
    ledger.add(outcome())
    assert not ledger.missing
