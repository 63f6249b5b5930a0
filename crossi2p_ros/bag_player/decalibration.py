"""One static transform of a bag made wrong, so that camera and LiDAR disagree by a known amount: for demonstrations."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossi2p_core.datasets.rosbag import read_frames
from crossi2p_core.datasets.rosbag_file import BagFile
from crossi2p_core.datasets.rosbag_frames import FrameTree, frame_name
from crossi2p_core.datasets.rosbag_topics import choose_topics
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import xyzw_from_rotation


@dataclass(frozen=True)
class Decalibration:
    """The wrong T_parent_child (4, 4) of one static link, and the T_cam_lidar (4, 4) before and after it."""

    parent: str
    child: str
    T_parent_child: np.ndarray
    T_true: np.ndarray
    T_wrong: np.ndarray

    def apply(self, transform: Any) -> bool:
        """Replace a TransformStamped by the wrong one if it is the link that is meant; returns whether it was."""
        if (frame_name(transform.header.frame_id), frame_name(transform.child_frame_id)) != (self.parent, self.child):
            return False
        body = transform.transform
        body.translation.x, body.translation.y, body.translation.z = map(float, self.T_parent_child[:3, 3])
        quaternion = xyzw_from_rotation(self.T_parent_child[:3, :3])
        body.rotation.x, body.rotation.y, body.rotation.z, body.rotation.w = map(float, quaternion)
        return True

    def words(self) -> str:
        """By how much, measured, and where."""
        return (f"decalibrated by {se3.rotation_error_deg(self.T_wrong, self.T_true):.3f} deg and "
                f"{100 * se3.translation_error_m(self.T_wrong, self.T_true):.2f} cm: the static transform "
                f"{self.parent} -> {self.child} is wrong on purpose")


def decalibrate(bag: BagFile, degrees: float, centimetres: float, seed: int, camera: str | None,
                played: Collection[str]) -> Decalibration:
    """T_cam_lidar turned by exactly `degrees` and moved by exactly `centimetres`, in directions drawn from `seed`.

    The link nearest to the camera takes it all. camera: image topic or namespace, None for the bag's first. played:
    the topics that will be played. Raises InputError where no static transforms lead from the LiDAR to the camera,
    where the bag lacks one of the two, and where no transforms are played.
    """
    topics = choose_topics(bag, camera)
    if not set(topics.transforms) & set(played):
        raise InputError("--decalibrate: no topic with transforms is played, so nobody would see the wrong one; add "
                         "/tf_static to --topics")
    camera_frame, lidar_frame = (frame_name(bag.first_frame(topic)) for topic in (topics.image, topics.cloud))
    tree, stamp = read_frames(bag, topics.transforms), bag.span()[0]
    T_true = tree.lookup(camera_frame, lidar_frame, stamp)
    edge = tree.nearest_edge(camera_frame, lidar_frame, stamp)
    if T_true is None or edge is None or not tree.is_static(camera_frame, lidar_frame, stamp):
        raise InputError(f"--decalibrate: {bag.path} has no static transforms that connect {lidar_frame!r} with "
                         f"{camera_frame!r}; leave it out, or write the bag with the extrinsic on /tf_static")
    T_wrong = displaced(T_true, degrees, centimetres / 100, np.random.default_rng(seed))
    parent, child = edge
    # One of the link's ends belongs to the camera's side of the way, the other to the LiDAR's.
    if child == camera_frame:
        T_parent_child = _known(tree, parent, lidar_frame, stamp) @ se3.inverse(T_wrong)
    else:
        T_parent_child = T_wrong @ se3.inverse(_known(tree, child, lidar_frame, stamp))
    return Decalibration(parent, child, T_parent_child, T_true, T_wrong)


def displaced(T: np.ndarray, degrees: float, metres: float, rng: np.random.Generator) -> np.ndarray:
    """T (4, 4) turned by exactly `degrees` about a random axis and moved by exactly `metres` in a random direction."""
    axis, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    return se3.make(se3.exp_so3(math.radians(degrees) * axis) @ T[:3, :3], T[:3, 3] + metres * direction)


def _known(tree: FrameTree, target: str, source: str, stamp: int) -> np.ndarray:
    """T_target_source (4, 4) of frames on the way between two that are connected."""
    T = tree.lookup(target, source, stamp)
    assert T is not None
    return T
