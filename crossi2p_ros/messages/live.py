"""Messages of rclpy, to be published."""

from __future__ import annotations

import array
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from crossi2p_core.datasets.messages.factory import MessageFactory
from crossi2p_core.errors import InputError


class LiveMessages(MessageFactory):
    """Builds messages of the installed ROS packages, in milliseconds for megabytes.

    Raises InputError where the package of a message is not installed.
    """

    def new(self, name: str, /, **fields: Any) -> Any:
        """The message of type `name`; `data` is appended as bytes, since every other way copies it item by item."""
        data = fields.pop("data", None)
        message = message_class(name)(**fields)
        if data is not None:
            message.data.frombytes(data)
        return message

    def octets(self, values: np.ndarray) -> memoryview:
        """The array's own bytes; `new` copies them once."""
        return values.reshape(-1).view(np.uint8).data

    def doubles(self, values: np.ndarray) -> array.array:
        """What rclpy holds float64[] in."""
        return array.array("d", np.asarray(values, dtype=np.float64).tobytes())


@lru_cache
def message_class(name: str) -> Any:
    """The class of `sensor_msgs/msg/Image` and the like; InputError where it is not installed."""
    package = name.partition("/")[0]
    try:
        _, kind, message = name.split("/")
        return getattr(import_module(f"{package}.{kind}"), message)
    except ImportError as error:
        raise InputError(f"the ROS package {package} is not installed; source a ROS 2 distribution, or "
                         "pip install '.[ros]'") from error
    except (AttributeError, ValueError) as error:
        raise InputError(f"the ROS package {package} has no message {name}") from error
