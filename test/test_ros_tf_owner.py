"""The link of the tree that the node owns: its own frame, the user's edge through the tree, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from rclpy.node import Node
from rclpy.time import Time
from ros_here import own_network, running_node
from test_ros_report import MOVED, outcome

from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.geometry import se3
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.ros_compat.tf2 import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener
from crossi2p_ros.tf_owner import SUFFIX, TransformOwner, _Claim

SIDE = se3.make(se3.exp_so3(np.array([0.3, 0.2, -0.1])), np.array([1.0, 2.0, 3.0]))
OTHER_SIDE = se3.make(se3.exp_so3(np.array([-0.1, 0.4, 0.2])), np.array([0.5, -1.0, 0.2]))
MAKE = LiveMessages()


@contextmanager
def tree(**links: tuple[str, np.ndarray]) -> Iterator[tuple[Node, Buffer, Callable[..., bool]]]:
    """A robot that publishes links (child=(parent, T_parent_child)); a node beside it with its buffer filled."""
    network = own_network()
    with running_node("robot", network) as (robot, _), running_node("calibrator", network) as (node, spin_until):
        broadcaster = StaticTransformBroadcaster(robot)
        broadcaster.sendTransform([MAKE.transform(T, 0, parent, child) for child, (parent, T) in links.items()])
        buffer = Buffer()
        TransformListener(buffer, node)
        assert spin_until(lambda: all(buffer.can_transform(parent, child, Time())
                                      for child, (parent, _) in links.items()))
        yield node, buffer, spin_until


def looked_up(buffer: Buffer, target: str, source: str) -> np.ndarray:
    """T_target_source of the tree."""
    return transform_from_message(buffer.lookup_transform(target, source, Time()).transform, "tree")


def published(owner: TransformOwner, found: Outcome) -> bool:
    """Whether it was; the owner may not have heard of the tree yet."""
    owner.publish(found)
    return not owner.problem


def test_by_default_the_camera_gets_a_frame_of_its_own_below_the_lidar() -> None:
    with tree(camera=("lidar", SIDE)) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "", "")
        owner.publish(outcome())
        assert spin_until(lambda: buffer.can_transform("lidar", f"camera{SUFFIX}", Time())) and not owner.problem
        np.testing.assert_allclose(looked_up(buffer, f"camera{SUFFIX}", "lidar"), MOVED, atol=1e-9)
        np.testing.assert_allclose(looked_up(buffer, "lidar", "camera"), SIDE, atol=1e-9)  # nobody else's was touched
        assert node.count_publishers("/tf_static") == 2
        owner.close()
        assert spin_until(lambda: node.count_publishers("/tf_static") == 1)  # the robot's: no latecomer hears of ours


@pytest.mark.parametrize("lidar_on_parent", [True, False])
def test_an_edge_is_solved_so_that_the_tree_says_what_was_found(lidar_on_parent: bool) -> None:
    above, below = ("lidar", "camera") if lidar_on_parent else ("camera", "lidar")
    with tree(**{above: ("base", SIDE), below: ("mount", OTHER_SIDE)}) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "base", "mount")
        assert spin_until(lambda: published(owner, outcome()))
        assert spin_until(lambda: buffer.can_transform("camera", "lidar", Time()))
        np.testing.assert_allclose(looked_up(buffer, "camera", "lidar"), MOVED, atol=1e-9)
        other = replace(outcome(), registration=replace(outcome().registration, T_cam_lidar=SIDE))
        for _ in range(60):  # the edge is there already, and must not lead to itself
            assert published(owner, other)
            assert spin_until(lambda: np.allclose(looked_up(buffer, "camera", "lidar"), SIDE, atol=1e-9))
        owner.close()


def test_an_edge_that_does_not_lie_between_the_sensors_is_refused() -> None:
    with tree(lidar=("base", SIDE)) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "base", "mount")
        assert not spin_until(lambda: published(owner, outcome()), 0.5)
        assert "base -> mount does not lie between lidar and camera" in owner.problem
        owner.close()


def test_an_edge_that_someone_else_publishes_is_refused() -> None:
    links = {"lidar": ("base", SIDE), "camera": ("mount", OTHER_SIDE), "mount": ("base", SIDE)}
    with tree(**links) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "base", "mount")
        spin_until(lambda: False, 0.5)
        owner.publish(outcome())
        assert "someone else publishes base -> mount" in owner.problem
        assert not spin_until(lambda: not np.allclose(looked_up(buffer, "base", "mount"), SIDE), 0.5)
        owner.close()


@pytest.mark.parametrize("moving", [False, True])
def test_whoever_has_claimed_our_frame_and_left_is_forgotten(moving: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK_S", 0.1), ("CONFIRM_S", 0.5), ("MOVING_S", 0.5)):
        monkeypatch.setattr(f"crossi2p_ros.tf_owner.{name}", seconds)
    with tree(lidar=("base", SIDE), mount=("base", SIDE)) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "", "")
        owner.publish(outcome())
        rival = (TransformBroadcaster if moving else StaticTransformBroadcaster)(node)
        claim = MAKE.transform(SIDE, 0, "base", f"camera{SUFFIX}")
        assert spin_until(lambda: (rival.sendTransform(claim), "someone else" in owner.problem)[1])
        assert not spin_until(lambda: not owner.problem, 1.5)  # it lives: a bag may pause
        if moving:
            node.destroy_publisher(rival.pub_tf)
        else:
            rival.destroy()
        assert spin_until(lambda: not owner.problem)
        assert owner._broadcaster is not None  # told again without waiting for the next answer
        assert owner._foreign.keys() == {"lidar", "mount"}
        owner.close()


def test_whoever_claims_our_frame_later_gets_it_and_it_is_said() -> None:
    with tree(lidar=("base", SIDE)) as (node, buffer, spin_until):
        owner = TransformOwner(node, buffer, "", "")
        owner.publish(outcome())
        assert spin_until(lambda: buffer.can_transform("lidar", f"camera{SUFFIX}", Time()))
        spin_until(lambda: False, 0.3)
        assert not owner.problem
        rival = StaticTransformBroadcaster(node)
        rival.sendTransform(MAKE.transform(SIDE, 0, "base", f"camera{SUFFIX}"))
        assert spin_until(lambda: "someone else publishes base -> camera" in owner.problem)
        assert spin_until(lambda: node.count_publishers("/tf_static") == 2)  # the robot's and the rival's
        owner.close()


def test_links_of_others_that_lead_in_a_circle_are_followed_once() -> None:
    with running_node("n", own_network()) as (node, _):
        owner = TransformOwner(node, Buffer(), "base", "mount")
        owner._foreign = {"a": _Claim("b", True, 0.0), "b": _Claim("a", True, 0.0)}
        assert not owner._hangs_below("a")
        owner.close()


def test_nothing_is_published_once_it_is_closed() -> None:
    with tree(lidar=("base", SIDE)) as (node, buffer, _):
        owner = TransformOwner(node, buffer, "", "")
        owner.publish(outcome())
        assert owner._broadcaster is not None
        owner.close()
        owner.publish(outcome())
        assert owner._broadcaster is None
