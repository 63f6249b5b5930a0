"""`crossi2p bag`: every layout as a bag, read back by our reader and, independently, by that of `rosbags`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
from bags import START, sample
from command_line import assert_refused, crossi2p
from nuscenes_tree import FORWARD, LIDAR_QUATERNION, K, Tree, picture, scan
from nuscenes_tree import START as NUSCENES_START

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.bag_clock import MOST_NS, START_NS, Clock
from crossi2p_core.datasets.bag_layout import BagLayout
from crossi2p_core.datasets.bag_writer import without_times, write_bag
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.knock import random_knock
from crossi2p_core.types import Sample

STORAGES = ("mcap", "sqlite3")


def nuscenes(folder: Path) -> Path:
    """Two key frames in which the vehicle moves between scan and image, so that the extrinsic differs per frame."""
    tree = Tree(folder)
    lidar, camera = tree.mount("LIDAR_TOP", (0.9, 0, 1.8), LIDAR_QUATERNION), tree.mount("CAM_FRONT", (1.7, 0, 1.5),
                                                                                        FORWARD, K)
    scene = tree.add("scene", name="scene-0001", nbr_samples=2)
    for k in range(2):
        stamp = NUSCENES_START + 500_000 * k
        token = tree.add("sample", timestamp=stamp, scene_token=scene)
        tree.capture(token, lidar, stamp, f"samples/LIDAR_TOP/{k}.pcd.bin", scan(k), ((5.0 * k, 0, 0), (1, 0, 0, 0)))
        tree.capture(token, camera, stamp + 40_000, f"samples/CAM_FRONT/{k}.png", picture(k),
                     ((5.0 * k + 0.4 + 0.1 * k, 0, 0), (1, 0, 0, 0)))
    return tree.write()


def synthetic(folder: Path) -> str:
    return "synthetic:yard?seed=3&frames=2&camera=small&lidar=vlp16"


LAYOUTS: list[Callable[[Path], Any]] = [
    recordings.write_kitti_raw, recordings.write_kitti_odometry, recordings.write_kitti_object, recordings.write_pair,
    nuscenes, synthetic,
]


def messages(path: Path) -> list[tuple[str, int, Any, Any]]:
    """(topic, time of recording ns, message, connection) of a whole bag in the order in which a player sends them."""
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        return [(c.topic, logged, reader.deserialize(raw, c.msgtype), c) for c, logged, raw in reader.messages()]


def stamp_of(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def assert_same_frame(read: Sample, written: Sample) -> None:
    np.testing.assert_array_equal(read.image, written.image)
    for name in ("xyz", "intensity", "ring", "time"):
        np.testing.assert_array_equal(getattr(read.cloud, name), getattr(written.cloud, name))
    np.testing.assert_array_equal(read.camera.K, written.camera.K)
    assert read.camera.model == written.camera.model
    assert written.T_cam_lidar is not None
    np.testing.assert_allclose(read.T_cam_lidar, written.T_cam_lidar, atol=1e-9)
    assert (read.T_world_lidar is None) == (written.T_world_lidar is None)
    if written.T_world_lidar is not None:
        np.testing.assert_allclose(read.T_world_lidar, written.T_world_lidar, atol=1e-9)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("make", LAYOUTS)
def test_every_layout_comes_back_as_it_was(tmp_path: Path, make: Callable[[Path], Any], storage: str) -> None:
    source, out = make(tmp_path / "recording"), tmp_path / "bag"
    outcome = crossi2p("bag", source, out, "--storage", storage)
    written = open_source(source)
    assert (outcome.code, outcome.err) == (0, "")  # no progress bar where nobody looks
    assert outcome.out == f"{len(written)} frames in {out}\n"
    for read, frame in zip(open_source(out), written, strict=True):
        # whoever reads times would undo a motion that never bent a scan of one instant
        assert_same_frame(read, without_times(frame) if written.instant else frame)
    topics = {topic for topic, *_ in messages(out)}
    assert "/tf_static" in topics or make in (nuscenes, recordings.write_kitti_object)


def test_real_frames_come_back_as_they_were(tmp_path: Path, data_dir: Path) -> None:
    assert crossi2p("bag", data_dir / "kitti_raw", tmp_path / "bag", "--frames", "2:4").code == 0
    for read, frame in zip(open_source(tmp_path / "bag"), open_source(data_dir / "kitti_raw")[2:4], strict=True):
        assert_same_frame(read, frame)
        assert read.stamp_cloud == pytest.approx(frame.stamp_cloud, abs=1e-6)


@pytest.mark.parametrize("storage", STORAGES)
def test_types_frames_and_qos_are_those_that_players_need(tmp_path: Path, storage: str) -> None:
    from rosbags.interfaces import QosDurability, QosReliability

    write_bag([sample(k) for k in range(3)], tmp_path / "bag", storage=storage)
    found = messages(tmp_path / "bag")
    assert {(c.topic, c.msgtype) for *_, c in found} == {
        ("/camera/image_raw", "sensor_msgs/msg/Image"), ("/camera/camera_info", "sensor_msgs/msg/CameraInfo"),
        ("/lidar/points", "sensor_msgs/msg/PointCloud2"), ("/tf", "tf2_msgs/msg/TFMessage"),
        ("/tf_static", "tf2_msgs/msg/TFMessage")}
    for topic, logged, message, connection in found:
        qos = connection.ext.offered_qos_profiles[0]
        assert qos.reliability == QosReliability.RELIABLE
        assert (qos.durability == QosDurability.TRANSIENT_LOCAL) == (topic == "/tf_static")
        stamped = message.transforms[0] if topic.startswith("/tf") else message
        assert stamp_of(stamped) == logged
        assert stamped.header.frame_id == {"/tf": "odom", "/tf_static": "lidar", "/lidar/points": "lidar"}.get(
            topic, "camera_optical")
    assert found[0][0] == "/tf_static" and len([t for t, *_ in found if t == "/tf_static"]) == 1
    fields = {f.name: f.datatype for t, _, m, _ in found if t == "/lidar/points" for f in m.fields}
    assert fields == {"x": 7, "y": 7, "z": 7, "intensity": 7, "ring": 4, "time": 7}


def test_names_are_as_asked_for(tmp_path: Path) -> None:
    source, out = recordings.write_kitti_odometry(tmp_path / "recording"), tmp_path / "bag"
    outcome = crossi2p("bag", source, out, "--compressed", "--frames", "::2", "--image-topic", "/front/left/image",
                       "--cloud-topic", "/velo/points", "--camera-frame", "left", "--lidar-frame", "velo",
                       "--world-frame", "map")
    assert outcome.code == 0
    found = messages(out)
    frames = {(topic, message.header.frame_id) for topic, _, message, _ in found if not topic.startswith("/tf")}
    assert frames == {("/front/left/image/compressed", "left"), ("/front/left/camera_info", "left"),
                      ("/velo/points", "velo")}
    edges = {(topic, t.header.frame_id, t.child_frame_id) for topic, _, message, _ in found
             if topic.startswith("/tf") for t in message.transforms}
    assert edges == {("/tf_static", "velo", "left"), ("/tf", "map", "velo")}
    read, written = open_source(out), open_source(source)
    assert len(read) == 2 and np.abs(read[1].image.astype(int) - written[2].image).mean() < 10
    np.testing.assert_allclose(read[1].T_world_lidar, written[2].T_world_lidar, atol=1e-9)


def test_a_knock_moves_the_cloud_and_nobody_tells_the_robot(tmp_path: Path) -> None:
    source, out = recordings.write_kitti_odometry(tmp_path / "recording"), tmp_path / "bag"
    assert crossi2p("bag", source, out, "--knock", "1.5,10@1").code == 0
    read, written = open_source(out), open_source(source)
    assert_same_frame(read[0], written[0])
    np.testing.assert_allclose(read[1].T_cam_lidar, written[1].T_cam_lidar, atol=1e-9)
    a, b = read[1].cloud.xyz.astype(float), written[1].cloud.xyz.astype(float)  # b = T a
    left, _, right = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    R = (left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right).T
    assert np.degrees(np.arccos((np.trace(R) - 1) / 2)) == pytest.approx(1.5, abs=1e-3)
    T_cam_lidar = written[1].T_cam_lidar
    moved = se3.make(R, b.mean(0) - R @ a.mean(0))
    knock = T_cam_lidar @ moved @ se3.inverse(T_cam_lidar)
    np.testing.assert_allclose(knock, se3.exp_se3(random_knock(1.5, 0.10, np.random.default_rng(0))), atol=1e-4)
    late = crossi2p("bag", source, tmp_path / "late", "--knock", "1,5@99")
    assert_refused(late, "--knock 1,5@99", "nobody would see")


def test_stamps_grow_whatever_the_order(tmp_path: Path) -> None:
    source = recordings.write_kitti_raw(tmp_path / "recording", frames=3)
    assert "times of 2 of them did not grow" in crossi2p("bag", source, tmp_path / "bag", "--frames", "2,1,0",
                                                         "--hz", "4").out
    stamps = [stamp_of(m) for topic, _, m, _ in messages(tmp_path / "bag") if topic == "/lidar/points"]
    assert np.diff(stamps).tolist() == [250_000_000] * 2
    np.testing.assert_array_equal(open_source(tmp_path / "bag")[0].image, open_source(source)[2].image)


def test_the_clock_keeps_real_times_and_replaces_what_is_none() -> None:
    def stamps(*times: tuple[float | None, float | None], hz: float = 10.0) -> list[tuple[int, int]]:
        clock = Clock(hz)
        return [clock.stamps(replace(sample(0), stamp_cloud=c, stamp_image=i)) for c, i in times]

    assert stamps((START, START + 1)) == [(START_NS, START_NS + 10**9)]
    assert stamps((None, None), (None, None), hz=5) == [(START_NS,) * 2, (START_NS + 2 * 10**8,) * 2]
    assert stamps((None, START), (START + 2, None)) == [(START_NS,) * 2, (START_NS + 2 * 10**9,) * 2]
    assert stamps((0.0, 0.0), (1.0, 1.5)) == [(START_NS,) * 2, (START_NS + 10**9, START_NS + 15 * 10**8)]
    repeated = stamps((START, START), (START, START), (START + 1, START + 1))
    assert repeated == [(START_NS + k,) * 2 for k in (0, 10**8, 11 * 10**8)]
    assert stamps((4e9, 4e9))[0] == (START_NS,) * 2  # beyond the int32 seconds of ROS
    with pytest.raises(InputError, match="s apart"):
        stamps((0.0, START))
    for odd in (math.nan, math.inf, 1e300):
        with pytest.raises(InputError, match="are no times"):
            stamps((odd, START))
    with pytest.raises(InputError, match="after 2038"):
        late = Clock(1e-3)
        late._last = (MOST_NS, MOST_NS)
        late.stamps(replace(sample(0), stamp_cloud=None, stamp_image=None))


def test_frames_with_and_without_extrinsic_do_not_share_a_bag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of 1 of the 2 frames"):
        write_bag([sample(0), sample(1, T_cam_lidar=None)], tmp_path / "bag")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "words"), [
    (("--hz", "0"), "hz=0"), (("--hz", "nan"), "hz=nan"), (("--hz", "1e-300"), "hz=1e-300"),
    (("--storage", "zip"), "mcap, sqlite3"),
    (("--cloud-topic", "points"), "no topic"), (("--image-topic", "/a//b"), "no topic"),
    (("--image-topic", "/tf"), "both '/tf'"), (("--image-topic", "/a/camera_info"), "'/a/camera_info'"),
    (("--lidar-frame", ""), "no frame"), (("--camera-frame", "/cam"), "no frame"),
    (("--lidar-frame", "odom"), "both 'odom'"), (("--frames", "9"), "numbered 0 to 0"),
])
def test_bad_options_are_refused_and_leave_nothing(tmp_path: Path, arguments: tuple[str, str], words: str) -> None:
    source = recordings.write_pair(tmp_path / "pair")
    assert_refused(crossi2p("bag", source, tmp_path / "new" / "bag", *arguments), words)
    assert [file.name for file in tmp_path.iterdir()] == ["pair"]


def test_damage_on_the_way_leaves_nothing_and_an_existing_bag_stays(tmp_path: Path) -> None:
    source = recordings.write_kitti_raw(tmp_path / "recording", frames=3)
    scan_file = source / "velodyne_points/data/0000000002.bin"
    scan_file.write_bytes(scan_file.read_bytes()[:-3])
    assert_refused(crossi2p("bag", source, tmp_path / "deep/er/bag"), "0000000002.bin")
    assert [file.name for file in tmp_path.iterdir()] == ["recording"]
    assert crossi2p("bag", source, tmp_path / "bag", "--frames", ":2").code == 0
    assert_refused(crossi2p("bag", source, tmp_path / "bag", "--frames", ":1"), "exists already")
    assert len(open_source(tmp_path / "bag")) == 2


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupted():
        yield sample(0)
        raise SystemExit(130)  # what the command line makes of Ctrl-C

    with pytest.raises(SystemExit):
        write_bag(interrupted(), tmp_path / "deep" / "bag")
    assert not list(tmp_path.iterdir())


def test_rings_that_no_uint16_holds_are_written_as_they_are(tmp_path: Path) -> None:
    one = sample(0)
    write_bag([replace(one, cloud=replace(one.cloud, ring=one.cloud.ring - 5))], tmp_path / "bag")
    rings = next(m for topic, _, m, _ in messages(tmp_path / "bag") if topic == "/lidar/points")
    assert next(f.datatype for f in rings.fields if f.name == "ring") == 5


def test_the_layout_names_the_calibration_beside_the_image() -> None:
    assert BagLayout(image_topic="/image").info_topic == "/camera_info"
    assert BagLayout(image_topic="/front/image_raw").info_topic == "/front/camera_info"


def test_the_clock_begins_with_the_earlier_of_image_and_scan() -> None:
    for cloud, image in ((5.0, 4.9), (4.9, 5.0)):
        assert min(Clock().stamps(replace(sample(0), stamp_cloud=cloud, stamp_image=image))) == START_NS


def test_a_part_of_an_instant_recording_is_instant() -> None:
    whole = open_source("synthetic:street?frames=3&camera=small")
    whole.instant = True
    assert whole[0:2].instant and whole[0:2].robot == whole.robot
