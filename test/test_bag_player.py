"""The bag player as a process of its own: what is heard over DDS is what the bag holds."""

from __future__ import annotations

import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from bags import START, T_CAM_LIDAR, RawBag, sample
from playback import Ear, nanoseconds, playing, words_of
from ros_here import own_network, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from test_rosbag import convert
from tf2_msgs.msg import TFMessage

from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.datasets.messages.clouds import cloud_from_message
from crossi2p_core.datasets.messages.images import image_from_message
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.datasets.rosbag_file import BagFile
from crossi2p_core.geometry import se3
from crossi2p_ros.bag_player.player import LAP_GAP_NS

SAMPLES = [sample(number) for number in range(5)]  # 0.4 s
IMAGES, INFOS, CLOUDS = "/camera/image_raw", "/camera/camera_info", "/lidar/points"
CLASSES = {IMAGES: Image, INFOS: CameraInfo, CLOUDS: PointCloud2, "/tf": TFMessage, "/tf_static": TFMessage}
WAIT = ("--wait", 10)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_bag(SAMPLES, path, storage="sqlite3")
    return path


def played(*arguments: object, classes: dict | None = None) -> tuple[Ear, str]:
    """What is heard while the player runs to its end, and what it says."""
    network = own_network()
    with running_node("listener", network) as (node, spin_until):
        ear = Ear(node, CLASSES if classes is None else classes)
        with playing(network, *WAIT, *arguments) as process:
            assert spin_until(lambda: process.poll() is not None, 30)
            spin_until(lambda: False, 0.2)
            return ear, words_of(process)


