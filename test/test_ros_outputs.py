"""What is told of an outcome over DDS: to whom, when, and in which frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_here import own_network, running_node
from sensor_msgs.msg import Image, PointCloud2
from test_ros_report import MOVED, outcome
from visualization_msgs.msg import MarkerArray

from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.types import Sample
from crossi2p_ros.markers import frustum_corners
from crossi2p_ros.messages.answers import extrinsic_from_pose, extrinsic_from_transform
from crossi2p_ros.outcome import Outcome
from crossi2p_ros.outputs import Outputs
from crossi2p_ros.parameters import Settings
from crossi2p_ros.ros_compat.point_cloud2 import read_points
from crossi2p_ros.ros_compat.tf2 import Buffer

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
KINDS = {"extrinsic": TransformStamped, "pose": PoseWithCovarianceStamped, "overlay": Image,
         "colored_points": PointCloud2, "matches": MarkerArray}


@pytest.fixture(scope="module")
def seen() -> Outcome:
    """A street registered without error."""
    sample: Sample = open_source("synthetic:street?seed=1&frames=1")[0]
    assert sample.T_cam_lidar is not None
    plain = outcome()
    return replace(plain, sample=sample, registration=replace(plain.registration, T_cam_lidar=sample.T_cam_lidar))


@dataclass
class Stage:
    """Outputs of one node, and a listener who hears what was latched."""

    outputs: Outputs
    listener: Node
    spin_until: Callable[..., bool]

    def __post_init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def listen(self, *topics: str) -> None:
        """Begin to listen to these."""
        for topic in topics:
            self.listener.create_subscription(
                KINDS[topic], f"/calibrator/{topic}", lambda m, t=topic: self.heard.update({t: m}), LATCHED)

    def hears(self, *topics: str) -> bool:
        """Whether all of them come, while the worker has nothing else to do."""
        def all_came() -> bool:
            self.outputs.catch_up()
            return set(topics) <= self.heard.keys()

        return self.spin_until(all_came)


@contextmanager
def stage(**settings: Any) -> Iterator[Stage]:
    network = own_network()
    with running_node("calibrator", network) as (node, _), running_node("listener", network) as (listener, spin_until):
        chosen = Settings(**settings)
        outputs = Outputs(node, lambda: chosen, Buffer(), RefineConfig())
        yield Stage(outputs, listener, spin_until)
        outputs.close()


def test_latecomers_hear_the_extrinsic_and_get_their_pictures(seen: Outcome) -> None:
    with stage() as made:
        made.outputs.publish(seen)
        made.listen(*KINDS)
        assert made.hears(*KINDS), made.heard.keys()
    T, sample = seen.registration.T_cam_lidar, seen.sample
    extrinsic = extrinsic_from_transform(made.heard["extrinsic"], "lidar", "camera", "~/extrinsic")
    pose, covariance = extrinsic_from_pose(made.heard["pose"], "lidar", "~/pose")
    np.testing.assert_allclose(extrinsic, T, atol=1e-9)
    np.testing.assert_allclose(pose, T, atol=1e-9)
    np.testing.assert_allclose(covariance, seen.registration.covariance, atol=1e-12)
    picture, cloud, markers = (made.heard[name] for name in ("overlay", "colored_points", "matches"))
    assert (picture.width, picture.header.frame_id) == (sample.camera.width, "camera")
    points = read_points(cloud)
    assert cloud.header.frame_id == "lidar" and 1000 < len(points) < len(sample.cloud)
    assert {"x", "y", "z", "rgb"} <= set(points.dtype.names)
    names = {marker.ns: marker for marker in markers.markers}
    assert names.keys() == {"frustum", "edges"} and len(names["frustum"].points) == 16
    assert len(names["edges"].points) == len(names["edges"].colors) > 200
    assert {marker.header.frame_id for marker in markers.markers} == {"lidar"}
    assert made.heard["extrinsic"].header.stamp == picture.header.stamp == cloud.header.stamp


def test_a_doubtful_answer_is_shown_but_not_told(seen: Outcome) -> None:
    doubtful = replace(seen, registration=replace(seen.registration, status="uncertain"))
    with stage() as made:
        made.listen(*KINDS)
        made.outputs.publish(doubtful)
        assert made.hears("overlay") and "extrinsic" not in made.heard and not made.outputs.tf.problem
    with stage(tf_publish="uncertain") as made:
        made.listen("extrinsic")
        made.outputs.publish(doubtful)
        assert made.hears("extrinsic")


def test_what_becomes_the_reference_is_told_however_unsure(seen: Outcome) -> None:
    doubtful = replace(seen, registration=replace(seen.registration, status="uncertain"))
    with stage() as made:
        made.listen("extrinsic", "pose")
        made.outputs.publish(doubtful)
        assert made.outputs.tf._broadcaster is None
        made.outputs.use(doubtful)
        assert made.hears("extrinsic", "pose") and made.outputs.tf._broadcaster is not None


@pytest.mark.parametrize(("publish", "told"), [("ok", MOVED), ("in_use", np.eye(4)), ("none", None)])
def test_by_tf_publish_single_answers_move_the_link_or_only_the_reference_does(publish: str, told: Any) -> None:
    with stage(tf_publish=publish) as made:
        sent: list[np.ndarray] = []
        made.outputs.tf.publish = lambda each: sent.append(each.registration.T_cam_lidar)  # type: ignore[method-assign]
        made.outputs.publish(outcome(), np.eye(4))
        np.testing.assert_array_equal(sent, [] if told is None else [told])
        made.outputs.publish(outcome(), None)
        assert len(sent) == {"ok": 2, "in_use": 1, "none": 0}[publish]
        made.outputs.use(outcome())
        assert len(sent) == {"ok": 3, "in_use": 2, "none": 0}[publish]


def test_tf_is_taken_back_once_it_is_not_wanted(seen: Outcome) -> None:
    with stage() as made:
        made.outputs.publish(seen)
        assert made.outputs.tf._broadcaster is not None
        made.outputs._settings = lambda: Settings(tf_publish="none")
        made.outputs.catch_up()
        assert made.outputs.tf._broadcaster is None


def test_nothing_is_drawn_while_nobody_looks() -> None:
    broken = outcome()
    object.__setattr__(broken.sample, "image", None)  # whoever draws this fails
    with stage() as made:
        made.listen("extrinsic")
        made.outputs.publish(broken)
        assert made.hears("extrinsic")
        made.listen("overlay")
        with pytest.raises(cv2.error):
            made.hears("overlay")


def test_what_is_drawn_while_the_node_is_cleaned_up_is_thrown_away() -> None:
    with stage() as made:
        made.listen("overlay")
        outputs = made.outputs
        publisher, _ = outputs._pictures[0]
        assert made.spin_until(lambda: publisher.get_subscription_count() > 0)
        outputs._pictures[0] = publisher, lambda each: outputs.close() or Image()
        outputs.publish(outcome())  # rclpy raises InvalidHandle where a publisher is no more
        outputs.use(outcome())
        outputs.close = lambda: None  # type: ignore[method-assign]


def test_a_link_that_says_the_reference_follows_it_back() -> None:
    with stage(tf_publish="in_use") as made:
        outputs = made.outputs
        outputs.follow(MOVED)  # nothing has been told yet
        assert outputs.tf._broadcaster is None
        outputs.use(outcome())
        outputs.forget()
        outputs.follow(np.eye(4))
        assert outputs.told is not None
        np.testing.assert_array_equal(outputs.told.registration.T_cam_lidar, np.eye(4))
        assert outputs.tf._broadcaster is not None
        outputs.follow(None)
        assert outputs.tf._broadcaster is None


def test_the_frustum_opens_where_the_camera_looks() -> None:
    camera = outcome().sample.camera
    corners = frustum_corners(camera, se3.inverse(MOVED))
    np.testing.assert_allclose(corners[0], se3.inverse(MOVED)[:3, 3])
    seen_corners = se3.transform(MOVED, corners[1:])
    uv, _ = camera.project(seen_corners)
    np.testing.assert_allclose(uv, [[0, 0], [63, 0], [63, 47], [0, 47]], atol=1e-6)
    assert (seen_corners[:, 2] > 0).all()
