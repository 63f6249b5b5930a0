"""Where TF between the sensors moves from scan to scan, and where it is only corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_ros_guard import SIGMA, Node, turned

from crossi2p_core.geometry import se3


@pytest.mark.parametrize(("degrees", "state"), [(0.0, "calibrated"), (1.5, "decalibrated")])
def test_links_that_move_between_the_sensors_are_watched_and_not_repaired(tmp_path: Path, degrees: float,
                                                                          state: str) -> None:
    node = Node(tmp_path)
    node.settings = replace(node.settings, prior_source="tf")
    for k in range(20):
        start = se3.make(np.eye(3), np.array([0.0, 0.0, 0.05 * k])) @ turned(0.0)
        found = se3.exp_se3(SIGMA * node.rng.normal(size=6)) @ turned(degrees) @ se3.inverse(turned(0.0)) @ start
        node.answer(found, start)
    assert node.guard.state == state and node.guard.moves
    assert node.guard.repairs == 0 and node.guard.agreeing == 0 and not node.reference.accepted
    for _ in range(60):  # the vehicle stands, or somebody has made the link a fixed one
        node.answer(found, start)
    assert not node.guard.moves


def test_another_reference_is_watched_anew(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.prior = 3.0  # somebody has corrected the tree
    node.hear(3.0)
    assert node.guard.state == "unknown" and not node.guard.moves
    node.hear(3.0, 10)
    assert node.guard.state == "calibrated" and not node.guard.moves
