"""One bag, ROS 1 or 2: its topics, the stamps of its messages, and any one message.

The readers of `rosbags` give the bytes; messages are decoded with the standard definitions of the types that we need,
so that a custom type on some other topic, or a bag without definitions (ROS 2 before Iron), is no obstacle.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

INSTALL = "pip install rosbags"
ALIASES = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}  # the type that ROS 1 had before tf2, of equal content
MAX_FRAME_NAME = 1024  # bytes; a longer one is a damaged message


@dataclass
class Stream:
    """The messages of one topic by time. Arrays (N,) int64, nanoseconds, once `freeze` was called.

    stamps: header stamps, or the time of recording where the header has none. logged: time of recording, which finds
    the message again. frame: frame_id of the first message.
    """

    stamps: Any = field(default_factory=list)
    logged: Any = field(default_factory=list)
    frame: str = ""

    def freeze(self) -> Stream:
        """Turn the collected lists into arrays."""
        return Stream(np.array(self.stamps, dtype=np.int64), np.array(self.logged, dtype=np.int64), self.frame)


class BagFile:
    """A bag on disk; opened when first needed, once per process, so it may be pickled and forked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_ros1 = path.suffix == ".bag" and path.is_file()
        self._reader: Any = None
        self._process = 0
        self._lock = threading.RLock()
        with self._reading() as reader:
            self.types: dict[str, str] = {c.topic: ALIASES.get(c.msgtype, c.msgtype) for c in reader.connections}
            self.counts: dict[str, int] = defaultdict(int)
            for connection in reader.connections:
                self.counts[connection.topic] += connection.msgcount

    def topics(self, *types: str) -> list[str]:
        """Topics of the given types (such as `sensor_msgs/msg/Image`) that have messages, sorted."""
        return sorted(topic for topic, name in self.types.items() if name in types and self.counts[topic])

    def span(self) -> tuple[int, int]:
        """Times of recording (ns) of the first and the last message of the bag."""
        with self._reading() as reader:
            return int(reader.start_time), int(reader.end_time) - 1

    def connections(self, topic: str) -> list[Any]:
        """The recorded publishers of a topic as `rosbags` tells them: `digest` of the type, `ext` with their QoS."""
        with self._reading() as reader:
            return [connection for connection in reader.connections if connection.topic == topic]

    def raw(self, topics: Collection[str], start: int | None = None,
            stop: int | None = None) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of recording ns, bytes as they lie in the bag) by time, from `start` to before `stop` (ns)."""
        with self._reading() as reader:
            for topic, logged, raw in self._messages(reader, topics, start, stop):
                yield topic, int(logged), bytes(raw)

    def ros1_to_cdr(self, raw: bytes, name: str) -> bytes:
        """A message of ROS 1 as ROS 2 would send it; only for types that are the same in both."""
        with self._reading():
            return bytes(typestore(False).ros1_to_cdr(raw, name))  # of ROS 2, which leaves the header's counter out

    def first_frame(self, topic: str) -> str:
        """frame_id of the first message of a topic whose messages start with a std_msgs/Header; empty without one."""
        with self._reading() as reader:
            first = next(self._messages(reader, [topic]), None)
            return "" if first is None else self._header(first[2])[1]

    def streams(self, topics: Collection[str]) -> dict[str, Stream]:
        """Stamps of all messages of the given topics, which start with a std_msgs/Header.

        One pass over the bag: only the first bytes of each message are decoded.
        """
        found: dict[str, Stream] = {topic: Stream() for topic in topics}
        with self._reading() as reader:
            for topic, logged, raw in self._messages(reader, topics):
                stamp, frame = self._header(raw)
                stream = found[topic]
                stream.stamps.append(stamp or logged)
                stream.logged.append(logged)
                stream.frame = stream.frame or frame
        return {topic: stream.freeze() for topic, stream in found.items()}

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """(topic, time of recording ns, message) of all messages of some topics of small messages, by time."""
        with self._reading() as reader:
            for topic, logged, raw in self._messages(reader, topics):
                yield topic, logged, self._decode(raw, self.types[topic])

    def read(self, topic: str, stamp: int, logged: int) -> Any:
        """The one message of `topic` with this header stamp and time of recording, as `streams` told them."""
        with self._reading() as reader:
            for _, at, raw in self._messages(reader, [topic], start=logged, stop=logged + 1):
                if (self._header(raw)[0] or at) == stamp:
                    return self._decode(raw, self.types[topic])
        raise InputError(f"{self.path}: the message on {topic} at {stamp} ns is gone; did the bag change meanwhile?")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_reader", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _reader=None, _lock=threading.RLock())

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """The open reader, for one thread at a time; whatever goes wrong in it becomes an InputError."""
        with self._lock:
            try:
                if self._reader is None or self._process != os.getpid():
                    self._reader = self._opened()
                    self._process = os.getpid()
                yield self._reader
            except InputError:
                raise
            except ImportError as error:
                raise InputError(f"reading {self.path} needs the package rosbags: {INSTALL}") from error
            # On damaged bytes the parsers of rosbags raise errors of every kind, from struct.error to AssertionError.
            except Exception as error:
                raise InputError(f"the bag {self.path} cannot be read ({_in_words(error)}); it may be truncated, "
                                 "damaged or not closed: copy it again, or repair it (ros2 bag reindex, mcap recover, "
                                 "rosbag reindex)") from error

    def _opened(self) -> Any:
        if self.is_ros1:
            from rosbags.rosbag1 import Reader as Reader1

            reader: Any = Reader1(self.path)
        else:
            from rosbags.rosbag2 import Reader as Reader2

            reader = Reader2(self.path)
        reader.open()
        return reader

    def _messages(self, reader: Any, topics: Collection[str], start: int | None = None,
                  stop: int | None = None) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time of recording ns, bytes); without a connection rosbags would give all messages."""
        connections = [c for c in reader.connections if c.topic in topics]
        if connections:
            for connection, logged, raw in reader.messages(connections=connections, start=start, stop=stop):
                yield connection.topic, logged, raw

    def _decode(self, raw: bytes, name: str) -> Any:
        store = typestore(self.is_ros1)
        return store.deserialize_ros1(raw, name) if self.is_ros1 else store.deserialize_cdr(raw, name)

    def _header(self, raw: bytes) -> tuple[int, str]:
        """(stamp ns, frame_id) from the first bytes of a message.

        ROS 1: uint32 seq, secs, nsecs, length. CDR: 4 bytes of which the second's lowest bit says little endian, then
        int32 sec, uint32 nanosec, length with the closing zero.
        """
        order = "<" if self.is_ros1 or raw[1] & 1 else ">"
        seconds, nanoseconds, length = struct.unpack_from(order + ("III" if self.is_ros1 else "iII"), raw, 4)
        if length > MAX_FRAME_NAME:
            raise ValueError(f"a frame name of {length} bytes")
        return seconds * 1_000_000_000 + nanoseconds, bytes(raw[16:16 + length]).rstrip(b"\0").decode()


@lru_cache
def typestore(is_ros1: bool) -> Any:
    """The standard message definitions of ROS 1 or 2; building them takes 0.1 s."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    if not is_ros1:
        return get_typestore(Stores.ROS2_HUMBLE)
    store = get_typestore(Stores.ROS1_NOETIC)  # has geometry_msgs, but not this one
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
    return store


def _in_words(error: Exception) -> str:
    """The error's own words on one line, or its kind where it has none."""
    words = " ".join(str(error).split())
    return words[:200] or type(error).__name__
