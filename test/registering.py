"""For test_register_node.py: the node in a process of its own, the sensors and the operator that it meets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ros_here  # skips where ROS is missing, before anything of it is imported
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from crossi2p_core.geometry import se3
from crossi2p_core.types import Sample
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.ros_compat.tf2 import StaticTransformBroadcaster
from crossi2p_ros.shared_files import use_large_message_profile

ROOT = Path(__file__).resolve().parent.parent
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAMERA, LIDAR = "camera_optical", "lidar"
NAME = "/register_node"
own_network, running_node = ros_here.own_network, ros_here.running_node
use_large_message_profile()  # Fast DDS reads it once, before the first node of this process


@contextmanager
def registering(network: dict[str, str], **parameters: Any) -> Iterator[subprocess.Popen[str]]:
    """register_node with these parameters (`__` stands for a dot), until the block ends; then it must end well."""
    given = [f"-p {name.replace('__', '.')}:={value}" for name, value in parameters.items()]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen([sys.executable, "-m", "crossi2p_ros.register_node", "--ros-args",
                                *" ".join(given).split()], text=True, stderr=subprocess.PIPE,
                               env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | network)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
        assert "Traceback" not in log, log


@dataclass
class Sensors:
    """Publishes one sample, whole or damaged, and listens to what the node says."""

    node: Node
    spin_until: Callable[..., bool]
    sample: Sample

    def __post_init__(self) -> None:
        self.make = LiveMessages()
        self.images = self.node.create_publisher(Image, "/camera/image_raw", 5)
        self.infos = self.node.create_publisher(CameraInfo, "/camera/camera_info", 5)
        self.clouds = self.node.create_publisher(PointCloud2, "/lidar/points", 5)
        self.static = StaticTransformBroadcaster(self.node)
        self.extrinsics: list[TransformStamped] = []
        self.said: DiagnosticStatus | None = None
        self.node.create_subscription(TransformStamped, f"{NAME}/extrinsic", self.extrinsics.append, LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)

    def tell_prior(self, T_cam_lidar: np.ndarray) -> None:
        """Publish the static transform that the node starts from."""
        self.static.sendTransform(self.make.transform(se3.inverse(T_cam_lidar), 0, LIDAR, CAMERA))

    def messages(self) -> tuple[Image, CameraInfo, PointCloud2]:
        """The sample as messages of this moment."""
        stamp = self.node.get_clock().now().nanoseconds
        return (self.make.image(self.sample.image, stamp, CAMERA),
                self.make.camera_info(self.sample.camera, stamp, CAMERA),
                self.make.cloud(self.sample.cloud, stamp + 5_000_000, LIDAR))

    def send(self, image: Image, info: CameraInfo, cloud: PointCloud2) -> None:
        """Publish the three."""
        self.infos.publish(info)
        self.images.publish(image)
        self.clouds.publish(cloud)

    def sending_until(self, condition: Callable[[], bool], damage: Callable[..., None] = lambda *three: None,
                      seconds: float = 40.0) -> bool:
        """Send five pairs per second, each damaged first, until the condition holds."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            three = self.messages()
            damage(*three)
            self.send(*three)
            self.spin_until(condition, 0.2)
        return condition()

    def call(self, kind: type, name: str, request: Any, seconds: float = 30.0) -> Any:
        """The answer of one of the node's services."""
        client = self.node.create_client(kind, f"{NAME}/{name}")
        assert self.spin_until(client.service_is_ready, seconds), f"no service {name}"
        answer = client.call_async(request)
        assert self.spin_until(answer.done, seconds), f"no answer of {name}"
        return answer.result()

    def ask(self, name: str) -> Any:
        """The answer of a Trigger."""
        return self.call(Trigger, name, Trigger.Request())

    def ask_state(self, transition: int) -> bool:
        """Whether the node took this lifecycle transition."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, "change_state", request).success

    def level(self) -> int:
        """Of the last diagnostics, -1 before."""
        return -1 if self.said is None else self.said.level[0]

    def says(self, words: str) -> bool:
        """Whether the message of the last diagnostics has these words."""
        return self.said is not None and words in self.said.message

    def value(self, words: str) -> str:
        """The value of the first key of the diagnostics that begins so, empty where there is none."""
        values = [] if self.said is None else self.said.values
        return next((each.value for each in values if each.key.startswith(words)), "")

    def _hear(self, message: DiagnosticArray) -> None:
        self.said = message.status[0]
