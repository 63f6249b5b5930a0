"""For tests that need ROS 2: which implementations of a borrowed package are here, and a DDS network of one's own."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: python -m crossi2p_ros.tf2_msgs_build")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

COMPAT = "crossi2p_ros.ros_compat"
_DOMAINS = 100  # of ROS 2's: higher ones meet the ports that Linux gives away
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_count = itertools.count()


def both(facade: str, *own: str) -> list[Any]:
    """Parameters for a contract test: the real package where crossi2p uses it, and always, as the last one, ours."""
    used = import_module(f"{COMPAT}.{facade}")
    modules = [import_module(f"{COMPAT}.own.{name}") for name in own]
    ours = SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})
    if used._real is None:
        return [pytest.param(ours, id="ours")]
    return [pytest.param(used, id="real"), pytest.param(ours, id="ours")]


def own_network() -> dict[str, str]:
    """Environment of processes that shall hear each other and nobody else, least of all another worker's tests."""
    turn = _WORKERS * next(_count) + _WORKER + os.getppid() // _WORKERS * _WORKERS
    domain = 1 + turn % (_DOMAINS // _WORKERS * _WORKERS)
    return {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def running_node(name: str, environment: dict[str, str],
                 *arguments: str) -> Iterator[tuple[Node, Callable[..., bool]]]:
    """A node in the network of `environment`, and what spins it until a condition holds (at most 15 s). arguments: as
    of its command line."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        context = rclpy.Context()
        context.init(domain_id=int(environment["ROS_DOMAIN_ID"]))
    node = rclpy.create_node(name, context=context, cli_args=list(arguments))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin_until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        return condition()

    try:
        yield node, spin_until
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
