"""A running node offers exactly the topics, types, services and diagnostic values of the table that docs/ros.md has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.time import Time
from ros_here import own_network, running_node
from test_ros_report import outcome

from crossi2p_ros.interface import DIAGNOSTIC_VALUES, DIAGNOSTICS, INPUTS, OUTPUTS, SERVICES, Topic
from crossi2p_ros.lifecycle import NAME, RegisterNode
from crossi2p_ros.messages.live import LiveMessages

PLAIN = "plain"  # a lifecycle node of which nothing is ours


@dataclass
class Seen:
    """What an observer in the same network sees of a node that is active and has registered something."""

    observer: Node
    node: RegisterNode
    said: dict[str, str]  # the values of /diagnostics

    def offered(self, ask: Callable[[str, str], list[tuple[str, list[str]]]]) -> dict[str, str]:
        """Type by name of what it offers, without what every lifecycle node does."""
        plain, mine = (dict(ask(name, "/")) for name in (PLAIN, NAME))
        common = {name.replace(f"/{PLAIN}/", f"/{NAME}/") for name in plain}
        assert all(len(kinds) == 1 for kinds in mine.values())
        return {name: kinds[0] for name, kinds in mine.items() if name not in common}


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    with running_node("observer", own_network()) as (observer, spin_until):
        plain = LifecycleNode(PLAIN, context=observer.context)
        node = RegisterNode(context=observer.context)
        observer.executor.add_node(node)
        told: list[DiagnosticArray] = []
        observer.create_subscription(DiagnosticArray, DIAGNOSTICS.name, told.append, 10)
        try:
            assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
            assert spin_until(lambda: node.ledger.warm, 60)
            pretend_to_have_registered(node)
            assert spin_until(lambda: any("because ok" in str(each) for each in told))
            yield Seen(observer, node, {each.key: each.value for each in told[-1].status[0].values})
        finally:
            node.close()
            plain.destroy_node()


def pretend_to_have_registered(node: RegisterNode) -> None:
    """Let it know everything that can be known."""
    assert node.outputs is not None
    found = outcome()
    node.reference.accept(found.reference, found.lidar_frame, found.camera_frame)
    node.ledger.add(found)
    node.guard.consider(found)
    node.ledger.count("K is zero")
    node.outputs.publish(found)


def test_time_that_jumps_back_empties_the_tree_though_no_clock_tells(seen: Seen) -> None:
    node = seen.node
    node.buffer.set_transform(LiveMessages().transform(np.eye(4), 10**9, "lidar", "pan"), "test")
    assert node.buffer.can_transform("lidar", "pan", Time())
    assert node.inputs is not None
    node.inputs.forget()
    assert not node.buffer.can_transform("lidar", "pan", Time())


def quality(profile: Any) -> str:
    """Reliability and durability in the words of the table."""
    return f"{profile.reliability.name}, {profile.durability.name}".lower().replace("_", " ")


def in_table(topics: tuple[Topic, ...], seen: Seen) -> dict[str, str]:
    """Type by name."""
    return {topic.called(NAME, seen.node.settings): topic.kind for topic in topics}


def test_topics_and_their_types_are_those_of_the_table(seen: Seen) -> None:
    assert seen.offered(seen.observer.get_publisher_names_and_types_by_node) == in_table(OUTPUTS, seen)
    assert seen.offered(seen.observer.get_subscriber_names_and_types_by_node) == in_table(INPUTS, seen)


def test_their_quality_of_service_is_that_of_the_table(seen: Seen) -> None:
    for topics, ask in ((OUTPUTS, seen.observer.get_publishers_info_by_topic),
                        (INPUTS, seen.observer.get_subscriptions_info_by_topic)):
        for topic in topics:
            name = topic.called(NAME, seen.node.settings)
            mine = {quality(each.qos_profile) for each in ask(name) if each.node_name == NAME}
            assert mine == {topic.qos}, name


def test_services_and_their_types_are_those_of_the_table(seen: Seen) -> None:
    offered = seen.offered(seen.observer.get_service_names_and_types_by_node)
    assert offered == {each.name.replace("~", f"/{NAME}"): each.kind for each in SERVICES}


def test_diagnostic_values_are_those_of_the_table(seen: Seen) -> None:
    patterns = {key: re.compile(re.sub("[A-Z]{5,}", ".+", re.escape(key))) for key in DIAGNOSTIC_VALUES}
    kinds = {key: {kind for kind, pattern in patterns.items() if pattern.fullmatch(key)} for key in seen.said}
    assert all(kinds.values()), kinds
    assert set().union(*kinds.values()) == set(DIAGNOSTIC_VALUES)
