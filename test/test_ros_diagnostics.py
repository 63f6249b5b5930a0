"""The node's log: it says what the diagnostics say, once, and again when they say something else."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import own_network, running_node

from crossi2p_ros.diagnostics import Diagnostics
from crossi2p_ros.parameters import Settings
from crossi2p_ros.report import Snapshot


def test_the_log_repeats_nothing_but_numbers_that_changed(capfd: pytest.CaptureFixture[str]) -> None:
    said = ["no image for 4 s", "no image for 5 s", "no cloud for 5 s", "no image for 6.5 s"]
    troubles = iter(said)
    with running_node("register_node", own_network()) as (node, spin_until):
        diagnostics = Diagnostics(node, lambda: Snapshot("active", 0.0, warm=True, why_no_pairs=next(troubles)),
                                  Settings)
        for _ in said:
            diagnostics._tell()
        spin_until(lambda: False, 0.1)
    log = capfd.readouterr().err
    assert [words for words in said if words in log] == [said[0], said[2], said[3]]


def test_the_log_has_the_severity_of_the_diagnostics(capfd: pytest.CaptureFixture[str]) -> None:
    states = iter([Snapshot("active", 0.0, warm=True, why_no_pairs="no image"), Snapshot("active", 0.0, warm=False),
                   Snapshot("inactive", 0.0, warm=True)])
    with running_node("register_node", own_network()) as (node, spin_until):
        diagnostics = Diagnostics(node, lambda: next(states), Settings)
        for _ in range(3):
            diagnostics._tell()
        spin_until(lambda: False, 0.1)
    severities = re.findall(r"^\[(\w+)\].*register_node", "".join(capfd.readouterr()), re.MULTILINE)
    assert severities == ["ERROR", "WARN", "INFO"]


def test_an_error_of_our_own_is_told_and_ends_nothing() -> None:
    def broken() -> Snapshot:
        raise KeyError("x")

    with running_node("register_node", own_network()) as (node, _):
        diagnostics, sent = Diagnostics(node, broken, Settings), []
        diagnostics._publisher = SimpleNamespace(publish=sent.append)
        diagnostics._tell()
    assert sent[0].status[0].level == b"\x02" and "internal error: KeyError" in sent[0].status[0].message
