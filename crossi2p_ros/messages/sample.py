"""One image, its calibration and one scan, as they come from their topics, to a Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossi2p_core.datasets.messages.camera_info import camera_from_message, is_rectified_topic
from crossi2p_core.datasets.messages.clouds import cloud_from_message
from crossi2p_core.datasets.messages.images import image_from_message
from crossi2p_core.datasets.messages.stamps import stamp_ns
from crossi2p_core.types import Sample


def sample_from_messages(
    image: Any, info: Any, cloud: Any, *, image_topic: str = "image", info_topic: str = "camera_info",
    cloud_topic: str = "points", rectified: bool | None = None, T_cam_lidar: np.ndarray | None = None,
    T_world_lidar: np.ndarray | None = None,
) -> Sample:
    """A Sample of one Image or CompressedImage, its CameraInfo and one PointCloud2.

    rectified: the image is undistorted, so P of the CameraInfo counts; None: it is where the topic is called
    image_rect... The topics name the messages in errors. The name is the scan's stamp, the rig the image's frame.
    Pixels may be a view of the message's bytes. Raises InputError where one of the three cannot be used.
    """
    stamp = stamp_ns(cloud.header)
    pixels = image_from_message(image, image_topic)
    height, width = pixels.shape[:2]
    undistorted = is_rectified_topic(image_topic) if rectified is None else rectified
    return Sample(
        name=f"{stamp // 10**9}.{stamp % 10**9:09d}",
        image=pixels,
        camera=camera_from_message(info, width, height, undistorted, info_topic),
        cloud=cloud_from_message(cloud, cloud_topic),
        T_cam_lidar=T_cam_lidar,
        T_world_lidar=T_world_lidar,
        stamp_image=stamp_ns(image.header) * 1e-9,
        stamp_cloud=stamp * 1e-9,
        rig=image.header.frame_id,
    )
