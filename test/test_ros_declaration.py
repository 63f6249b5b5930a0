"""Parameters as people write them on the command line, through ROS."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter
from ros_here import own_network, running_node

from crossi2p_ros.declaration import declare, read
from crossi2p_ros.parameters import Settings


def settings(*given: str) -> Settings:
    """Of a node that was started with these."""
    arguments = [part for each in given for part in ("-p", each)]
    with running_node("calibrator", own_network(), "--ros-args", *arguments) as (node, _):
        declare(node)
        assert node.set_parameters([Parameter("period", value=5)])[0].successful  # live, too
        return read(node)


def test_whole_numbers_and_yes_are_taken() -> None:
    said = settings("sync.max_age:=0", "rectified:=yes", "prior.translation:=[1, 2, 3]", "warn.deviation_deg:=1.5")
    assert (said.sync_max_age, said.period, said.rectified) == (0.0, 5.0, "yes")
    assert said.prior_translation == (1.0, 2.0, 3.0) and said.warn_deviation_deg == 1.5


@pytest.mark.parametrize("given", ["frames:=5.0", "sync.slop:=99.0"])
def test_what_cannot_be_is_refused_by_ros_itself(given: str) -> None:
    with pytest.raises((InvalidParameterTypeException, InvalidParameterValueException)):
        settings(given)
