"""Two processes over the real DDS: what test/ros_talker.py tells is heard through the borrowed packages."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
import ros_talker
from rclpy import get_rmw_implementation_identifier
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.time import Time
from ros_here import own_network, running_node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage

from crossi2p_ros.ros_compat.cv_bridge import CvBridge
from crossi2p_ros.ros_compat.message_filters import ApproximateTimeSynchronizer, Subscriber
from crossi2p_ros.ros_compat.point_cloud2 import read_points
from crossi2p_ros.ros_compat.tf2 import Buffer, StaticTransformBroadcaster, TransformListener
from crossi2p_ros.shared_files import FAST_DDS_PROFILE, PROFILE_VARIABLE, shared_file, use_large_message_profile

ROOT = Path(__file__).resolve().parent.parent
IMAGES, CLOUDS = "/test/image", "/test/points"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@contextmanager
def talking(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The talker, once it publishes; it ends with the block."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen([sys.executable, str(ROOT / "test" / "ros_talker.py"), IMAGES, CLOUDS], text=True,
                               env=os.environ | {"PYTHONPATH": paths} | environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.communicate(timeout=20)
        assert process.returncode == 0


@pytest.fixture(scope="module")
def heard() -> tuple[dict[int, tuple[Image, PointCloud2]], Buffer]:
    """Pairs of image and cloud by the image's stamp, and the transforms, after all frames were told."""
    network = own_network()
    pairs: dict[int, tuple[Any, Any]] = {}
    with talking(network), running_node("listener", network) as (node, spin_until):
        sources = [Subscriber(node, Image, IMAGES, qos_profile=qos_profile_sensor_data),
                   Subscriber(node, PointCloud2, CLOUDS, qos_profile=qos_profile_sensor_data)]
        synchroniser = ApproximateTimeSynchronizer(sources, 10, 0.05, allow_headerless=False)
        synchroniser.registerCallback(lambda image, cloud: pairs.update({nanoseconds(image): (image, cloud)}))
        buffer = Buffer(node=node)
        listener = TransformListener(buffer, node)
        complete = spin_until(lambda: len(pairs) == ros_talker.FRAMES and buffer.can_transform(
            "odom", "lidar", Time(nanoseconds=ros_talker.stamp_ns(ros_talker.FRAMES - 1))), 30)
        listener.unregister()
        assert complete, f"heard {len(pairs)} pairs; {buffer.all_frames_as_yaml()}"
    return pairs, buffer


def nanoseconds(message: Any) -> int:
    """Stamp of a message."""
    return Time.from_msg(message.header.stamp).nanoseconds


def test_image_and_cloud_arrive_together_and_whole(heard: tuple) -> None:
    pairs, _ = heard
    assert sorted(pairs) == [ros_talker.stamp_ns(frame) for frame in range(ros_talker.FRAMES)]
    for frame, (image, cloud) in enumerate(pairs[at] for at in sorted(pairs)):
        assert nanoseconds(cloud) - nanoseconds(image) == ros_talker.CLOUD_DELAY_NS
        assert (image.header.frame_id, cloud.header.frame_id) == ("camera", "lidar")
        pixels = CvBridge().imgmsg_to_cv2(image, "bgr8")
        assert pixels.shape == ros_talker.SHAPE and np.all(pixels == frame)
        points = read_points(cloud)
        assert np.array_equal(np.stack([points[axis] for axis in "xyz"], axis=1), ros_talker.cloud_of(frame))


def test_transforms_arrive_and_are_interpolated(heard: tuple) -> None:
    _, buffer = heard
    between = Time(nanoseconds=ros_talker.stamp_ns(1) + 250_000_000)
    assert buffer.lookup_transform("odom", "camera", between).transform.translation.x == pytest.approx(1.25 + 1)


def test_the_last_word_on_a_static_transform_counts_for_latecomers(heard: tuple) -> None:
    _, buffer = heard
    assert buffer.lookup_transform("base", "lidar", Time()).transform.translation.x == pytest.approx(2)
    assert buffer.lookup_transform("base", "camera", Time()).transform.translation.x == pytest.approx(1)


