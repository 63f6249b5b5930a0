"""The parts of the bag player in one process: what is changed in messages, what is offered, what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from bags import START, T_CAM_LIDAR, RawBag, sample
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from rosbags.interfaces import ConnectionExtRosbag1, ConnectionExtRosbag2, QosDurability, QosReliability
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage

from crossi2p_core.datasets.bag_messages import BagMessages
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_ros.bag_player.command import app
from crossi2p_ros.bag_player.decalibration import decalibrate, displaced
from crossi2p_ros.bag_player.edits import Edits
from crossi2p_ros.bag_player.offers import MOST_LATCHED, offer_of
from crossi2p_ros.bag_player.options import PlayOptions
from crossi2p_ros.bag_player.progress_line import ProgressLine
from crossi2p_ros.bag_player.recording import Recording

STAMP = round(START * 1e9)
BASE_LIDAR = se3.exp_se3(np.array([0.02, -0.01, 0.3, 1.0, 0.0, 1.8]))
BASE_MOUNT = se3.exp_se3(np.array([0.0, 0.1, 0.2, 1.5, 0.2, 1.2]))


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_bag([sample(number) for number in range(2)], path)
    return path


def bag_of(path: Path, *links: tuple[str, str, np.ndarray], topic: str = "/tf_static") -> Recording:
    """One frame, and some transforms."""
    one = sample(0)
    with RawBag(path) as raw:
        raw.camera("/front", one)
        raw.cloud(one)
        for parent, child, T in links:
            raw.add(topic, raw.make.transforms([raw.make.transform(T, STAMP, parent, child)]), STAMP)
    return Recording(path)


def after_playing(recording: Recording, edits: Edits) -> dict[tuple[str, str], np.ndarray]:
    """T_parent_child by link, as listeners of /tf_static get them."""
    found = {}
    for topic, _, raw in recording.messages():
        if topic == "/tf_static":
            for transform in deserialize_message(edits(topic, raw, 0), TFMessage).transforms:
                link = transform.header.frame_id, transform.child_frame_id
                found[link] = transform_from_message(transform.transform, "test")
    return found


@given(st.floats(0, 180), st.floats(0, 10), st.integers(0, 1000))
def test_a_displacement_has_exactly_the_size_asked_for(degrees: float, metres: float, seed: int) -> None:
    T = displaced(T_CAM_LIDAR, degrees, metres, np.random.default_rng(seed))
    assert se3.rotation_error_deg(T, T_CAM_LIDAR) == pytest.approx(degrees, abs=1e-5)
    assert se3.translation_error_m(T, T_CAM_LIDAR) == pytest.approx(metres, abs=1e-9)


@pytest.mark.parametrize("links", [
    [("base", "lidar", BASE_LIDAR), ("base", "mount", BASE_MOUNT), ("mount", "camera", "rest")],
    [("base", "lidar", BASE_LIDAR), ("base", "camera", "rest")],
    [("camera", "lidar", "rest")],
    [("camera", "base", se3.inverse(BASE_MOUNT)), ("base", "lidar", "rest")],
], ids=["chain", "siblings", "camera above", "camera on top"])
def test_one_link_takes_all_of_it(links: list, tmp_path: Path) -> None:
    recording = bag_of(tmp_path / "bag", *complete(links))
    wrong = decalibrate(recording.bag, 2, 10, 5, None, recording.classes)
    before, after = (after_playing(recording, Edits(recording.classes, each)) for each in (None, wrong))
    changed = [link for link in before if not np.allclose(before[link], after[link], atol=1e-12)]
    assert len(changed) == 1 and "camera" in changed[0] and changed == [(wrong.parent, wrong.child)]
    T = extrinsic(after)
    assert np.allclose(extrinsic(before), T_CAM_LIDAR)
    assert se3.rotation_error_deg(T, T_CAM_LIDAR) == pytest.approx(2) and "2.000 deg and 10.00 cm" in wrong.words()
    assert se3.translation_error_m(T, T_CAM_LIDAR) == pytest.approx(0.1)
    assert decalibrate(recording.bag, 2, 10, 5, None, recording.classes).words() == wrong.words()
    other = decalibrate(recording.bag, 2, 10, 6, None, recording.classes)
    assert not np.allclose(other.T_wrong, wrong.T_wrong)


def complete(links: list) -> list[tuple[str, str, np.ndarray]]:
    """Fills in the one link that makes the whole tree say T_CAM_LIDAR."""
    known = [(parent, child, T) for parent, child, T in links if not isinstance(T, str)]
    (parent, child), = [(parent, child) for parent, child, T in links if isinstance(T, str)]
    up = poses(known)
    if child == "camera":  # T_parent_camera = T_parent_lidar T_lidar_camera
        T = se3.inverse(up.get(parent, np.eye(4))) @ up["lidar"] @ se3.inverse(T_CAM_LIDAR)
    else:  # T_parent_lidar = T_parent_camera T_camera_lidar
        T = se3.inverse(up.get(parent, np.eye(4))) @ up.get("camera", np.eye(4)) @ T_CAM_LIDAR
    return [*known, (parent, child, T)]


def poses(links: list[tuple[str, str, np.ndarray]]) -> dict[str, np.ndarray]:
    """T_root_frame of each frame; parents come before children."""
    found: dict[str, np.ndarray] = {}
    for parent, child, T in links:
        found.setdefault(parent, np.eye(4))
        found[child] = found[parent] @ T
    return found


def extrinsic(links: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
    """T_camera_lidar of a tree."""
    found = poses([(*link, T) for link, T in links.items()])
    return se3.inverse(found["camera"]) @ found["lidar"]


def test_what_cannot_be_decalibrated_is_refused(tmp_path: Path, bag: Path) -> None:
    nothing = bag_of(tmp_path / "none", ("base", "other", np.eye(4)))
    with pytest.raises(InputError, match="no static transforms that connect 'lidar' with 'camera'"):
        decalibrate(nothing.bag, 2, 10, 0, None, nothing.classes)
    moving = bag_of(tmp_path / "moving", ("lidar", "camera", np.eye(4)), topic="/tf")
    with pytest.raises(InputError, match="no static transforms"):
        decalibrate(moving.bag, 2, 10, 0, None, moving.classes)
    with pytest.raises(InputError, match="add /tf_static to --topics"):
        decalibrate(Recording(bag).bag, 2, 10, 0, None, ["/lidar/points"])


@pytest.mark.parametrize("order", ["little", "big"])
def test_only_the_leading_stamp_is_moved(order: str) -> None:
    make = BagMessages()
    image = make.image(sample(0).image, STAMP, "camera", "raw")
    raw = bytes(make.typestore.serialize_cdr(image, "sensor_msgs/msg/Image", little_endian=order == "little"))
    edits = Edits({"/image": Image, "/cloud": PointCloud2})
    moved = deserialize_message(edits("/image", raw, 1_500_000_000), Image)
    assert Time.from_msg(moved.header.stamp).nanoseconds == STAMP + 1_500_000_000
    moved.header.stamp = Time(nanoseconds=STAMP).to_msg()
    assert moved == deserialize_message(raw, Image)
    assert edits("/image", raw, 0) == raw
    empty = serialize_message(Image())
    assert edits("/image", empty, 10**9) == empty


@pytest.mark.parametrize(("profiles", "expected"), [
    ([], (True, False, 10)),
    ([("BEST_EFFORT", "VOLATILE", 5)], (False, False, 10)),
    ([("BEST_EFFORT", "VOLATILE", 5), ("RELIABLE", "VOLATILE", 50)], (True, False, 50)),
    ([("RELIABLE", "TRANSIENT_LOCAL", 1)], (True, True, 30)),
])
def test_the_strongest_recorded_offer_counts(profiles: list, expected: tuple) -> None:
    recorded = [BagMessages.qos(False)._replace(reliability=QosReliability[reliability], depth=depth,
                                                durability=QosDurability[durability])
                for reliability, durability, depth in profiles]
    connections = [SimpleNamespace(ext=ConnectionExtRosbag2("cdr", [each])) for each in recorded]
    offer = offer_of("/topic", connections, 30)
    assert (offer.reliable, offer.latched, offer.depth) == expected


def test_static_transforms_are_latched_however_they_were_recorded() -> None:
    latching = [SimpleNamespace(ext=ConnectionExtRosbag1(callerid="/map_server", latching=1))]
    assert offer_of("/tf_static", [], 3).latched and offer_of("/map", latching, 1).latched
    assert offer_of("/tf_static", [], 10**6).depth == MOST_LATCHED


@pytest.mark.parametrize(("wish", "words"), [
    ({"rate": 0.0}, "--rate must be a number from 0.001 to 1000; it is 0"),
    ({"rate": float("nan")}, "--rate must be"),
    ({"start": -1.0}, "--start must be a number at least 0"),
    ({"start": float("inf")}, "--start must be"),
    ({"wait": -1.0}, "--wait"),
    ({"clock_hz": 0.0}, "--clock-hz"),
    ({"seed": -1}, "--seed"),
    ({"onward": True}, "give --loop too"),
    ({"decalibrate": (-1.0, 10.0)}, "the angle in degrees"),
    ({"decalibrate": (1.0, float("inf"))}, "the distance in cm"),
])
def test_wishes_that_cannot_be_had_are_refused(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PlayOptions(Path("drive"), **wish)


def test_bags_that_cannot_be_played_are_refused(bag: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no bag; give a folder"):
        Recording(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"'/lidar/point'; did you mean /lidar/points\?"):
        Recording(bag, ["/lidar/point"])
    with pytest.raises(InputError, match=r"beyond the end of .* which is 0.1 s long"):
        Recording(bag, start=5)
    with RawBag(tmp_path / "odd") as odd:
        odd.add_unknown("/odd", sample(0))
    with pytest.raises(InputError, match=r"nothing that can be played .*odd_msgs is not installed"):
        Recording(tmp_path / "odd")
    with pytest.raises(InputError, match="write degrees and centimetres, such as 2,10"):
        app([str(bag), "--decalibrate", "2deg"])


def test_a_progress_line_is_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown, piped = Terminal(), io.StringIO()
    for out in (shown, piped):
        line = ProgressLine(4.0, out)
        line.show(1.5, 12, 1)
        line.show(1.6, 13, 1)
        line.clear()
    assert shown.getvalue().count("1.5 of 4.0 s   12 messages   lap 2") == 1 and "13" not in shown.getvalue()
    assert piped.getvalue() == ""
