"""ROS bags as a source: rosbag2 (sqlite3, MCAP) and ROS 1, their topics found by type.

Scans and images are paired by their header stamps. T_cam_lidar comes from the recorded transforms at the scan's stamp:
it is the mounting, without the ego-motion between scan and image. Where the transforms do not connect the two frames it
is None, never a guess.

Opening reads the bag once for the stamps; after that a frame reads its two messages only.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Camera, Sample
from .detect import ENDINGS
from .messages.camera_info import beside_its_frame, camera_from_message, field_of, is_rectified_topic
from .messages.clouds import cloud_from_message
from .messages.images import image_from_message
from .messages.stamps import stamp_ns
from .messages.transforms import transform_from_message
from .pairing import nearest, pair_nearest
from .rigs import rig_label
from .rosbag_file import BagFile, Stream
from .rosbag_frames import FrameTree, frame_name
from .rosbag_topics import TF_STATIC, Topics, choose_topics
from .source import RobotNames, Source, sample_facts

SLOP, LARGEST_SLOP = 0.05, 3600.0  # seconds
WORLD_FRAMES = ("map", "odom", "world")  # REP 105, the most global first


def matches(path: Path) -> bool:
    """True for a rosbag2 folder (metadata.yaml) and for a single .mcap, .db3 or .bag file."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file()
    return path.suffix in ENDINGS and path.is_file()


@dataclass(frozen=True)
class Pair:
    """Header stamps and times of recording (ns) of one scan and its image."""

    cloud_stamp: int
    cloud_logged: int
    image_stamp: int
    image_logged: int


class RosbagSource(Source):
    """Frames of one camera and one LiDAR of a bag, numbered by time: `000000`, `000001`, ...

    camera: an image topic or a namespace (`/front`); None takes the first, by alphabet, that has a CameraInfo.
    image_topic, cloud_topic, info_topic: exact names where the choice by type is not the wanted one. rectified: the
    images are undistorted (None: they are when the topic is called image_rect...). slop: largest time between scan and
    image, seconds. Raises InputError for a bag that is damaged, lacks one of the three, or in which none pair.
    """

    kind = "ROS bag"

    def __init__(self, path: str | Path, camera: str | None = None, image_topic: str | None = None,
                 cloud_topic: str | None = None, info_topic: str | None = None, rectified: bool | None = None,
                 slop: float = SLOP) -> None:
        self._bag = BagFile(Path(path))
        self.topics = choose_topics(self._bag, camera, image_topic, cloud_topic, info_topic)
        self._rectified = is_rectified_topic(self.topics.image) if rectified is None else rectified
        streams = self._bag.streams([self.topics.image, self.topics.cloud])
        self._pairs = _pair(streams[self.topics.cloud], streams[self.topics.image], slop, self.topics, self._bag.path)
        infos = [(logged, message) for _, logged, message in self._bag.messages([self.topics.info])]
        self._infos = [message for _, message in infos]
        if not self._infos:
            raise InputError(_lost(self._bag.path, self.topics.info))
        if beside := beside_its_frame(self._infos[0], self._rectified, f"{self._bag.path}, {self.topics.info}"):
            print(f"crossi2p: {beside}", file=sys.stderr)
        self._image_frame = streams[self.topics.image].frame or self._infos[0].header.frame_id
        self._cloud_frame = streams[self.topics.cloud].frame
        ends = frame_name(self._image_frame), frame_name(self._cloud_frame)
        self.robot = RobotNames(*(ends if ends[0] != ends[1] else ("", "")), self.topics.image, self.topics.cloud)
        self._info_stamps = np.array([stamp_ns(info.header) or logged for logged, info in infos], dtype=np.int64)
        self._one_camera = len({_calibration(info) for info in self._infos}) == 1
        self._frames = read_frames(self._bag, self.topics.transforms)
        super().__init__(path, [f"{index:06d}" for index in range(len(self._pairs))])

    def _load(self, index: int) -> Sample:
        pair = self._pairs[index]
        where = f"{self.path}, frame {self.names[index]}"
        cloud = self._bag.read(self.topics.cloud, pair.cloud_stamp, pair.cloud_logged)
        image_message = self._bag.read(self.topics.image, pair.image_stamp, pair.image_logged)
        image = image_from_message(image_message, f"{where}, {self.topics.image}")
        frames = _frame_of(image_message, self._image_frame), _frame_of(cloud, self._cloud_frame)
        T_cam_lidar = self._between(*frames, pair.cloud_stamp)
        camera = self._camera(pair.image_stamp, image.shape[1], image.shape[0])
        return Sample(
            name=self.names[index],
            image=image,
            camera=camera,
            cloud=cloud_from_message(cloud, f"{where}, {self.topics.cloud}"),
            T_cam_lidar=T_cam_lidar,
            T_world_lidar=self._world(frames[1], pair.cloud_stamp),
            stamp_image=pair.image_stamp * 1e-9,
            stamp_cloud=pair.cloud_stamp * 1e-9,
            rig=self._rig(pair.cloud_stamp, self.names[index], frames, camera, T_cam_lidar),
        )

    def _camera(self, stamp: int, width: int, height: int) -> Camera:
        """From the CameraInfo nearest in time: a zoom changes it, most cameras repeat one."""
        info = self._infos[nearest(np.array([stamp]), self._info_stamps)[0]]
        return camera_from_message(info, width, height, self._rectified, f"{self.path}, {self.topics.info}")

    def _between(self, image_frame: str, cloud_frame: str, stamp: int) -> np.ndarray | None:
        """T_cam_lidar where the transforms tell it: one name for both is none, nobody's pixels are where points are."""
        if frame_name(image_frame) == frame_name(cloud_frame):
            return None
        return self._frames.lookup(image_frame, cloud_frame, stamp)

    def _world(self, cloud_frame: str, stamp: int) -> np.ndarray | None:
        poses = (self._frames.lookup(frame, cloud_frame, stamp) for frame in WORLD_FRAMES)
        return next((T for T in poses if T is not None), None)

    def _rig(self, stamp: int, name: str, frames: tuple[str, str], camera: Camera,
             T_cam_lidar: np.ndarray | None) -> str:
        """One rig per camera and pair of frames, unless the calibration changes: a zoom, a joint that moves."""
        rig = f"{self.path.stem}{self.topics.image}"
        if frames != (self._image_frame, self._cloud_frame):
            rig += f"/{frame_name(frames[0])}-{frame_name(frames[1])}"
        if not self._one_camera:
            rig = rig_label(rig, camera, None)
        is_rigid = T_cam_lidar is None or self._frames.is_static(*frames, stamp)
        return rig if is_rigid else f"{rig}/{name}"

    def _facts(self) -> dict[str, Any]:
        facts = sample_facts(self.first_usable())
        used = {"image": self.topics.image, "cloud": self.topics.cloud, "camera_info": self.topics.info}
        notes = [f"other {what}: {', '.join(topics)}" for what, topics in (
            ("cameras", self.topics.other_images), ("scans", self.topics.other_clouds)) if topics]
        if not facts["has_truth"]:
            ends = frame_name(self._image_frame), frame_name(self._cloud_frame)
            notes.append(f"image and cloud both name the frame {ends[0]!r}, so the extrinsic is unknown"
                         if ends[0] == ends[1] else f"no transform connects {self._cloud_frame!r} with "
                         f"{self._image_frame!r}, so the extrinsic is unknown")
        return facts | {"topics": used} | ({"notes": notes} if notes else {})