def test_a_static_transform_is_gone_with_its_broadcaster() -> None:
    network = own_network()
    with running_node("calibrator", network) as (node, _), running_node("latecomer", network) as (late, spin_until):
        first, second = StaticTransformBroadcaster(node), StaticTransformBroadcaster(node)
        first.sendTransform(ros_talker.transform("a", "gone", 1, 0))
        second.sendTransform(ros_talker.transform("a", "stays", 1, 0))
        first.destroy()
        buffer = Buffer()
        TransformListener(buffer, late)
        assert spin_until(lambda: buffer.can_transform("a", "stays", Time()))
        assert not spin_until(lambda: buffer.can_transform("a", "gone", Time()), 0.5)


def test_a_transform_that_changes_later_does_not_change_what_is_latched() -> None:
    network = own_network()
    with running_node("calibrator", network) as (node, _), running_node("listener", network) as (other, spin_until):
        heard: list[dict[str, float]] = []
        broadcaster = StaticTransformBroadcaster(node)
        other.create_subscription(TFMessage, "/tf_static", lambda message: heard.append(
            {each.child_frame_id: each.transform.translation.x for each in message.transforms}), LATCHED)
        message = ros_talker.transform("a", "b", 1, 0)
        broadcaster.sendTransform(message)
        message.transform.translation.x = 9.0
        broadcaster.sendTransform(ros_talker.transform("a", "c", 3, 0))
        assert spin_until(lambda: bool(heard) and "c" in heard[-1])
        assert heard[-1] == {"b": 1, "c": 3}


def test_a_clock_that_jumps_back_empties_the_buffer_of_what_moves() -> None:
    network = own_network()
    with running_node("player", network) as (player, _), running_node("listener", network) as (node, spin_until):
        node.set_parameters([Parameter("use_sim_time", value=True)])
        buffer, clock = Buffer(node=node), player.create_publisher(Clock, "/clock", 10)

        def clock_shows(seconds: int) -> bool:
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return spin_until(lambda: node.get_clock().now().nanoseconds == seconds * 10**9, 0.2)

        assert spin_until(lambda: clock_shows(100))
        buffer.set_transform(ros_talker.transform("odom", "base", 1, 100 * 10**9), "test")
        buffer.set_transform_static(ros_talker.transform("base", "lidar", 1, 0), "test")
        assert spin_until(lambda: clock_shows(101)) and buffer.can_transform("odom", "lidar", Time())
        assert spin_until(lambda: clock_shows(20))
        assert not buffer.can_transform("odom", "lidar", Time()) and buffer.can_transform("base", "lidar", Time())


@pytest.mark.skipif("fastrtps" not in get_rmw_implementation_identifier(), reason="tells of Fast DDS alone")
def test_the_profile_gives_a_publisher_room_for_large_messages() -> None:
    with talking(own_network()) as process:
        mapped = [line.split() for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines()]
    spans = [fields[0].split("-") for fields in mapped if fields[-1].startswith("/dev/shm/fast")]
    assert max([int(end, 16) - int(start, 16) for start, end in spans], default=0) >= 32 * 2**20


def test_the_profile_is_found_and_a_users_own_is_kept() -> None:
    profile = shared_file(FAST_DDS_PROFILE)
    space = "{http://www.eprosima.com}"
    sizes = [int(node.text or 0) for node in ElementTree.parse(profile).iter(f"{space}segment_size")]
    kinds = [node.text for node in ElementTree.parse(profile).iter(f"{space}type")]
    assert sizes == [32 * 2**20] and kinds == ["SHM", "UDPv4"]
    fresh: dict[str, str] = {}
    assert use_large_message_profile(fresh) == profile and fresh == {PROFILE_VARIABLE: str(profile)}
    assert use_large_message_profile({PROFILE_VARIABLE: "mine.xml"}) == Path("mine.xml")
