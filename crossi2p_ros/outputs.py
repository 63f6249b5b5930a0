"""What the node tells: TF, the latched extrinsic and pose, and pictures for those who look. Called by the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.viz.colored_cloud import color_cloud
from crossi2p_core.viz.overlay import draw_overlay

from . import interface
from .markers import matches_message
from .messages.answers import extrinsic_message, pose_message
from .messages.live import LiveMessages
from .outcome import Outcome
from .parameters import Settings
from .ros_compat.tf2 import Buffer
from .tf_owner import TransformOwner

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """Publishers of the node; pictures are drawn only when someone listens."""

    def __init__(self, node: Node, settings: Callable[[], Settings], buffer: Buffer, refine: RefineConfig) -> None:
        self._node, self._settings, self._refine = node, settings, refine
        self._make = LiveMessages()
        self._extrinsic = node.create_publisher(TransformStamped, interface.EXTRINSIC.name, LATCHED)
        self._pose = node.create_publisher(PoseWithCovarianceStamped, interface.POSE.name, LATCHED)
        self._pictures: list[tuple[Any, Callable[[Outcome], Any]]] = [
            (node.create_publisher(Image, interface.OVERLAY.name, LATCHED), self._overlay),
            (node.create_publisher(PointCloud2, interface.COLORED_POINTS.name, LATCHED), self._colored_points),
            (node.create_publisher(MarkerArray, interface.MATCHES.name, LATCHED), self._matches),
        ]
        self._last: Outcome | None = None
        self._undrawn: set[Any] = set()
        self.tf = TransformOwner(node, buffer, settings().tf_parent, settings().tf_child)

    def publish(self, outcome: Outcome, in_use: np.ndarray | None = None) -> None:
        """Tell an outcome. Only one that is believed becomes extrinsic, pose and TF; pictures show every one.

        in_use: (4, 4) T_cam_lidar, the reference by now, if it is known: all that TF says where `tf.publish` is in_use.
        """
        if self._believed(outcome):
            self._tell(outcome)
            if self._settings().tf_publish in ("ok", "uncertain"):
                self.tf.publish(outcome)
        if self._settings().tf_publish == "in_use" and in_use is not None:
            self.tf.publish(replace(outcome, registration=replace(outcome.registration, T_cam_lidar=in_use)))
        self._last = outcome
        self._undrawn = {publisher for publisher, _ in self._pictures}
        self.catch_up()

    def use(self, outcome: Outcome) -> None:
        """Tell an estimate that has become the reference, however sure its frames were of themselves."""
        self._tell(outcome)
        if self._settings().tf_publish != "none":
            self.tf.publish(outcome)

    def catch_up(self) -> None:
        """Draw the last outcome for those who have begun to listen since; take TF back where it is not wanted now."""
        if self._settings().tf_publish == "none":
            self.tf.withdraw()
        for publisher, draw in self._pictures:
            last = self._last  # another thread may forget it meanwhile
            if last is not None and publisher in self._undrawn and publisher.get_subscription_count():
                self._undrawn.discard(publisher)
                publisher.publish(draw(last))

    def forget(self) -> None:
        """The last outcome counts no more."""
        self._last = None

    def close(self) -> None:
        """Take everything out of the graph, latched messages with it."""
        self.tf.close()
        for publisher in (self._extrinsic, self._pose, *(publisher for publisher, _ in self._pictures)):
            self._node.destroy_publisher(publisher)

    def _tell(self, outcome: Outcome) -> None:
        """As the latched extrinsic and pose."""
        found, frames = outcome.registration, (outcome.lidar_frame, outcome.camera_frame)
        self._extrinsic.publish(extrinsic_message(self._make, found.T_cam_lidar, outcome.stamp, *frames))
        self._pose.publish(pose_message(self._make, found.T_cam_lidar, found.covariance, outcome.stamp, frames[0]))

    def _believed(self, outcome: Outcome) -> bool:
        status = outcome.registration.status
        return status == "ok" or (status == "uncertain" and self._settings().tf_publish == "uncertain")

    def _overlay(self, outcome: Outcome) -> Image:
        """The cloud on the image, by the frame that the node publishes."""
        sample, found = outcome.sample, outcome.registration
        title = f"{found.status}: {outcome.from_reference_in_words}"
        picture = draw_overlay(sample.image, sample.camera, sample.cloud, found.T_cam_lidar, title=title)
        return self._make.image(picture, outcome.stamp, outcome.camera_frame)

    def _colored_points(self, outcome: Outcome) -> PointCloud2:
        """The points that the camera sees, in their own frame, with its colours."""
        rgb, seen = color_cloud(outcome.sample, outcome.registration.T_cam_lidar)
        return self._make.colored_cloud(outcome.sample.cloud.xyz[seen], rgb[seen], outcome.stamp, outcome.lidar_frame)

    def _matches(self, outcome: Outcome) -> MarkerArray:
        return matches_message(outcome, self._refine)