def recorded(bag: Path, topic: str) -> list[bytes]:
    """What the bag holds, each filled up to whole words of four bytes, as DDS does on the way."""
    return [raw.ljust(-(-len(raw) // 4) * 4, b"\0") for _, _, raw in BagFile(bag).raw([topic])]


def test_every_message_arrives_byte_by_byte_when_it_is_due_and_the_clock_runs(bag: Path) -> None:
    rate = 0.25
    ear, said = played(bag, "--clock", "--rate", rate)
    for topic in CLASSES:
        assert ear.of(topic) == recorded(bag, topic), topic
    arrivals = ear.arrivals(CLOUDS)
    assert arrivals[-1] - arrivals[0] > 0.5 * 0.4 / rate  # the first may be late on a busy machine; at rate 1 it is 0.4
    first, last = BagFile(bag).span()
    assert ear.times == sorted(ear.times) and first <= ear.times[0] and ear.times[-1] <= last + 10**9
    ticks = np.diff([t for t in ear.times if t > first])
    assert len(ticks) > 40 and np.median(ticks) == pytest.approx(10**9 * rate / 100, rel=0.3)
    assert "finished: 21 messages sent" in said and "\r" not in said


def test_a_latecomer_hears_the_static_transform(bag: Path) -> None:
    network = own_network()
    with playing(network, bag, "--loop") as process, running_node("early", network) as (early, spin_early):
        ear = Ear(early, {CLOUDS: PointCloud2})
        assert spin_early(lambda: len(ear.heard) > 1)
        with running_node("late", network) as (late, spin_until):
            latecomer = Ear(late, {"/tf_static": TFMessage})
            assert spin_until(lambda: bool(latecomer.heard))
        process.send_signal(signal.SIGINT)
        words_of(process)
    assert latecomer.of("/tf_static")[0] == recorded(bag, "/tf_static")[0]


def test_a_decalibrated_transform_is_wrong_by_exactly_what_is_said(bag: Path) -> None:
    ear, said = played(bag, "--decalibrate", "2,10", "--seed", 3, "--topics", "/tf,/tf_static")
    (message,) = ear.messages("/tf_static")
    T = se3.inverse(transform_from_message(message.transforms[0].transform, "the player"))
    assert se3.rotation_error_deg(T, T_CAM_LIDAR) == pytest.approx(2, abs=1e-9)
    assert se3.translation_error_m(T, T_CAM_LIDAR) == pytest.approx(0.1, abs=1e-9)
    assert "decalibrated by 2.000 deg and 10.00 cm" in said and "lidar -> camera_optical" in said
    assert ear.of("/tf") == recorded(bag, "/tf")
    assert not ear.of(CLOUDS)


@pytest.mark.parametrize("onward", [False, True])
def test_a_loop_jumps_back_or_goes_on_and_ends_by_a_signal(bag: Path, onward: bool) -> None:
    network = own_network()
    with running_node("listener", network) as (node, spin_until):
        ear = Ear(node, CLASSES)
        with playing(network, bag, "--clock", "--loop", *["--onward"] * onward, *WAIT) as process:
            assert spin_until(lambda: len(ear.of(CLOUDS)) >= 3 * len(SAMPLES), 30)
            process.send_signal(signal.SIGINT)
            asked = time.monotonic()
            assert "stopped" in words_of(process)
            assert time.monotonic() - asked < 2
    stamps = np.array([nanoseconds(cloud.header.stamp) for cloud in ear.messages(CLOUDS)])[:3 * len(SAMPLES)]
    stamps = stamps.reshape(3, -1)
    begin, end = BagFile(bag).span()
    lap = end - begin + LAP_GAP_NS if onward else 0
    assert np.array_equal(stamps, stamps[0] + lap * np.arange(3)[:, None])
    assert ear.of(CLOUDS)[:len(SAMPLES)] == recorded(bag, CLOUDS)
    assert (min(np.diff(ear.times)) >= 0) == onward
    moving = [nanoseconds(message.transforms[0].header.stamp) for message in ear.messages("/tf")]
    assert moving[len(SAMPLES)] - moving[0] == lap


def test_a_clock_that_begins_at_zero_goes_round(tmp_path: Path) -> None:
    with RawBag(tmp_path / "early") as early:
        for k, each in enumerate(SAMPLES):
            early.cloud(replace(each, stamp_cloud=0.01 + 0.1 * k), CLOUDS)
    network = own_network()
    with running_node("listener", network) as (node, spin_until):
        ear = Ear(node, {CLOUDS: PointCloud2})
        with playing(network, tmp_path / "early", "--clock", "--loop", *WAIT) as process:
            assert spin_until(lambda: len(ear.of(CLOUDS)) >= 2 * len(SAMPLES), 30), words_of(process)
            process.send_signal(signal.SIGINT)
            assert "stopped" in words_of(process)


def test_a_late_start_leaves_out_what_was_but_not_what_holds(bag: Path) -> None:
    renamed = {"/front": PointCloud2, "/tf_static": TFMessage}
    ear, _ = played(bag, "--start", 0.25, "--topics", f"{CLOUDS},/tf_static", "--ros-args", "-r", f"{CLOUDS}:=/front",
                    classes=renamed)
    stamps = [nanoseconds(cloud.header.stamp) for cloud in ear.messages("/front")]
    assert stamps == [round((START + 0.1 * k) * 1e9) for k in (3, 4)]
    assert ear.of("/tf_static") == recorded(bag, "/tf_static")


def test_a_ros_1_bag_arrives_with_the_same_contents(bag: Path, tmp_path: Path) -> None:
    convert(bag, tmp_path / "drive.bag", None, "")
    ear, _ = played(tmp_path / "drive.bag")
    counts = {topic: len(ear.of(topic)) for topic in CLASSES}
    assert counts == {topic: len(recorded(bag, topic)) for topic in CLASSES}
    for image, cloud, info, one in zip(ear.messages(IMAGES), ear.messages(CLOUDS), ear.messages(INFOS), SAMPLES,
                                       strict=True):
        assert np.array_equal(image_from_message(image, IMAGES), one.image)
        assert np.array_equal(cloud_from_message(cloud, CLOUDS).xyz, one.cloud.xyz)
        assert np.array_equal(np.reshape(info.k, (3, 3)), one.camera.K) and info.header.frame_id == "camera_optical"
        assert nanoseconds(cloud.header.stamp) == round(one.stamp_cloud * 1e9)
    assert ear.of("/tf_static") == recorded(bag, "/tf_static")


def test_a_type_that_nobody_has_is_left_out_with_words(tmp_path: Path) -> None:
    with RawBag(tmp_path / "odd") as odd:
        odd.cloud(SAMPLES[0], CLOUDS)
        odd.add_unknown("/odd", SAMPLES[0])
        odd.cloud(SAMPLES[0], "/cam-1/points")
    ear, said = played(tmp_path / "odd", classes={CLOUDS: PointCloud2})
    assert ear.of(CLOUDS) == recorded(tmp_path / "odd", CLOUDS)
    assert "/odd is left out: the ROS package odd_msgs is not installed" in said
    assert "/cam-1/points is left out: Invalid topic name" in said


@pytest.mark.parametrize(("arguments", "words"), [
    (["--ros-args", "odd"], "ROS does not understand what follows --ros-args: ['odd']"),
    (["--ros-args", "-r", "odd"], "Couldn't parse remap rule: '-r odd'"),
    (["--topics", "/odd"], "no messages on a topic '/odd'"),
])
def test_bad_input_is_one_sentence(bag: Path, arguments: list[str], words: str) -> None:
    with playing(own_network(), bag, *arguments) as process:
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 2 and said.startswith("bag_player: ") and words in said and said.count("\n") == 1


def test_a_damaged_bag_ends_the_player_with_words(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").mkdir()
    for file in bag.iterdir():
        (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[:20_000] if file.suffix == ".db3" else
                                                   file.read_bytes())
    with playing(own_network(), tmp_path / "cut") as process:
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    assert re.search(r"bag_player: the bag \S+cut cannot be read .* it may be truncated", said), said
    assert "Traceback" not in said
