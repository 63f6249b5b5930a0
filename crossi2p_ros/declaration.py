"""The table of parameters on a node: declared with descriptors, and read back."""

from __future__ import annotations

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from .parameters import PARAMETERS, Parameter, Settings, settings_from


def declare(node: Node) -> None:
    """Declare all parameters on a node, with descriptors. Raises what rclpy raises for a wrong type or range."""
    for row in PARAMETERS:
        node.declare_parameter(row.name, list(row.default) if row.kind == "float[]" else row.default, _told(row))


def read(node: Node) -> Settings:
    """The node's values. Raises InputError, with the reason, where they cannot be had."""
    return settings_from({row.name: node.get_parameter(row.name).value for row in PARAMETERS})


def _told(row: Parameter) -> ParameterDescriptor:
    """What `ros2 param describe` says. Of some kinds ROS checks no type, for it would refuse 0 where 0.0 is meant, and
    yes where "yes" is; `settings_from` checks them."""
    told = ParameterDescriptor(description=row.description, read_only=not row.live,
                               additional_constraints=f"one of {', '.join(row.choices)}" if row.choices else "",
                               dynamic_typing=row.kind in ("float", "float[]") or "yes" in row.choices)
    if row.kind == "int":
        told.integer_range = [IntegerRange(from_value=int(row.low or 0), to_value=int(row.high or 0))]
    elif row.kind == "float" and row.low is not None and row.high is not None:
        told.floating_point_range = [FloatingPointRange(from_value=float(row.low), to_value=float(row.high))]
    return told