def _pair(clouds: Stream, images: Stream, slop: float, topics: Topics, path: Path) -> list[Pair]:
    """Scans and images that are each other's nearest within `slop` seconds, by the scans' stamps."""
    if not 0 < slop <= LARGEST_SLOP:
        raise InputError(f"slop={slop} must be a positive number of seconds, {LARGEST_SLOP:g} at most")
    for stream, topic in ((clouds, topics.cloud), (images, topics.image)):
        if not len(stream.stamps):
            raise InputError(_lost(path, topic))
    at_cloud, at_image = pair_nearest(clouds.stamps, images.stamps, int(slop * 1e9))
    if not len(at_cloud):
        apart = np.abs(clouds.stamps - images.stamps[nearest(clouds.stamps, images.stamps)]).min() * 1e-9
        raise InputError(f"{path}: no scan on {topics.cloud} is within {slop} s of an image on {topics.image}, the "
                         f"nearest are {apart:.3f} s apart; check that both drivers use one clock; "
                         f"'{path}?slop=SECONDS' allows more")
    return [Pair(*(int(v) for v in row)) for row in zip(clouds.stamps[at_cloud], clouds.logged[at_cloud],
                                                        images.stamps[at_image], images.logged[at_image], strict=True)]


def _lost(path: Path, topic: str) -> str:
    return f"{path}: the bag counts messages on {topic} but holds none; it is damaged, copy it again"


def _frame_of(message: Any, first: str) -> str:
    """frame_id of this message; of the stream's first one where it has none."""
    return message.header.frame_id or first


def _calibration(info: Any) -> tuple[Any, ...]:
    """What two CameraInfo messages differ in where the camera is another one."""
    return (info.width, info.height, *(float(value) for name in "kd" for value in field_of(info, name)))


def read_frames(bag: BagFile, topics: Collection[str]) -> FrameTree:
    """All transforms recorded on some topics; those of a topic that ends in tf_static hold for ever.

    One that is no rigid motion is left out, as tf2 does, and the first of them told on stderr.
    """
    tree, unusable = FrameTree(), list[str]()
    for topic, logged, message in bag.messages(topics):
        for transform in message.transforms:
            parent, child = transform.header.frame_id, transform.child_frame_id
            try:
                T = transform_from_message(transform.transform, f"{bag.path}, {topic}, {parent} -> {child}")
            except InputError as error:
                unusable.append(str(error))
                continue
            tree.add(parent, child, T, stamp_ns(transform.header) or logged, topic.endswith(TF_STATIC))
    if unusable:
        print(f"crossi2p: transforms left out: {len(unusable)}; {unusable[0]}", file=sys.stderr)
    return tree
