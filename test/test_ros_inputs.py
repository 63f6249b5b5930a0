"""Topics to pairs over DDS: what is brought together, what is refused, and what is said when nothing comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from ros_here import own_network, running_node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from crossi2p_core.types import Camera, PointCloud
from crossi2p_ros.calibrations import Calibrations
from crossi2p_ros.inputs import Inputs, Pair
from crossi2p_ros.ledger import Ledger
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.pair_registration import PairRegistration
from crossi2p_ros.parameters import settings_from
from crossi2p_ros.streams import Stream

MAKE = LiveMessages()
CAMERA = Camera(np.array([[50.0, 0, 8], [0, 50, 6], [0, 0, 1]]), 16, 12)
CLOUD = PointCloud.from_arrays(np.ones((3, 3)))
MS = 1_000_000


@dataclass
class Street:
    """Publishers on one side, inputs on the other."""

    robot: Node
    node: Node
    spin_until: Callable[..., bool]
    inputs: Inputs
    pairs: list[Pair]
    ledger: Ledger
    restarts: list[int]
    publishers: tuple[Any, Any, Any]

    def send(self, image: int, cloud: int, compressed: bool = False) -> None:
        """A calibration, an image and a cloud with these stamps, ns."""
        pixels = np.zeros((12, 16, 3), np.uint8)
        told = (MAKE.image(pixels, image, "camera", "png" if compressed else "raw"),
                MAKE.camera_info(CAMERA, image, "camera"), MAKE.cloud(CLOUD, cloud, "lidar"))
        for publisher, message in zip(self.publishers, told, strict=True):
            publisher.publish(message)

    def now(self) -> int:
        """ns of the node's clock."""
        return self.node.get_clock().now().nanoseconds

    def hears(self, image: int, cloud: int) -> int:
        """How many of each topic came, once these stamps were sent."""
        before = self.inputs.cloud.count, self.inputs.image.count
        self.send(image, cloud)
        self.spin_until(lambda: self.inputs.cloud.count > before[0] and self.inputs.image.count > before[1])
        return len(self.pairs)


@contextmanager
def street(compressed: bool = False, qos: int | QoSProfile = 5, **values: Any) -> Iterator[Street]:
    """Everything in one process, two nodes; values: parameters, `__` for a dot."""
    settings = settings_from({name.replace("__", "."): value for name, value in values.items()})
    network = own_network()
    with running_node("robot", network) as (robot, _), running_node("calibrator", network) as (node, spin_until):
        pairs: list[Pair] = []
        restarts: list[int] = []
        ledger = Ledger()
        inputs = Inputs(node, lambda: settings, pairs.append, ledger.count, lambda: restarts.append(1))
        kind = CompressedImage if compressed else Image
        publishers = (robot.create_publisher(kind, settings.image_topic, qos),
                      robot.create_publisher(CameraInfo, settings.info_topic, qos),
                      robot.create_publisher(PointCloud2, settings.cloud_topic, qos))
        made = Street(robot, node, spin_until, inputs, pairs, ledger, restarts, publishers)
        assert spin_until(lambda: all(node.count_publishers(stream.topic) for stream in
                                      (inputs.image, inputs.info, inputs.cloud)))
        yield made
        inputs.close()


def until_heard(made: Street, condition: Callable[[], bool], compressed: bool = False, apart: int = 0,
                shift: int = 0) -> bool:
    """Send pairs of this moment, shifted by ns, until the condition holds."""
    for _ in range(60):
        made.send(made.now() + shift, made.now() + shift + apart, compressed)
        if made.spin_until(condition, 0.1):
            return True
    return False


@pytest.mark.parametrize("compressed", [False, True])
def test_pairs_come_with_their_calibration(compressed: bool) -> None:
    topic = "/front/image_raw/compressed" if compressed else "/front/image_raw"
    with street(compressed, image_topic=topic) as made:
        assert until_heard(made, lambda: bool(made.pairs), compressed, apart=5 * MS)
        pair = made.pairs[-1]
        assert pair.frames == ("lidar", "camera") and pair.info.width == 16
        assert pair.apart == pytest.approx(-0.005, abs=0.002) and not made.inputs.why_no_pairs()


def test_what_is_remapped_is_what_is_subscribed_to_named_and_taken_for_rectified() -> None:
    network, pairs = own_network(), []
    remapped = ("--ros-args", "-r", "/camera/image_raw:=/front/image_rect", "-r", "points:=/velodyne",
                "-r", "/velodyne:=/other")  # of another node's: what has been remapped is not remapped again
    with running_node("robot", network) as (robot, _), running_node("node", network, *remapped) as (node, spin_until):
        settings = settings_from({"cloud_topic": "points"})
        inputs = Inputs(node, lambda: settings, pairs.append, Ledger().count, lambda: None)
        publishers = (robot.create_publisher(Image, "/front/image_rect", 5),
                      robot.create_publisher(CameraInfo, "/camera/camera_info", 5),
                      robot.create_publisher(PointCloud2, "/velodyne", 5))
        made = Street(robot, node, spin_until, inputs, pairs, Ledger(), [], publishers)
        assert until_heard(made, lambda: bool(pairs)), inputs.why_no_pairs()
        inputs.close()
    assert pairs[-1].topics == ("/front/image_rect", "/camera/camera_info", "/velodyne")
    pairs[-1].info.p[0] = 77.0
    registration = PairRegistration(None, lambda: settings, None, None)  # type: ignore[arg-type]
    assert registration.sample_of(pairs[-1]).camera.K[0, 0] == 77.0


