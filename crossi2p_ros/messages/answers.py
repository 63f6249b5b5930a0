"""An extrinsic and how sure it is as messages, and back.

T_cam_lidar maps LiDAR points into the camera. A ROS transform with the LiDAR as parent and the camera as child is the
other direction, T_lidar_cam: where the camera is in the LiDAR frame. Both directions are turned here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crossi2p_core.datasets.messages.factory import MessageFactory
from crossi2p_core.datasets.messages.transforms import pose_from_message, transform_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.pose_covariance import covariance_of_inverse


def extrinsic_message(make: MessageFactory, T_cam_lidar: np.ndarray, stamp: int, lidar_frame: str,
                      camera_frame: str) -> Any:
    """TransformStamped of the camera below the LiDAR. stamp: nanoseconds."""
    return make.transform(se3.inverse(np.asarray(T_cam_lidar, dtype=np.float64)), stamp, lidar_frame, camera_frame)


def pose_message(make: MessageFactory, T_cam_lidar: np.ndarray, covariance: np.ndarray, stamp: int,
                 lidar_frame: str) -> Any:
    """PoseWithCovarianceStamped of the camera in the LiDAR frame.

    covariance: (6, 6) of exp(xi) T_cam_lidar, xi = (rotation rad, translation m) in the camera frame, as in
    `Registration`. One that is not finite becomes zeros, by which ROS says unknown.
    """
    T_cam_lidar = np.asarray(T_cam_lidar, dtype=np.float64)
    known = np.isfinite(covariance).all()
    of_pose = covariance_of_inverse(covariance, T_cam_lidar) if known else np.zeros((6, 6))
    return make.pose(se3.inverse(T_cam_lidar), of_pose, stamp, lidar_frame)


def extrinsic_from_transform(message: Any, lidar_frame: str, camera_frame: str, where: str) -> np.ndarray:
    """T_cam_lidar (4, 4) of a TransformStamped between the two frames, whichever is the parent.

    Raises InputError where it is between others or no rigid motion.
    """
    parent, child = (name.lstrip("/") for name in (message.header.frame_id, message.child_frame_id))
    T_parent_child = transform_from_message(message.transform, where)
    if (parent, child) == (camera_frame, lidar_frame):
        return T_parent_child
    if (parent, child) == (lidar_frame, camera_frame):
        return se3.inverse(T_parent_child)
    raise InputError(f"{where}: the transform is {parent} -> {child}, not between {lidar_frame} and {camera_frame}; "
                     "check the frame names")


def extrinsic_from_pose(message: Any, lidar_frame: str, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """T_cam_lidar (4, 4) and its covariance (6, 6), None where unknown, of what `pose_message` builds.

    Raises InputError where the pose is given in another frame, is no rigid motion, or has an impossible covariance.
    """
    frame = message.header.frame_id.lstrip("/")
    if frame != lidar_frame:
        raise InputError(f"{where}: the pose is given in {frame}, not in {lidar_frame}; check the frame names")
    T_lidar_cam, covariance = pose_from_message(message, where)
    of_extrinsic = None if covariance is None else covariance_of_inverse(covariance, T_lidar_cam)
    return se3.inverse(T_lidar_cam), of_extrinsic
