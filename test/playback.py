"""For tests of the bag player: the player as a process of its own, and a listener that keeps every byte it hears."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

ROOT = Path(__file__).resolve().parent.parent


class Ear:
    """Everything that is heard on some topics, in order.

    heard: (topic, CDR, seconds of the monotonic clock). times: of /clock in ns.
    """

    def __init__(self, node: Node, classes: dict[str, Any], latched: tuple[str, ...] = ("/tf_static",)) -> None:
        self.classes = classes
        self.heard: list[tuple[str, bytes, float]] = []
        self.times: list[int] = []
        for topic, kind in classes.items():
            durability = DurabilityPolicy.TRANSIENT_LOCAL if topic in latched else DurabilityPolicy.VOLATILE
            node.create_subscription(kind, topic, lambda raw, topic=topic: self._hear(topic, raw),
                                     QoSProfile(depth=100, durability=durability), raw=True)
        node.create_subscription(Clock, "/clock", lambda message: self.times.append(nanoseconds(message.clock)), 1000)

    def _hear(self, topic: str, raw: bytes) -> None:
        self.heard.append((topic, raw, time.monotonic()))

    def arrivals(self, topic: str) -> list[float]:
        """When the messages of one topic came, in seconds."""
        return [at for name, _, at in self.heard if name == topic]

    def of(self, topic: str) -> list[bytes]:
        """CDR of all that was heard on one topic."""
        return [raw for name, raw, _ in self.heard if name == topic]

    def messages(self, topic: str) -> list[Any]:
        """The same as messages."""
        return [deserialize_message(raw, self.classes[topic]) for raw in self.of(topic)]


@contextmanager
def playing(network: dict[str, str], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`bag_player ARGUMENTS` as a process; killed with the block if it has not ended."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen([sys.executable, "-m", "crossi2p_ros.bag_player", *map(str, arguments)], text=True,
                               env=os.environ | {"PYTHONPATH": paths} | network, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def words_of(process: subprocess.Popen[str], seconds: float = 20.0) -> str:
    """What the player said, once it has ended, which has to be well."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def nanoseconds(stamp: Any) -> int:
    """Of a builtin_interfaces/Time."""
    return stamp.sec * 10**9 + stamp.nanosec
