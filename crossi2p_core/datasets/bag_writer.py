"""Write samples as a rosbag2 bag that ROS 2 plays and `RosbagSource` reads back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Sample
from .bag_messages import MessageFactory
from .rosbag_file import INSTALL

STORAGES = ("mcap", "sqlite3")
FORMATS = ("raw", "png", "jpeg")
BAG_VERSION: Literal[8] = 8  # read by every rosbag2 from Humble on
PERIOD_NS = 100_000_000  # between samples that have no stamp: 10 Hz
START_NS = 1_700_000_000_000_000_000  # a clock that no ROS node takes for "not set"

IMAGE_TOPIC, INFO_TOPIC, CLOUD_TOPIC = "/camera/image_raw", "/camera/camera_info", "/lidar/points"
CAMERA_FRAME, LIDAR_FRAME, WORLD_FRAME = "camera_optical", "lidar", "odom"
TYPES = {
    INFO_TOPIC: "sensor_msgs/msg/CameraInfo",
    CLOUD_TOPIC: "sensor_msgs/msg/PointCloud2",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
}


def write_bag(samples: Iterable[Sample], path: str | Path, storage: str = "mcap", image_format: str = "raw",
              overwrite: bool = False, progress: Callable[[int, int], None] | None = None) -> None:
    """Write one camera and one LiDAR as the rosbag2 folder `path`.

    storage: `mcap` or `sqlite3`. image_format: `raw` (Image, rgb8), or `png`, `jpeg` (CompressedImage on
    `/camera/image_raw/compressed`). Topics, frames and types are the constants above. T_cam_lidar goes to /tf_static if
    it is the same in all samples, else to /tf; T_world_lidar to /tf. Samples without stamps come at 10 Hz.
    progress: called with (written, total or 0). The bag appears whole or not at all.
    Raises InputError where `path` exists (unless it is a bag and `overwrite`), cannot be written, or nothing is given.
    """
    path = Path(path)
    _check_choice("storage", storage, STORAGES)
    _check_choice("image_format", image_format, FORMATS)
    _check_target(path, overwrite)
    total = len(samples) if isinstance(samples, Sized) else 0
    with _whole_or_nothing(path) as folder:
        _write(samples, folder, storage, image_format, lambda done: progress(done, total) if progress else None)


def _write(samples: Iterable[Sample], folder: Path, storage: str, image_format: str,
           progress: Callable[[int], None]) -> None:
    """All messages; transforms last, when it is known whether the extrinsic is one. Players sort by time."""
    make = MessageFactory()
    extrinsics: list[tuple[int, np.ndarray]] = []
    poses: list[tuple[int, np.ndarray]] = []
    with _BagFolder(folder, storage, make, image_format) as bag:
        count = 0
        for count, sample in enumerate(samples, start=1):
            cloud_ns, image_ns = _stamps(sample, count - 1)
            bag.write(bag.image_topic, image_ns, make.image(sample.image, image_ns, CAMERA_FRAME, image_format))
            bag.write(INFO_TOPIC, image_ns, make.camera_info(sample.camera, image_ns, CAMERA_FRAME))
            bag.write(CLOUD_TOPIC, cloud_ns, make.cloud(sample.cloud, cloud_ns, LIDAR_FRAME))
            if sample.T_cam_lidar is not None:
                extrinsics.append((cloud_ns, se3.inverse(sample.T_cam_lidar)))
            if sample.T_world_lidar is not None:
                poses.append((cloud_ns, sample.T_world_lidar))
            progress(count)
        if not count:
            raise InputError(f"there is no sample to write into the bag {folder.name}; give at least one frame")
        is_rigid = all(np.array_equal(T, extrinsics[0][1]) for _, T in extrinsics)
        for stamp, T in extrinsics[:1] if is_rigid else extrinsics:
            topic = "/tf_static" if is_rigid else "/tf"
            bag.write(topic, stamp, make.transform(T, stamp, LIDAR_FRAME, CAMERA_FRAME))
        for stamp, T in poses:
            bag.write("/tf", stamp, make.transform(T, stamp, WORLD_FRAME, LIDAR_FRAME))


class _BagFolder:
    """An open rosbag2 folder that takes messages by topic."""

    def __init__(self, folder: Path, storage: str, make: MessageFactory, image_format: str) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._make = make
        raw = image_format == "raw"
        self.image_topic = IMAGE_TOPIC if raw else f"{IMAGE_TOPIC}/compressed"
        self._types = {self.image_topic: f"sensor_msgs/msg/{'Image' if raw else 'CompressedImage'}"} | TYPES
        self._writer = Writer(folder, version=BAG_VERSION, storage_plugin=StoragePlugin[storage.upper()])
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> _BagFolder:
        self._writer.__enter__()
        for topic, name in self._types.items():
            qos = [self._make.qos(latched=topic == "/tf_static")]
            self._connections[topic] = self._writer.add_connection(topic, name, typestore=self._make.typestore,
                                                                   offered_qos_profiles=qos)
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def write(self, topic: str, stamp: int, message: Any) -> None:
        self._writer.write(self._connections[topic], stamp, self._make.serialize(message, self._types[topic]))


def _stamps(sample: Sample, number: int) -> tuple[int, int]:
    """(scan, image) in nanoseconds; one that is missing is taken from the other, both from the sample's number."""
    known = [round(s * 1e9) if s is not None else None for s in (sample.stamp_cloud, sample.stamp_image)]
    fallback = START_NS + number * PERIOD_NS
    cloud = next(s for s in (*known, fallback) if s is not None)
    return cloud, known[1] if known[1] is not None else cloud


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{option}={value!r} is not possible for a bag; choose one of {', '.join(choices)}")


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists already; remove it or choose another name for the bag")
    if not (path / "metadata.yaml").is_file():
        raise InputError(f"{path} exists and is no bag, so it is not replaced; choose another name")


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[Path]:
    """A folder to write to, of the same name beside `path`, that takes its place when all went well."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary / path.name
        if path.exists():
            os.replace(path, temporary / "replaced")
        os.replace(temporary / path.name, path)
    except OSError as error:
        raise InputError(f"cannot write the bag {path}: {error.strerror or error}; choose a folder you may write to"
                         ) from error
    except ImportError as error:
        raise InputError(f"writing a bag needs the package rosbags: {INSTALL}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
