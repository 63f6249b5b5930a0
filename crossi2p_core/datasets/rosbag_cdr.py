"""The messages of any bag as ROS 2 sends them (CDR): those of ROS 2 bags as they are, those of ROS 1 rewritten."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from .rosbag_file import BagFile, typestore

HEADER = "std_msgs/msg/Header"  # ROS 1 has a counter more in it, which the rewriting leaves out
COMPOUND, MESSAGE = 3, 2  # kinds of fields in rosbags: arrays and sequences from 3 on, a message of its own


def why_not_cdr(bag: BagFile, topic: str) -> str:
    """Why the messages of a topic cannot be handed on to ROS 2, empty where they can.

    Of ROS 1 those types can whose definition is the standard one and the same, field by field, in ROS 2.
    """
    if not bag.is_ros1:
        return ""
    name, store = bag.types[topic], typestore(True)
    if name not in store.fielddefs or not _is_same(name):
        return f"ROS 2 has no type equal to {name} of ROS 1"
    standard = store.generate_msgdef(name)[1]
    if any(connection.digest != standard for connection in bag.connections(topic)):
        return f"{name} is recorded with another definition than the standard one"
    return ""


def cdr_messages(bag: BagFile, topics: Collection[str], start: int | None = None,
                 stop: int | None = None) -> Iterator[tuple[str, int, bytes]]:
    """(topic, time of recording ns, CDR) by time, from `start` to before `stop` (ns).

    Raises InputError where the bag or one of its messages is damaged.
    """
    for topic, logged, raw in bag.raw(topics, start, stop):
        yield topic, logged, bag.ros1_to_cdr(raw, bag.types[topic]) if bag.is_ros1 else raw


def _is_same(name: str) -> bool:
    """Whether a type has the same fields in the same order in ROS 1 and ROS 2, whatever their names."""
    one, two = typestore(True).fielddefs, typestore(False).fielddefs
    if name == HEADER:
        return True
    if name not in two or len(one[name][1]) != len(two[name][1]):
        return False
    pairs = zip(one[name][1], two[name][1], strict=True)
    return all(a == b and _is_same_inside(a) for (_, a), (_, b) in pairs)


def _is_same_inside(field: Any) -> bool:
    kind, content = field[1][0] if field[0] >= COMPOUND else field
    return kind != MESSAGE or _is_same(content)
