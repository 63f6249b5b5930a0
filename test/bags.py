"""Small samples and bags for the tests of bag reading and writing."""

from pathlib import Path

import numpy as np

from crossi2p_core.datasets.bag_messages import BagMessages
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera, PointCloud, Sample

START = 1_700_000_000.0  # seconds
WIDTH, HEIGHT, POINTS = 40, 30, 200
K = np.array([[50.0, 0, 19.5], [0, 51.0, 14.5], [0, 0, 1]])
T_CAM_LIDAR = se3.exp_se3(np.array([1.2, -1.2, 1.2, 0.1, -0.2, -0.3]))


def sample(number: int, **changes) -> Sample:
    """One frame at 10 Hz, image 10 ms after the scan, everything in it random but for the calibration."""
    rng = np.random.default_rng(number)
    fields = {
        "name": f"{number:06d}",
        "image": rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        "camera": Camera(K, WIDTH, HEIGHT, "plumb_bob", np.array([-0.1, 0.01, 1e-4, -1e-4, 0])),
        "cloud": PointCloud.from_arrays(rng.normal(0, 10, (POINTS, 3)).astype(np.float32),
                                        rng.random(POINTS).astype(np.float32), rng.integers(0, 32, POINTS),
                                        rng.random(POINTS).astype(np.float32) / 10),
        "T_cam_lidar": T_CAM_LIDAR,
        "T_world_lidar": se3.exp_se3(np.array([0, 0, 0.1 * number, 2.0 * number, 0, 0])),
        "stamp_cloud": START + 0.1 * number,
        "stamp_image": START + 0.1 * number + 0.01,
    }
    return Sample(**(fields | changes))


class RawBag:
    """A rosbag2 bag written message by message, for what `write_bag` would never write."""

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        self.make = BagMessages()
        self._writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)
        self._connections = {}

    def __enter__(self) -> "RawBag":
        self._writer.open()
        return self

    def __exit__(self, *error) -> None:
        self._writer.close()

    def add(self, topic: str, message, stamp: int) -> None:
        """One message, its type as the message itself says."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, message.__msgtype__,
                                                                   typestore=self.make.typestore)
        self._writer.write(self._connections[topic], stamp, self.make.serialize(message, message.__msgtype__))

    def add_unknown(self, topic: str, one: Sample) -> None:
        """A message of a type that no one has heard of, with a definition that does not even parse."""
        odd = self._writer.add_connection(topic, "odd_msgs/msg/Odd", msgdef="?!", rihs01="RIHS01_" + "0" * 64)
        self._writer.write(odd, round(one.stamp_cloud * 1e9), b"odd")

    def camera(self, namespace: str, one: Sample, image: str = "image_raw", frame: str = "camera",
               info: str | None = "camera_info") -> None:
        """An image and, unless `info` is None, its calibration."""
        stamp = round(one.stamp_image * 1e9)
        self.add(f"{namespace}/{image}", self.make.image(one.image, stamp, frame, "raw"), stamp)
        if info is not None:
            self.add(f"{namespace}/{info}", self.make.camera_info(one.camera, stamp, frame), stamp)

    def cloud(self, one: Sample, topic: str = "/points", frame: str = "lidar") -> None:
        """A scan."""
        stamp = round(one.stamp_cloud * 1e9)
        self.add(topic, self.make.cloud(one.cloud, stamp, frame), stamp)
