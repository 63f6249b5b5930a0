"""ROS 2 messages, as `rosbags` serialises them, of what flows through the house."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..geometry.quaternion import xyzw_from_rotation
from ..types import Camera, PointCloud

FLOAT32, UINT16 = 7, 4  # sensor_msgs/PointField.datatype
JPEG_QUALITY = 95
MODEL_NAMES = {"none": "plumb_bob"}  # CameraInfo has no word for "undistorted": plumb_bob with zeros says it
QUEUE = 10


class MessageFactory:
    """Builds and serialises messages with the definitions of ROS 2 Humble, which later ones share."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.typestore = get_typestore(Stores.ROS2_HUMBLE)

    def serialize(self, message: Any, name: str) -> Any:
        """CDR bytes of a message of type `name`."""
        return self.typestore.serialize_cdr(message, name)

    def image(self, image: np.ndarray, stamp: int, frame: str, image_format: str) -> Any:
        """image (H, W, 3) uint8 RGB as Image (`raw`) or CompressedImage (`png`, lossless, or `jpeg`)."""
        header = self._header(stamp, frame)
        if image_format == "raw":
            height, width = image.shape[:2]
            data = np.ascontiguousarray(image).reshape(-1)
            return self._new("sensor_msgs/msg/Image", header, height, width, "rgb8", 0, 3 * width, data)
        ending, options = (".png", []) if image_format == "png" else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        encoded = cv2.imencode(ending, np.ascontiguousarray(image[:, :, ::-1]), options)[1]
        return self._new("sensor_msgs/msg/CompressedImage", header, image_format, encoded.reshape(-1))

    def camera_info(self, camera: Camera, stamp: int, frame: str) -> Any:
        """CameraInfo of the raw image; P is what an undistorted image of the same K would have."""
        model = MODEL_NAMES.get(camera.model, camera.model)
        D = camera.distortion.copy() if len(camera.distortion) else np.zeros(5)
        P = np.hstack([camera.K, np.zeros((3, 1))])
        roi = self._new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        header, R = self._header(stamp, frame), np.eye(3)
        return self._new("sensor_msgs/msg/CameraInfo", header, camera.height, camera.width, model, D,
                         camera.K.flatten(), R.flatten(), P.flatten(), 0, 0, roi)

    def cloud(self, cloud: PointCloud, stamp: int, frame: str) -> Any:
        """PointCloud2 with x, y, z and, where known, intensity (0..1), ring and time (seconds after the stamp)."""
        columns: dict[str, tuple[np.ndarray, int, str]] = {
            axis: (cloud.xyz[:, k], FLOAT32, "<f4") for k, axis in enumerate("xyz")}
        if cloud.intensity is not None:
            columns["intensity"] = (cloud.intensity, FLOAT32, "<f4")
        if cloud.ring is not None:
            columns["ring"] = (cloud.ring, UINT16, "<u2")
        if cloud.time is not None:
            columns["time"] = (cloud.time, FLOAT32, "<f4")
        table = np.zeros(len(cloud), [(name, dtype) for name, (_, _, dtype) in columns.items()])
        fields, offset = [], 0
        for name, (values, datatype, dtype) in columns.items():
            table[name] = values
            fields.append(self._new("sensor_msgs/msg/PointField", name, offset, datatype, 1))
            offset += np.dtype(dtype).itemsize
        header, size = self._header(stamp, frame), offset * len(cloud)
        return self._new("sensor_msgs/msg/PointCloud2", header, 1, len(cloud), fields, False, offset, size,
                         table.view(np.uint8), True)

    def transform(self, T_parent_child: np.ndarray, stamp: int, parent: str, child: str) -> Any:
        """TFMessage with one transform."""
        t = self._new("geometry_msgs/msg/Vector3", *map(float, T_parent_child[:3, 3]))
        q = self._new("geometry_msgs/msg/Quaternion", *map(float, xyzw_from_rotation(T_parent_child[:3, :3])))
        body = self._new("geometry_msgs/msg/Transform", t, q)
        stamped = self._new("geometry_msgs/msg/TransformStamped", self._header(stamp, parent), child, body)
        return self._new("tf2_msgs/msg/TFMessage", [stamped])

    @staticmethod
    def qos(latched: bool) -> Any:
        """Reliable; `latched` (transient local) keeps messages for who subscribes late, as /tf_static must."""
        from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

        durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
        forever = QosTime(9223372036, 854775807)
        return Qos(QosHistory.KEEP_LAST, QUEUE, QosReliability.RELIABLE, durability, forever, forever,
                   QosLiveliness.AUTOMATIC, forever, False)

    def _header(self, stamp: int, frame: str) -> Any:
        time = self._new("builtin_interfaces/msg/Time", *divmod(stamp, 1_000_000_000))
        return self._new("std_msgs/msg/Header", time, frame)

    def _new(self, name: str, *fields: Any) -> Any:
        return self.typestore.types[name](*fields)
