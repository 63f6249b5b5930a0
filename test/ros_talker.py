"""A process of its own for test_ros_dds.py: publishes images, clouds and transforms until its input is closed.

Its arguments are the two topics. Frame k has stamp 100 + k s (image) and 10 ms later (cloud); the image is full of k,
the cloud has k + 1 points. /tf: odom -> base moves 1 m per second. /tf_static: base -> lidar is told twice, 5 m, 2 m.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from crossi2p_ros.ros_compat.cv_bridge import CvBridge
from crossi2p_ros.ros_compat.point_cloud2 import create_cloud_xyz32
from crossi2p_ros.ros_compat.tf2 import StaticTransformBroadcaster, TransformBroadcaster
from crossi2p_ros.shared_files import use_large_message_profile

SHAPE = (375, 1242, 3)  # a KITTI image: 1.4 MB, more than Fast DDS' own shared memory holds
FRAMES = 5
CLOUD_DELAY_NS = 10_000_000


def stamp_ns(frame: int) -> int:
    """Stamp of the image of a frame."""
    return (100 + frame) * 10**9


def cloud_of(frame: int) -> np.ndarray:
    """(frame + 1, 3) points."""
    return np.arange(3 * (frame + 1), dtype=np.float32).reshape(-1, 3)


def transform(parent: str, child: str, x: float, stamp: int) -> TransformStamped:
    """The child `x` metres ahead of the parent."""
    message = TransformStamped(child_frame_id=child)
    message.header = Header(frame_id=parent, stamp=Time(nanoseconds=stamp).to_msg())
    message.transform.translation.x = float(x)
    return message


def main() -> None:
    """Publish five times per second, over and over, because nobody hears what was sent before they were found."""
    use_large_message_profile()
    rclpy.init()
    node = rclpy.create_node("talker")
    images, clouds = node.create_publisher(Image, sys.argv[1], 5), node.create_publisher(PointCloud2, sys.argv[2], 5)
    moving, static = TransformBroadcaster(node), StaticTransformBroadcaster(node)
    static.sendTransform([transform("base", "lidar", 5, 0), transform("base", "camera", 1, 0)])
    static.sendTransform(transform("base", "lidar", 2, 0))
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    while not ended.is_set():
        for frame in range(FRAMES):
            at = stamp_ns(frame)
            header = Header(frame_id="camera", stamp=Time(nanoseconds=at).to_msg())
            images.publish(CvBridge().cv2_to_imgmsg(np.full(SHAPE, frame, dtype=np.uint8), "rgb8", header))
            late = Header(frame_id="lidar", stamp=Time(nanoseconds=at + CLOUD_DELAY_NS).to_msg())
            clouds.publish(create_cloud_xyz32(late, cloud_of(frame)))
            moving.sendTransform(transform("odom", "base", frame, at))
            if ended.wait(0.1):
                break
    rclpy.shutdown()


if __name__ == "__main__":
    main()
