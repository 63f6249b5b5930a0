"""Conversions to and from the real message classes of rclpy: exact, through CDR too, and fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import sample

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.datasets.messages.clouds import cloud_from_message
from crossi2p_core.datasets.messages.images import image_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Sample

pytest.importorskip("rclpy", reason="the real message classes need rclpy: pip install '.[ros]' or source ROS 2")

from rclpy.serialization import deserialize_message, serialize_message

from crossi2p_ros.messages.answers import (
    extrinsic_from_pose,
    extrinsic_from_transform,
    extrinsic_message,
    pose_message,
)
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.messages.sample import sample_from_messages

STAMP = 1_700_000_000_123_456_789
FORMATS = ("raw", "png")
T_CAM_LIDAR = se3.exp_se3(np.array([1.2, -1.2, 1.2, 0.1, -0.2, -0.3]))


@pytest.fixture(autouse=True)
def checked_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Humble and Jazzy check the type of every field that is set, newer ones only when asked to: ask them."""
    for package in ("builtin_interfaces", "std_msgs", "sensor_msgs", "geometry_msgs"):
        import_module(f"{package}.msg")
    for module in [m for m in sys.modules.values() if hasattr(m, "ros_python_check_fields")]:
        monkeypatch.setattr(module, "ros_python_check_fields", "1")


def sent(message: Any) -> Any:
    """The message after a journey as bytes."""
    return deserialize_message(serialize_message(message), type(message))


def as_messages(one: Sample, image_format: str = "raw") -> tuple[Any, Any, Any]:
    make = LiveMessages()
    return (make.image(one.image, STAMP, "camera", image_format), make.camera_info(one.camera, STAMP, "camera"),
            make.cloud(one.cloud, STAMP, "lidar"))


def assert_same(read: Sample, written: Sample) -> None:
    np.testing.assert_array_equal(read.image, written.image)
    for name in ("xyz", "intensity", "ring", "time"):
        np.testing.assert_array_equal(getattr(read.cloud, name), getattr(written.cloud, name))
    np.testing.assert_array_equal(read.camera.K, written.camera.K)
    np.testing.assert_array_equal(read.camera.distortion, written.camera.distortion)
    assert read.camera.model == written.camera.model


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_sample_sent_and_read_is_the_same(image_format: str) -> None:
    one = sample(0)
    image, info, cloud = (sent(message) for message in as_messages(one, image_format))
    read = sample_from_messages(image, info, cloud, T_cam_lidar=one.T_cam_lidar)
    assert_same(read, one)
    assert read.name == "1700000000.123456789" and read.rig == "camera" and read.T_cam_lidar is one.T_cam_lidar
    assert read.stamp_cloud == read.stamp_image == pytest.approx(STAMP * 1e-9, abs=1e-6)


def test_what_a_bag_holds_is_read_alike_by_rclpy(tmp_path: Path) -> None:
    from rosbags.rosbag2 import Reader
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    write_bag([sample(0)], tmp_path / "bag")
    with Reader(tmp_path / "bag") as reader:
        raw = {connection.topic: bytes(data) for connection, _, data in reader.messages()}
    read = sample_from_messages(deserialize_message(raw["/camera/image_raw"], Image),
                                deserialize_message(raw["/camera/camera_info"], CameraInfo),
                                deserialize_message(raw["/lidar/points"], PointCloud2))
    assert_same(read, open_source(tmp_path / "bag")[0])


