"""What happens when the process is told to end while the worker is at work."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: python -m crossi2p_ros.tf2_msgs_build")

import rclpy
from ros_here import own_network

from crossi2p_ros.lifecycle import RegisterNode


def test_a_worker_whose_context_is_gone_does_not_complain(capfd: pytest.CaptureFixture[str]) -> None:
    """SIGINT takes the context away before the node can stop its worker, and what that trips over is no error."""
    context = rclpy.Context()
    context.init(domain_id=int(own_network()["ROS_DOMAIN_ID"]))
    node = RegisterNode(context=context)
    node._complain("before the end")
    context.shutdown()
    node._complain("after the end")
    node.destroy_node()
    told = capfd.readouterr().err
    assert "before the end" in told
    assert "after the end" not in told
    assert "rosout" not in told
