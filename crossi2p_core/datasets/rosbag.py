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
from .messages.camera_info import beside_its_frame, camera_from_message, is_rectified_topic
from .messages.clouds import cloud_from_message
from .messages.images import image_from_message
from .messages.stamps import stamp_ns
from .messages.transforms import transform_from_message
from .pairing import nearest, pair_nearest
from .rosbag_file import BagFile, Stream
from .rosbag_frames import FrameTree, frame_name
from .rosbag_topics import TF_STATIC, Topics, choose_topics
from .source import RobotNames, Source, sample_facts

ENDINGS = (".mcap", ".db3", ".bag")
SLOP = 0.05  # seconds
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
        self._infos = [message for _, _, message in self._bag.messages([self.topics.info])]
        if not self._infos:
            raise InputError(_lost(self._bag.path, self.topics.info))
        if beside := beside_its_frame(self._infos[0], self._rectified, f"{self._bag.path}, {self.topics.info}"):
            print(f"crossi2p: {beside}", file=sys.stderr)
        self._image_frame = streams[self.topics.image].frame or self._infos[0].header.frame_id
        self._cloud_frame = streams[self.topics.cloud].frame
        ends = frame_name(self._image_frame), frame_name(self._cloud_frame)
        self.robot = RobotNames(*(ends if ends[0] != ends[1] else ("", "")), self.topics.image, self.topics.cloud)
        self._info_stamps = np.array([stamp_ns(info.header) for info in self._infos], dtype=np.int64)
        self._frames = read_frames(self._bag, self.topics.transforms)
        super().__init__(path, [f"{index:06d}" for index in range(len(self._pairs))])

    def _load(self, index: int) -> Sample:
        pair = self._pairs[index]
        where = f"{self.path}, frame {self.names[index]}"
        cloud = self._bag.read(self.topics.cloud, pair.cloud_stamp, pair.cloud_logged)
        image_message = self._bag.read(self.topics.image, pair.image_stamp, pair.image_logged)
        image = image_from_message(image_message, f"{where}, {self.topics.image}")
        T_cam_lidar = self._frames.lookup(self._image_frame, self._cloud_frame, pair.cloud_stamp)
        return Sample(
            name=self.names[index],
            image=image,
            camera=self._camera(pair.image_stamp, image.shape[1], image.shape[0]),
            cloud=cloud_from_message(cloud, f"{where}, {self.topics.cloud}"),
            T_cam_lidar=T_cam_lidar,
            T_world_lidar=self._world(pair.cloud_stamp),
            stamp_image=pair.image_stamp * 1e-9,
            stamp_cloud=pair.cloud_stamp * 1e-9,
            rig=self._rig(pair.cloud_stamp, self.names[index], T_cam_lidar),
        )

    def _camera(self, stamp: int, width: int, height: int) -> Camera:
        """From the CameraInfo nearest in time: a zoom changes it, most cameras repeat one."""
        info = self._infos[nearest(np.array([stamp]), self._info_stamps)[0]]
        return camera_from_message(info, width, height, self._rectified, f"{self.path}, {self.topics.info}")

    def _world(self, stamp: int) -> np.ndarray | None:
        poses = (self._frames.lookup(frame, self._cloud_frame, stamp) for frame in WORLD_FRAMES)
        return next((T for T in poses if T is not None), None)

    def _rig(self, stamp: int, name: str, T_cam_lidar: np.ndarray | None) -> str:
        """One rig per camera, unless a joint between camera and LiDAR moves: then every frame is its own."""
        rig = f"{self.path.stem}{self.topics.image}"
        is_rigid = T_cam_lidar is None or self._frames.is_static(self._image_frame, self._cloud_frame, stamp)
        return rig if is_rigid else f"{rig}/{name}"

    def _facts(self) -> dict[str, Any]:
        facts = sample_facts(self[0])
        used = {"image": self.topics.image, "cloud": self.topics.cloud, "camera_info": self.topics.info}
        notes = [f"other {what}: {', '.join(topics)}" for what, topics in (
            ("cameras", self.topics.other_images), ("scans", self.topics.other_clouds)) if topics]
        if not facts["has_truth"]:
            notes.append(f"no transform connects {self._cloud_frame!r} with {self._image_frame!r}, so the extrinsic is "
                         "unknown")
        return facts | {"topics": used} | ({"notes": notes} if notes else {})


def _pair(clouds: Stream, images: Stream, slop: float, topics: Topics, path: Path) -> list[Pair]:
    """Scans and images that are each other's nearest within `slop` seconds, by the scans' stamps."""
    if not slop > 0:
        raise InputError(f"slop={slop} must be a positive number of seconds")
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


def read_frames(bag: BagFile, topics: Collection[str]) -> FrameTree:
    """All transforms recorded on some topics; those of a topic that ends in tf_static hold for ever."""
    tree = FrameTree()
    for topic, logged, message in bag.messages(topics):
        for transform in message.transforms:
            parent, child = transform.header.frame_id, transform.child_frame_id
            T = transform_from_message(transform.transform, f"{bag.path}, {topic}, {parent} -> {child}")
            tree.add(parent, child, T, stamp_ns(transform.header) or logged, topic.endswith(TF_STATIC))
    return tree
