"""The little that is changed in recorded messages. Whatever needs no change is handed on byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

from .decalibration import Decalibration

STAMP_OFFSET = 4  # of a message that starts with a header: behind the four bytes that tell how CDR is written


class Edits:
    """Makes the bytes to be sent out of the recorded ones."""

    def __init__(self, classes: Mapping[str, Any], decalibration: Decalibration | None = None) -> None:
        """classes: message class by topic."""
        self._transforms = {topic for topic, kind in classes.items() if kind is TFMessage}
        self._stamped = {topic for topic, kind in classes.items() if _starts_with_header(kind)}
        self._decalibration = decalibration

    def __call__(self, topic: str, raw: bytes, shift: int) -> bytes:
        """CDR of a message whose stamps lie `shift` ns later than recorded.

        Shifted are the header that a message starts with and the stamps of transforms, no others; zero stays zero.
        """
        if topic in self._transforms and (shift or self._decalibration is not None):
            return self._edit_transforms(raw, shift)
        if shift and topic in self._stamped:
            return _shift_header(raw, shift)
        return raw

    def _edit_transforms(self, raw: bytes, shift: int) -> bytes:
        message = deserialize_message(raw, TFMessage)
        changed = False
        for transform in message.transforms:
            if self._decalibration is not None:
                changed |= self._decalibration.apply(transform)
            stamp = Time.from_msg(transform.header.stamp).nanoseconds
            if shift and stamp:
                transform.header.stamp = Time(nanoseconds=stamp + shift).to_msg()
                changed = True
        return serialize_message(message) if changed else raw


def _starts_with_header(kind: Any) -> bool:
    """Whether a std_msgs/Header is the first field of a message class."""
    return next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header"


def _shift_header(raw: bytes, shift: int) -> bytes:
    """Move the stamp at the beginning of a message. CDR: the second byte's lowest bit says little endian."""
    layout = ("<" if raw[1] & 1 else ">") + "iI"
    seconds, rest = struct.unpack_from(layout, raw, STAMP_OFFSET)
    stamp = seconds * 10**9 + rest
    if not stamp:
        return raw
    changed = bytearray(raw)
    struct.pack_into(layout, changed, STAMP_OFFSET, *divmod(stamp + shift, 10**9))
    return bytes(changed)