@pytest.mark.parametrize("pixels", [np.zeros((1, 1, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)[::2, ::-1]])
def test_images_of_any_memory_layout_are_written(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(image_from_message(sent(LiveMessages().image(pixels, STAMP, "c")), ""), pixels)


def test_a_rectified_topic_means_P() -> None:
    image, info, cloud = as_messages(sample(0))
    info.p = np.array([40.0, 0, 18, 0, 0, 41, 13, 0, 0, 0, 1, 0])
    for options, focal in (({}, 50), ({"image_topic": "/cam/image_rect"}, 40), ({"rectified": True}, 40),
                           ({"image_topic": "/cam/image_rect", "rectified": False}, 50)):
        assert sample_from_messages(image, info, cloud, **options).camera.K[0, 0] == focal


@pytest.mark.parametrize(("damage", "words"), [
    (lambda image, info, cloud: setattr(image, "encoding", "bgr9"), "^/image: .*encoding 'bgr9'"),
    (lambda image, info, cloud: setattr(image, "step", 4), "^/image: .*too few"),
    (lambda image, info, cloud: setattr(image, "height", 20), "/info: the image is 40x20 .* 40x30"),
    (lambda image, info, cloud: setattr(info, "k", np.zeros(9)), "^/info: .*not calibrated"),
    (lambda image, info, cloud: setattr(info, "d", [0.1, 0.2, 0.3]), "^/info: .*coefficients"),
    (lambda image, info, cloud: setattr(info, "binning_x", 100), "^/info"),
    (lambda image, info, cloud: setattr(cloud, "row_step", 2**31), None),
    (lambda image, info, cloud: setattr(cloud, "point_step", 2**31), "/points: .*too few"),
    (lambda image, info, cloud: setattr(cloud, "width", 201), "/points: .*too few"),
    (lambda image, info, cloud: setattr(cloud, "width", 0), "/points is empty"),
    (lambda image, info, cloud: setattr(cloud, "fields", []), "no fields x, y, z"),
])
def test_hostile_messages_are_refused_in_words(damage: Callable[..., None], words: str | None) -> None:
    messages = as_messages(sample(0))
    damage(*messages)
    topics = {"image_topic": "/image", "info_topic": "/info", "cloud_topic": "/points"}
    if words is None:  # a row's length means nothing where there is one row
        assert_same(sample_from_messages(*messages, **topics), sample(0))
        return
    with pytest.raises(InputError, match=words):
        sample_from_messages(*messages, **topics)


def test_the_extrinsic_comes_back_from_either_direction() -> None:
    make = LiveMessages()
    message = sent(extrinsic_message(make, T_CAM_LIDAR, STAMP, "lidar", "camera"))
    assert (message.header.frame_id, message.child_frame_id) == ("lidar", "camera")
    t = message.transform.translation
    np.testing.assert_allclose([t.x, t.y, t.z], -T_CAM_LIDAR[:3, :3].T @ T_CAM_LIDAR[:3, 3])  # the camera's place
    turned = make.transform(T_CAM_LIDAR, STAMP, "camera", "lidar")
    for one in (message, turned):
        np.testing.assert_allclose(extrinsic_from_transform(one, "lidar", "camera", "/e"), T_CAM_LIDAR, atol=1e-12)
    with pytest.raises(InputError, match="lidar -> camera, not between lidar and left"):
        extrinsic_from_transform(message, "lidar", "left", "/e")


def test_pose_and_covariance_come_back() -> None:
    A = np.random.default_rng(0).normal(0, 0.01, (6, 6))
    message = sent(pose_message(LiveMessages(), T_CAM_LIDAR, A @ A.T, STAMP, "lidar"))
    T, covariance = extrinsic_from_pose(message, "lidar", "/pose")
    np.testing.assert_allclose(T, T_CAM_LIDAR, atol=1e-12)
    np.testing.assert_allclose(covariance, A @ A.T, atol=1e-12)
    with pytest.raises(InputError, match="in lidar, not in map"):
        extrinsic_from_pose(message, "map", "/pose")


def test_the_camera_is_as_unsure_of_its_place_in_the_lidar_frame_as_ros_says() -> None:
    """A camera 10 m ahead that may turn 0.01 rad about itself stays in its place; about the LiDAR it would not."""
    T = se3.make(np.eye(3), np.array([-10.0, 0, 0]))
    message = pose_message(LiveMessages(), T, np.diag([0, 0, 1e-4, 0, 0, 0]), STAMP, "lidar")
    np.testing.assert_allclose(np.diag(message.pose.covariance.reshape(6, 6)), [0, 0, 0, 0, 0, 1e-4], atol=1e-15)


def test_an_unknown_covariance_is_zeros_for_ros_and_none_for_us() -> None:
    message = pose_message(LiveMessages(), T_CAM_LIDAR, np.full((6, 6), np.nan), STAMP, "lidar")
    assert not message.pose.covariance.any()
    assert extrinsic_from_pose(message, "lidar", "/pose")[1] is None


def test_a_coloured_cloud_packs_red_green_blue_as_rviz_reads_them() -> None:
    xyz, rgb = np.arange(1, 7, dtype=np.float32).reshape(2, 3), np.array([[255, 0, 1], [2, 128, 3]], np.uint8)
    message = sent(LiveMessages().colored_cloud(xyz, rgb, STAMP, "lidar"))
    assert [(f.name, f.offset, f.datatype) for f in message.fields] == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7),
                                                                        ("rgb", 12, 7)]
    packed = np.frombuffer(message.data, "<u4").reshape(2, 4)[:, 3]
    assert packed.tolist() == [0xFF0001, 0x028003]
    np.testing.assert_array_equal(cloud_from_message(message, "").xyz, xyz)
    with pytest.raises(InputError, match="one shape"):
        LiveMessages().colored_cloud(xyz, rgb[:1], STAMP, "lidar")


def test_fields_of_a_wrong_type_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="float64"):
        LiveMessages().new("sensor_msgs/msg/CameraInfo", k=np.zeros(9, np.float32))


def test_a_message_that_is_not_installed_is_named() -> None:
    with pytest.raises(InputError, match="ROS package no_such_msgs is not installed"):
        LiveMessages().new("no_such_msgs/msg/Thing")


def test_full_size_messages_cost_no_more_than_numpy_does_for_the_same() -> None:
    """1.4 MB of image (bgr8, which must be turned round) and 1.9 MB of cloud, as KITTI at 10 Hz."""
    rng, make, count = np.random.default_rng(0), LiveMessages(), 120_000
    pixels = rng.integers(0, 255, (375, 1242, 3), np.uint8)
    points = PointCloud.from_arrays(rng.normal(0, 20, (count, 3)).astype(np.float32), rng.random(count))
    camera = Camera(np.array([[721.0, 0, 609], [0, 721, 172], [0, 0, 1]]), 1242, 375)
    image, info, cloud = (make.image(pixels, STAMP, "c"), make.camera_info(camera, STAMP, "c"),
                          make.cloud(points, STAMP, "l"))
    image.encoding = "bgr8"
    assert len(cloud.data) == 1_920_000
    plain = best_of(10, lambda: (pixels[..., ::-1].copy(), np.isfinite(points.xyz).all(1), points.xyz.copy()))
    assert best_of(10, lambda: sample_from_messages(image, info, cloud)) < 3 * plain
    assert best_of(10, lambda: (make.image(pixels, STAMP, "c"), make.cloud(points, STAMP, "l"))) < 3 * plain


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Shortest of some runs, seconds: other tests run beside."""
    def once() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return min(once() for _ in range(times))
