"""Topics and frames of a bag that we write."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError

IMAGE_TYPE, COMPRESSED_TYPE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
INFO_TYPE, CLOUD_TYPE, TF_TYPE = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
TF, TF_STATIC = "/tf", "/tf_static"

_TOPIC = re.compile(r"(/[A-Za-z][A-Za-z0-9_]*|/_[A-Za-z0-9][A-Za-z0-9_]*)+")
_FRAME = re.compile(r"[^\s/][^\s]*")


@dataclass(frozen=True)
class BagLayout:
    """What is called how. The defaults are the names that the launch files and the reader expect.

    camera_frame is the optical frame; world_frame is the one that the LiDAR's poses are given in.
    Raises InputError for a name that ROS does not allow, and for two things of one name.
    """

    image_topic: str = "/camera/image_raw"
    cloud_topic: str = "/lidar/points"
    camera_frame: str = "camera_optical"
    lidar_frame: str = "lidar"
    world_frame: str = "odom"

    def __post_init__(self) -> None:
        topics = {name: getattr(self, name) for name in ("image_topic", "cloud_topic")}
        frames = {name: getattr(self, name) for name in ("camera_frame", "lidar_frame", "world_frame")}
        for option, name in topics.items():
            if not _TOPIC.fullmatch(name):
                raise InputError(f"{option}={name!r} is no topic; write letters, digits and underscores between "
                                 "slashes, such as /front/image_raw")
        for option, name in frames.items():
            if not _FRAME.fullmatch(name):
                raise InputError(f"{option}={name!r} is no frame; write a name without spaces and leading slash")
        _check_distinct({**topics, "camera_info beside image_topic": self.info_topic, "tf": TF, "tf_static": TF_STATIC})
        _check_distinct(frames)

    @property
    def info_topic(self) -> str:
        """The CameraInfo beside the image, where image_transport looks for it."""
        return f"{self.image_topic.rpartition('/')[0]}/camera_info"

    def types(self, compressed: bool) -> dict[str, str]:
        """Message type by topic, the image's first; image_transport appends `/compressed` to a compressed image's."""
        image = {f"{self.image_topic}/compressed": COMPRESSED_TYPE} if compressed else {self.image_topic: IMAGE_TYPE}
        return image | {self.info_topic: INFO_TYPE, self.cloud_topic: CLOUD_TYPE, TF: TF_TYPE, TF_STATIC: TF_TYPE}


def _check_distinct(names: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for option, name in names.items():
        if name in owners:
            raise InputError(f"{owners[name]} and {option} are both {name!r}; give each a name of its own")
        owners[name] = option
