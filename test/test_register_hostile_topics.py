"""Hostile topics: what is compressed, latched, stops, jumps back in time or is huge, over real DDS, to a running node.

Hostile cameras stand in test_register_hostile.py, LiDARs and clocks in test_register_hostile_clouds.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import hostile_messages
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from hostile_messages import Case, put
from hostile_sessions import ERROR, registers, sending_without, session, suffer
from registering import CAMERA, LATCHED, Sensors
from sensor_msgs.msg import CameraInfo, CompressedImage

from crossi2p_core.types import PointCloud, Sample

COMPRESSED = "/camera/image_raw/compressed"
PIXELS, POINTS = (4000, 3000), 500_000


class FrugalSensors(Sensors):
    """Compressed pictures, and a calibration that was published once, latched, before anybody listened."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.node.destroy_publisher(self.infos)
        self.images = self.node.create_publisher(CompressedImage, COMPRESSED, 5)
        self.infos = self.node.create_publisher(CameraInfo, "/camera/camera_info", LATCHED)
        self.infos.publish(super().messages()[1])

    def messages(self) -> tuple[Any, Any, Any]:
        """The image as PNG."""
        _, info, cloud = super().messages()
        return self.make.image(self.sample.image, self.node.get_clock().now().nanoseconds, CAMERA, "png"), info, cloud

    def send(self, image: Any, info: Any, cloud: Any) -> None:
        """All but the calibration."""
        self.images.publish(image)
        self.clouds.publish(cloud)


def cut_png(image: Any, info: Any, cloud: Any) -> None:
    """The second half is missing."""
    put(image, bytes(image.data[:len(image.data) // 2]))


def jpeg(keep: float) -> Any:
    """The picture as JPEG, as much of it as that."""
    def damage(image: Any, info: Any, cloud: Any) -> None:
        pixels = cv2.imdecode(np.frombuffer(memoryview(image.data), np.uint8), cv2.IMREAD_COLOR)
        written = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        image.format = "jpeg"
        put(image, written[:int(keep * len(written))])

    return damage


COMPRESSED_IMAGES = (
    Case("half a PNG", cut_png, f"the image {COMPRESSED} is truncated or damaged"),
    Case("half a JPEG", jpeg(0.5), f"the image {COMPRESSED} is truncated or damaged"),
    Case("no picture", hostile_messages.image_with(data=b"no picture at all"), "is not an image that can be decoded"),
    Case("not one byte", hostile_messages.image_with(data=b""), "is not an image that can be decoded"),
    Case("depth", hostile_messages.image_with(format="32FC1; compressedDepth"), "is no camera image"),
    Case("a JPEG", jpeg(1.0)),
)


def test_compressed_images_with_a_calibration_that_was_latched_long_ago() -> None:
    with session(FrugalSensors, image_topic=COMPRESSED) as (robot, process):
        suffer(robot, process, COMPRESSED_IMAGES)


def test_topics_that_stop_are_named_and_welcome_again() -> None:
    with session() as (robot, process):
        assert registers(robot)
        for missing, words in (("image", "no image for"), ("cloud", "no cloud for")):
            assert sending_without(robot, missing, lambda w=words: robot.says(w) and robot.level() == ERROR), robot.said
            assert registers(robot), robot.said
        # A bag that starts anew, again and again
        before = int(robot.value("jumps back in time"))
        for _ in range(3):
            robot.sending_until(lambda: False, shift_back, 0.4)
            assert registers(robot), robot.said
        assert robot.spin_until(lambda: int(robot.value("jumps back in time")) >= before + 3), robot.said
        assert process.poll() is None


def shift_back(image: Any, info: Any, cloud: Any) -> None:
    """Stamps of five seconds ago: not too old, but older than those before."""
    for message in (image, cloud):
        message.header.stamp.sec -= 5


@pytest.mark.slow
def test_huge_messages_are_used_and_let_go_again() -> None:
    with session(tf__publish="uncertain") as (robot, process):  # 64 pixels made 3000 have no sharp edges
        assert registers(robot)
        small, robot.sample = robot.sample, enlarged(robot.sample)
        for _ in range(5):
            assert registers(robot, seconds=60.0), robot.said
        assert process.poll() is None
        robot.sample = small
        assert registers(robot, seconds=60.0), robot.said
        assert robot.sending_until(lambda: float(robot.value("memory [MB]")) < 1500), robot.said


def enlarged(sample: Sample) -> Sample:
    """The same frame as an image of 36 MB and a cloud of 12 MB."""
    rng = np.random.default_rng(0)
    cloud = sample.cloud.select(rng.integers(0, len(sample.cloud), POINTS))
    spread = cloud.xyz + rng.normal(0, 0.01, cloud.xyz.shape)
    return replace(sample, image=cv2.resize(sample.image, PIXELS, interpolation=cv2.INTER_CUBIC),
                   camera=sample.camera.resize(*PIXELS),
                   cloud=PointCloud.from_arrays(spread, cloud.intensity, cloud.ring, cloud.time))