def test_an_offset_brings_late_images_together_with_their_clouds() -> None:
    with street(sync__time_offset=0.2) as made:
        assert until_heard(made, lambda: bool(made.pairs), apart=200 * MS)
        assert made.pairs[-1].apart == pytest.approx(0.0, abs=0.002) and not made.inputs.why_no_pairs()
    with street() as made:
        assert until_heard(made, lambda: "ms apart" in made.inputs.why_no_pairs(), apart=200_000 * MS)
        assert not made.pairs


def test_stamps_from_elsewhere_are_refused_until_good_ones_come() -> None:
    with street() as made:
        assert until_heard(made, lambda: bool(made.pairs))
        for shift, words in ((-3600, "older"), (3600, "newer")):
            assert until_heard(made, lambda w=words: w in made.inputs.why_no_pairs(), shift=shift * 10**9)
        made.pairs.clear()
        assert until_heard(made, lambda: bool(made.pairs)) and not made.inputs.why_no_pairs()
        assert sum(count for _, count in made.ledger.refused()) >= 2


def test_stamps_that_become_empty_are_told() -> None:
    with street() as made:
        assert until_heard(made, lambda: bool(made.pairs)) and not made.inputs.why_no_pairs()
        made.hears(0, 0)
        assert "/camera/image_raw: the stamps are empty, 1 so far" in made.inputs.why_no_pairs()
        assert until_heard(made, lambda: len(made.pairs) > 1) and not made.inputs.why_no_pairs()


def test_a_calibration_is_heard_whether_it_was_latched_long_ago_or_comes_again_and_again() -> None:
    network = own_network()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with running_node("robot", network) as (robot, _), running_node("calibrator", network) as (node, spin_until):
        once = robot.create_publisher(CameraInfo, "/info", latched)
        once.publish(MAKE.camera_info(CAMERA, 5, "once"))
        stream = Stream("camera info", "/info")
        heard = Calibrations(node, stream, QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT), None)
        assert spin_until(lambda: heard.newest is not None) and heard.newest.header.frame_id == "once"
        once.publish(MAKE.camera_info(CAMERA, 6, "again"))
        assert spin_until(lambda: heard.newest.header.frame_id == "again")
        spin_until(lambda: False, 0.3)
        assert stream.count == 2  # though the second came on two ways
        often = robot.create_publisher(CameraInfo, "/info", 5)
        assert spin_until(lambda: node.count_publishers("/info") == 2)
        for frame in ("often", "oftener"):
            assert spin_until(lambda f=frame: (often.publish(MAKE.camera_info(CAMERA, 7, f)), spin_until(
                lambda: heard.newest.header.frame_id == f, 0.2))[1])
        heard.close()


def test_a_bag_that_starts_anew_is_noticed_by_its_stamps() -> None:
    with street(sync__max_age=0.0) as made:
        assert until_heard(made, lambda: bool(made.pairs))
        made.hears(5 * 10**9, 5 * 10**9)
        assert made.restarts and made.inputs.clock_jumps == 1  # though image and cloud noticed it
        made.pairs.clear()
        assert made.hears(6 * 10**9, 6 * 10**9) == 1 and made.inputs.clock_jumps == 1


def test_a_clock_that_jumps_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossi2p_ros.inputs.ONE_JUMP_S", 30.0)  # however slow this machine is
    with street() as made:
        made.node.set_parameters([Parameter("use_sim_time", value=True)])
        clock = made.robot.create_publisher(Clock, "/clock", 10)

        def shows(seconds: int) -> bool:
            clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
            return made.spin_until(lambda: made.now() == seconds * 10**9, 0.2)

        assert until_heard(made, lambda: "nothing arrives on /clock" in made.inputs.why_no_pairs(), shift=100 * 10**9)
        assert made.spin_until(lambda: shows(100)) and not made.restarts
        assert made.hears(100 * 10**9, 100 * 10**9) == 1
        refused = sum(count for _, count in made.ledger.refused())
        assert made.spin_until(lambda: shows(20)) and made.restarts
        assert made.hears(101 * 10**9, 101 * 10**9) == 1  # was on its way when the clock jumped
        assert sum(count for _, count in made.ledger.refused()) == refused


def test_a_topic_of_another_type_is_told() -> None:
    with street(compressed=True, image_topic="/front/image_raw") as made:
        assert made.spin_until(lambda: "/front/image_raw is published as sensor_msgs/msg/CompressedImage, not as "
                               "sensor_msgs/msg/Image;" in made.inputs.why_no_pairs()), made.inputs.why_no_pairs()


def test_quality_of_service_that_does_not_fit_is_told() -> None:
    offered = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    with street(qos=offered, qos__reliability="reliable") as made:
        streams = made.inputs.image, made.inputs.cloud, made.inputs.info
        assert made.spin_until(lambda: all("incompatible" in stream.qos_problem for stream in streams))
        assert "incompatible quality of service" in made.inputs.why_no_pairs()
