"""ROS 2 messages of the classes of `rosbags`, which serialises them into bags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .messages.factory import MessageFactory

QUEUE = 10


class BagMessages(MessageFactory):
    """Builds and serialises messages with the definitions of ROS 2 Humble, which later ones share."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.typestore = get_typestore(Stores.ROS2_HUMBLE)

    def new(self, name: str, /, **fields: Any) -> Any:
        """The dataclass that rosbags has for the type `name`."""
        return self.typestore.types[name](**fields)

    def octets(self, values: np.ndarray) -> np.ndarray:
        """(N,) uint8, a view."""
        return values.reshape(-1).view(np.uint8)

    def doubles(self, values: np.ndarray) -> np.ndarray:
        """(N,) float64, a copy."""
        return np.array(values, dtype=np.float64)

    def transforms(self, transforms: Sequence[Any]) -> Any:
        """TFMessage of several TransformStamped."""
        return self.new("tf2_msgs/msg/TFMessage", transforms=list(transforms))

    def serialize(self, message: Any, name: str) -> Any:
        """CDR bytes of a message of type `name`."""
        return self.typestore.serialize_cdr(message, name)

    @staticmethod
    def qos(latched: bool) -> Any:
        """Reliable; `latched` (transient local) keeps messages for who subscribes late, as /tf_static must."""
        from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

        durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
        forever = QosTime(9223372036, 854775807)
        return Qos(QosHistory.KEEP_LAST, QUEUE, QosReliability.RELIABLE, durability, forever, forever,
                   QosLiveliness.AUTOMATIC, forever, False)
