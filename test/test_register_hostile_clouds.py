"""Hostile LiDARs and clocks: a running node, real DDS, clouds and stamps that lie. It names them and recovers.

Hostile cameras stand in test_register_hostile.py, topics as a whole in test_register_hostile_topics.py.
"""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from hostile_messages import CLOUDS, TIMES, Case
from hostile_sessions import session, suffer


@pytest.mark.parametrize("cases", [
    [each for each in CLOUDS + TIMES if not each.rare],
    pytest.param([each for each in CLOUDS + TIMES if each.rare], marks=pytest.mark.slow),
], ids=["often", "rare"])
def test_a_node_survives_and_names_bad_clouds_and_stamps(cases: list[Case]) -> None:
    with session() as (robot, process):
        suffer(robot, process, cases)
