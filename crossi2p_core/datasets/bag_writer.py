"""Write samples as a rosbag2 bag that ROS 2 plays and `RosbagSource` reads back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Sample
from .bag_clock import HZ, Clock
from .bag_layout import TF, TF_STATIC, BagLayout
from .bag_messages import BagMessages
from .messages.factory import IMAGE_FORMATS
from .rosbag_file import INSTALL
from .source import Source

STORAGES = ("mcap", "sqlite3")
STATIC_LEAD_NS = 1_000_000  # how much earlier the static transform is: of equal times a player may send any first
BAG_VERSION: Literal[8] = 8  # read by every rosbag2 from Humble on


def write_bag(samples: Iterable[Sample], path: str | Path, storage: str = "mcap", image_format: str = "raw",
              overwrite: bool = False, progress: Callable[[int, int], None] | None = None,
              layout: BagLayout | None = None, hz: float = HZ) -> int:
    """Write one camera and one LiDAR as the rosbag2 folder `path`.

    storage: `mcap` or `sqlite3`. image_format: `raw` (Image, rgb8), or `png`, `jpeg` (CompressedImage on the image's
    topic with `/compressed`). layout: topics and frames. T_cam_lidar goes to /tf_static if it is the same in all
    samples, else to /tf; T_world_lidar to /tf. Points of a source whose scans are of one instant get no times of their
    own. Stamps grow from sample to sample, see `Clock`; hz: of samples without times. progress: called with (written,
    total or 0). The bag appears whole or not at all.
    Returns how many samples had times that do not grow and were moved behind the one before.
    Raises InputError where `path` exists (unless it is a bag and `overwrite`), cannot be written, or nothing is given.
    """
    path = Path(path)
    _check_choice("storage", storage, STORAGES)
    _check_choice("image_format", image_format, IMAGE_FORMATS)
    _check_target(path, overwrite)
    clock, layout = Clock(hz), layout or BagLayout()
    total = len(samples) if isinstance(samples, Sized) else 0
    instant = isinstance(samples, Source) and samples.instant  # nothing in a bag would say so
    with _whole_or_nothing(path) as folder, _BagFolder(folder, storage, image_format, layout) as bag:
        for count, sample in enumerate(samples, start=1):
            bag.add(without_times(sample) if instant else sample, *clock.stamps(sample))
            if progress is not None:
                progress(count, total)
        bag.add_extrinsics()
    return clock.joints


def without_times(sample: Sample) -> Sample:
    """Whoever reads that points were seen one after another would undo a motion that never bent the scan."""
    return replace(sample, cloud=replace(sample.cloud, time=None))


class _BagFolder:
    """An open rosbag2 folder that takes samples."""

    def __init__(self, folder: Path, storage: str, image_format: str, layout: BagLayout) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._make = BagMessages()
        self._layout, self._image_format = layout, image_format
        self._types = layout.types(compressed=image_format != "raw")
        self._image_topic = next(iter(self._types))
        self._writer = Writer(folder, version=BAG_VERSION, storage_plugin=StoragePlugin[storage.upper()])
        self._connections: dict[str, Any] = {}
        self._extrinsics: list[tuple[int, np.ndarray]] = []  # stamp, T_lidar_cam
        self._first: int | None = None
        self._count = 0

    def __enter__(self) -> _BagFolder:
        self._writer.__enter__()
        for topic, name in self._types.items():
            qos = [self._make.qos(latched=topic == TF_STATIC)]
            self._connections[topic] = self._writer.add_connection(topic, name, typestore=self._make.typestore,
                                                                   offered_qos_profiles=qos)
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def add(self, sample: Sample, cloud_ns: int, image_ns: int) -> None:
        """One sample's image, calibration, scan and pose; its extrinsic is kept for `add_extrinsics`."""
        make, layout = self._make, self._layout
        if self._first is None:
            self._first = min(cloud_ns, image_ns)
        self._count += 1
        image = make.image(sample.image, image_ns, layout.camera_frame, self._image_format)
        self._write(self._image_topic, image_ns, image)
        self._write(layout.info_topic, image_ns, make.camera_info(sample.camera, image_ns, layout.camera_frame))
        self._write(layout.cloud_topic, cloud_ns, make.cloud(sample.cloud, cloud_ns, layout.lidar_frame))
        if sample.T_cam_lidar is not None:
            self._extrinsics.append((cloud_ns, se3.inverse(sample.T_cam_lidar)))
        if sample.T_world_lidar is not None:
            self._write_transform(TF, cloud_ns, sample.T_world_lidar, layout.world_frame, layout.lidar_frame)

    def add_extrinsics(self) -> None:
        """The transforms between LiDAR and camera, last, when it is known whether they are one.

        A static one is stamped before all else, since players sort by time. Transforms hold for frames between them,
        so frames whose extrinsic nobody knows would get that of the others: InputError.
        """
        if self._first is None:
            raise InputError("there is no sample to write into the bag; give at least one frame")
        if 0 < len(self._extrinsics) < self._count:
            raise InputError(f"the extrinsic is known of {len(self._extrinsics)} of the {self._count} frames only; "
                             "write those with and those without into bags of their own")
        frames = self._layout.lidar_frame, self._layout.camera_frame
        if all(np.array_equal(T, self._extrinsics[0][1]) for _, T in self._extrinsics):
            for _, T in self._extrinsics[:1]:
                self._write_transform(TF_STATIC, self._first - STATIC_LEAD_NS, T, *frames)
        else:
            for stamp, T in self._extrinsics:
                self._write_transform(TF, stamp, T, *frames)

    def _write_transform(self, topic: str, stamp: int, T_parent_child: np.ndarray, parent: str, child: str) -> None:
        make = self._make
        self._write(topic, stamp, make.transforms([make.transform(T_parent_child, stamp, parent, child)]))

    def _write(self, topic: str, stamp: int, message: Any) -> None:
        self._writer.write(self._connections[topic], stamp, self._make.serialize(message, self._types[topic]))


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
    """A folder to write to, of the same name beside `path`, that takes its place when all went well.

    Otherwise it goes, and so do the parents of `path` that were made for it.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary / path.name
        _take_place(temporary / path.name, path, temporary / "replaced")
    except OSError as error:
        raise InputError(f"cannot write the bag {path}: {error.strerror or error}; choose a folder you may write to"
                         ) from error
    except ImportError as error:
        raise InputError(f"writing a bag needs the package rosbags: {INSTALL}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # it is not there, or holds the bag
                folder.rmdir()


def _take_place(new: Path, path: Path, aside: Path) -> None:
    """Put a bag where another one may be, which is moved aside, and back again where that fails."""
    if path.exists():
        os.replace(path, aside)
    try:
        os.replace(new, path)
    except OSError:
        if aside.exists():
            os.replace(aside, path)
        raise
