"""What the node tells: TF, the latched extrinsic and pose, and pictures for those who look. Called by the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock
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
        self._lock = Lock()  # the executor may close what the worker is about to publish on
        self._closed = False
        self._last: Outcome | None = None
        self.told: Outcome | None = None  # of the newest link
        self._undrawn: set[Any] = set()
        self.tf = TransformOwner(node, buffer, settings().tf_parent, settings().tf_child)

    def publish(self, outcome: Outcome, in_use: np.ndarray | None = None) -> None:
        """Tell an outcome. Only one that is believed becomes extrinsic, pose and TF; pictures show every one.

        in_use: (4, 4) T_cam_lidar, the reference by now, if it is known: all that TF says where `tf.publish` is in_use.
        """
        if self._believed(outcome):
            self._tell(outcome)
            if self._settings().tf_publish in ("ok", "uncertain"):
                self._link(outcome)
        if self._settings().tf_publish == "in_use" and in_use is not None:
            self._link(_instead(outcome, in_use))
        self._last = outcome
        self._undrawn = {publisher for publisher, _ in self._pictures}
        self.catch_up()

    def use(self, outcome: Outcome) -> None:
        """Tell an estimate that has become the reference, however sure its frames were of themselves."""
        self._tell(outcome)
        if self._settings().tf_publish != "none":
            self._link(outcome)

    def follow(self, in_use: np.ndarray | None) -> None:
        """The reference has been taken back to this (4, 4), None: to nothing. A link that says it does so at once."""
        if self._settings().tf_publish != "in_use" or self.told is None:
            return
        if in_use is None:
            self.tf.withdraw()
        else:
            self._link(_instead(self.told, in_use))

    def catch_up(self) -> None:
        """Draw the last outcome for those who have begun to listen since; take TF back where it is not wanted now."""
        if self._settings().tf_publish == "none":
            self.tf.withdraw()
        for publisher, draw in self._pictures:
            last = self._last  # another thread may forget it meanwhile
            if last is not None and publisher in self._undrawn and self._has_listeners(publisher):
                self._undrawn.discard(publisher)
                self._send(publisher, draw(last))

    def forget(self) -> None:
        """The last outcome counts no more."""
        self._last = None

    def close(self) -> None:
        """Take everything out of the graph, latched messages with it."""
        self.tf.close()
        with self._lock:
            self._closed = True
            for publisher in (self._extrinsic, self._pose, *(publisher for publisher, _ in self._pictures)):
                self._node.destroy_publisher(publisher)

    def _link(self, outcome: Outcome) -> None:
        """As TF."""
        self.told = outcome
        self.tf.publish(outcome)

    def _send(self, publisher: Any, message: Any) -> None:
        """Unless it has been closed: pictures take long to draw, and the node may be cleaned up meanwhile."""
        with self._lock:
            if not self._closed:
                publisher.publish(message)

    def _has_listeners(self, publisher: Any) -> bool:
        with self._lock:
            return not self._closed and publisher.get_subscription_count() > 0

    def _tell(self, outcome: Outcome) -> None:
        """As the latched extrinsic and pose."""
        found, frames = outcome.registration, (outcome.lidar_frame, outcome.camera_frame)
        self._send(self._extrinsic, extrinsic_message(self._make, found.T_cam_lidar, outcome.stamp, *frames))
        self._send(self._pose, pose_message(self._make, found.T_cam_lidar, found.covariance, outcome.stamp, frames[0]))

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


def _instead(outcome: Outcome, T_cam_lidar: np.ndarray) -> Outcome:
    """The outcome with another extrinsic (4, 4)."""
    return replace(outcome, registration=replace(outcome.registration, T_cam_lidar=T_cam_lidar))
