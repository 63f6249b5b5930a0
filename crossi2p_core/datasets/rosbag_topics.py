"""Which topics of a bag are the camera, its calibration and the LiDAR."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..errors import InputError
from .rosbag_file import BagFile

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CLOUDS = ("sensor_msgs/msg/PointCloud2",)
INFOS = ("sensor_msgs/msg/CameraInfo",)
TRANSFORMS = ("tf2_msgs/msg/TFMessage",)
TF_STATIC = "tf_static"
TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg")  # image_transport appends these to a topic


@dataclass(frozen=True)
class Topics:
    """The choice. other_images, other_clouds: what else could have been chosen."""

    image: str
    info: str
    cloud: str
    transforms: list[str]
    other_images: list[str]
    other_clouds: list[str]


def choose_topics(bag: BagFile, camera: str | None = None, image_topic: str | None = None,
                  cloud_topic: str | None = None, info_topic: str | None = None) -> Topics:
    """By type, by alphabet and by the caller's wishes; see `RosbagSource`. Raises InputError saying what is missing."""
    clouds = sorted(_present(bag, CLOUDS, "scans (sensor_msgs/PointCloud2)"), key=_pictures_first)
    images = _present(bag, IMAGES, "images (sensor_msgs/Image or CompressedImage)")
    infos = _present(bag, INFOS, "camera calibration (sensor_msgs/CameraInfo)")
    info = _one_of(bag, info_topic, infos, "info_topic")
    image = _one_of(bag, image_topic, images, "image_topic") or _choose_image(bag, camera, images, infos, info)
    transforms, robot = _of_one_robot(bag.topics(*TRANSFORMS), image, clouds)
    cloud = _one_of(bag, cloud_topic, clouds, "cloud_topic") or min(clouds, key=lambda t: not _is_below(t, robot))
    info = info or _info_of(image, images, infos)
    if info is None:
        raise InputError(f"{bag.path}: no CameraInfo beside {image}; write '{bag.path}?info_topic=TOPIC' with "
                         f"one of {', '.join(infos)}")
    return Topics(image, info, cloud, transforms, [t for t in images if t != image],
                  [t for t in clouds if t != cloud])


def _present(bag: BagFile, types: tuple[str, ...], what: str) -> list[str]:
    topics = bag.topics(*types)
    if not topics:
        held = Counter(name for topic, name in bag.types.items() if bag.counts[topic])
        raise InputError(f"{bag.path} has no {what}; its messages are of {', '.join(sorted(held)) or 'no type at all'}")
    return topics


def _one_of(bag: BagFile, wish: str | None, topics: list[str], option: str) -> str | None:
    if wish is None or wish in topics:
        return wish
    raise InputError(f"{bag.path} has no such {option} {wish!r}; it has {', '.join(topics)}")


def _of_one_robot(transforms: list[str], image: str, clouds: list[str]) -> tuple[list[str], str]:
    """Those topics of transforms that tell of the robot with this camera, and its namespace: several robots' trees call
    different frames by the same name. Empty, with all topics, where there are no several robots: namespaces with
    transforms and scans of their own; drivers may have the former alone."""
    spaces = {topic: str(PurePosixPath(topic).parent) for topic in transforms}
    robots = {space for space in spaces.values() if space != "/" and any(_is_below(cloud, space) for cloud in clouds)}
    around = [space for space in robots if _is_below(image, space)]
    if len(robots) < 2 or not around:
        return transforms, ""
    robot = max(around, key=len)
    return [topic for topic, space in spaces.items() if space == "/" or _is_below(robot, space)], robot


def _is_below(topic: str, space: str) -> bool:
    return topic == space or topic.startswith(space.rstrip("/") + "/")


def _pictures_first(topic: str) -> tuple[bool, str]:
    """By alphabet, what a depth camera makes last."""
    return "depth" in topic.lower(), topic


def _choose_image(bag: BagFile, camera: str | None, images: list[str], infos: list[str], info: str | None) -> str:
    """The first image topic with a calibration, in the wanted namespace; pictures before depth images."""
    usable = sorted((t for t in images if info or _info_of(t, images, infos)), key=_pictures_first)
    if camera is not None:
        prefix = "/" + camera.strip("/")
        usable = [t for t in usable if _is_below(t, prefix)]
        if not usable:
            raise InputError(f"{bag.path} has no camera {camera!r} with a CameraInfo; its image topics are "
                             f"{', '.join(images)}, its CameraInfo topics {', '.join(infos)}")
    if not usable:
        raise InputError(f"{bag.path}: no image topic ({', '.join(images)}) has a CameraInfo beside it "
                         f"({', '.join(infos)}); write '{bag.path}?image_topic=TOPIC&info_topic=TOPIC'")
    return usable[0]


def _info_of(image: str, images: list[str], infos: list[str]) -> str | None:
    """The CameraInfo beside an image (`/cam/image_raw`, `/cam/camera_info`), or one level above where no other image
    lies beside that; or the only one, for the only image."""
    bases = {PurePosixPath(_base(topic)) for topic in images}
    for level, folder in enumerate(PurePosixPath(_base(image)).parents[:2]):
        beside = str(folder / "camera_info")
        if beside in infos and not (level and any(base.parent == folder for base in bases)):
            return beside
    return infos[0] if len(infos) == 1 and len({_base(t) for t in images}) == 1 else None


def _base(image: str) -> str:
    """The topic without what image_transport appends."""
    path = PurePosixPath(image)
    return str(path.parent) if path.name in TRANSPORTS else image
