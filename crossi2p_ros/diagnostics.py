"""The node's report on /diagnostics, once per second by a steady clock, stamped with the node's own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from .interface import DIAGNOSTICS
from .report import Report, Snapshot, report

PERIOD_S = 1.0


class Diagnostics:
    """Publishes what `report` says of a snapshot; logs it when it says something else, other numbers apart."""

    def __init__(self, node: Node, snapshot: Callable[[], Snapshot], settings: Callable) -> None:
        self._node, self._snapshot, self._settings = node, snapshot, settings
        self._publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS.name, 10)
        self._logged = (-1, "")
        # A clock of the node's would stand still with the bag, and so would its diagnostics.
        self._timer = node.create_timer(PERIOD_S, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _tell(self) -> None:
        """Never raises: it must go on telling."""
        try:
            said = report(self._snapshot(), self._settings())
        except Exception as error:
            said = Report(2, f"internal error: {type(error).__name__}: {error}", {})
        kind = said.level, re.sub(r"[\d.]+", "", said.message)
        if kind != self._logged:
            self._logged = kind
            # One call per severity: rclpy refuses another severity from the same line.
            if said.level > 1:
                self._node.get_logger().error(said.message)
            elif said.level:
                self._node.get_logger().warning(said.message)
            else:
                self._node.get_logger().info(said.message)
        name = self._node.get_fully_qualified_name().lstrip("/")  # the namespace tells several cameras apart
        message = DiagnosticArray(status=[DiagnosticStatus(
            level=bytes([said.level]), name=f"{name}: camera extrinsic", message=said.message,
            hardware_id=said.values.get("device", ""),
            values=[KeyValue(key=key, value=value) for key, value in said.values.items()])])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def memory_mb(device: torch.device) -> float:
    """Megabytes in use: of the GPU by this process, or resident where it computes on the CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1e3
    except (OSError, ValueError):
        pass  # not every system tells
    return float("nan")


def steady_now() -> float:
    """Seconds of the clock that all times of a Snapshot are in."""
    return time.monotonic()
