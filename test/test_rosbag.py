"""Bags written and read back exactly, the choice of topics, and damaged bags."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bags import HEIGHT, START, T_CAM_LIDAR, WIDTH, RawBag, sample

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.datasets.rosbag import RosbagSource, matches
from crossi2p_core.datasets.source import RobotNames
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3

SAMPLES = [sample(k) for k in range(3)]
STORAGES = ("mcap", "sqlite3")


@pytest.fixture(scope="module", params=STORAGES)
def bag(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bags") / f"drive_{request.param}"
    write_bag(SAMPLES, path, storage=request.param)
    return path


def assert_equal(one, other) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    for name in ("xyz", "intensity", "ring", "time"):
        np.testing.assert_array_equal(getattr(one.cloud, name), getattr(other.cloud, name))
    np.testing.assert_array_equal(one.camera.K, other.camera.K)
    np.testing.assert_array_equal(one.camera.distortion, other.camera.distortion)
    assert one.camera.model == other.camera.model
    np.testing.assert_allclose(one.T_cam_lidar, other.T_cam_lidar, atol=1e-12)
    np.testing.assert_allclose(one.T_world_lidar, other.T_world_lidar, atol=1e-12)
    assert one.stamp_cloud == pytest.approx(other.stamp_cloud, abs=1e-6)
    assert one.stamp_image == pytest.approx(other.stamp_image, abs=1e-6)


def test_a_bag_gives_back_what_was_written(bag):
    source = open_source(bag)
    assert source.kind == "ROS bag" and source.names == ["000000", "000001", "000002"]
    for read, written in zip(source, SAMPLES, strict=True):
        assert_equal(read, written)
    assert len({read.rig for read in source}) == 1
    facts = source.describe()
    assert facts["has_truth"] and facts["has_poses"] and facts["topics"]["cloud"] == "/lidar/points"


def test_the_storage_file_alone_is_a_bag_too(bag):
    file = next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))
    assert matches(bag) and matches(file) and not matches(bag.parent)
    assert_equal(open_source(file)[2], SAMPLES[2])


@pytest.mark.parametrize("compress", [None, "lz4", "bz2"])
def test_a_ros1_bag_gives_the_same(bag, tmp_path, compress):
    path = tmp_path / "drive.bag"
    convert(bag, path, compress, "")
    assert matches(path)
    for read, written in zip(open_source(path), SAMPLES, strict=True):
        assert_equal(read, written)


@pytest.mark.parametrize("mode", ["file", "message"])
def test_a_zstd_compressed_bag_gives_the_same(bag, tmp_path, mode):
    convert(bag, tmp_path / "drive", "zstd", mode)
    assert_equal(open_source(tmp_path / "drive")[1], SAMPLES[1])


def convert(source: Path, target: Path, compress: str | None, mode: str) -> None:
    """By the converter of rosbags, which shares nothing with our writer and our reader."""
    from rosbags.convert.converter import convert as rosbags_convert
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC) if target.suffix == ".bag" else None
    rosbags_convert([source], target, "mcap", 8, compress, mode, None, store, (), (), (), ())


def test_a_source_may_be_pickled_and_read_in_a_forked_process(bag):
    source = open_source(bag)
    assert_equal(pickle.loads(pickle.dumps(source))[1], SAMPLES[1])
    inherited = source._bag._reader  # shares its position in the file with the parent's
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(source[2].image, SAMPLES[2].image) and source._bag._reader is not inherited else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert_equal(source[0], SAMPLES[0])


def test_compressed_images_are_written_and_read(tmp_path):
    for image_format, tolerance in (("png", 0), ("jpeg", 40)):
        smooth = replace(SAMPLES[0], image=np.full((HEIGHT, WIDTH, 3), (200, 100, 50), np.uint8))
        write_bag([smooth], tmp_path / image_format, image_format=image_format)
        source = open_source(tmp_path / image_format)
        assert source.describe()["topics"]["image"] == "/camera/image_raw/compressed"
        assert np.abs(source[0].image.astype(int) - smooth.image).max() <= tolerance
    write_bag(SAMPLES[:1], tmp_path / "lossless", image_format="png")
    assert_equal(open_source(tmp_path / "lossless")[0], SAMPLES[0])


def test_an_extrinsic_that_changes_is_kept_per_frame(tmp_path):
    moving = [replace(s, T_cam_lidar=se3.exp_se3(np.full(6, 0.01 * k)) @ T_CAM_LIDAR) for k, s in enumerate(SAMPLES)]
    write_bag(moving, tmp_path / "bag")
    source = open_source(tmp_path / "bag")
    for read, written in zip(source, moving, strict=True):
        np.testing.assert_allclose(read.T_cam_lidar, written.T_cam_lidar, atol=1e-12)
    assert len({read.rig for read in source}) == 3


def test_without_transforms_there_is_no_extrinsic_rather_than_identity(tmp_path):
    write_bag([replace(s, T_cam_lidar=None, T_world_lidar=None, stamp_cloud=None, stamp_image=None) for s in SAMPLES],
              tmp_path / "bag")
    source = open_source(tmp_path / "bag")
    assert len(source) == 3 and source[0].T_cam_lidar is None and source[0].T_world_lidar is None
    facts = source.describe()
    assert not facts["has_truth"] and "no transform connects 'lidar'" in " ".join(facts["notes"])


def test_equal_or_empty_frame_names_are_no_calibration(tmp_path):
    for name in ("", "sensor"):
        with RawBag(tmp_path / f"bag{name}") as raw:
            raw.cloud(SAMPLES[0], frame=name)
            raw.camera("/cam", SAMPLES[0], frame=name)
        source = open_source(tmp_path / f"bag{name}")
        assert source[0].T_cam_lidar is None
        assert source.robot == RobotNames(image_topic="/cam/image_raw", cloud_topic="/points")


def test_the_names_of_the_robot_are_told_without_leading_slash(tmp_path):
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0], frame="/velodyne")
        raw.camera("/front", SAMPLES[0], frame="/front_optical")
    names = RobotNames("front_optical", "velodyne", "/front/image_raw", "/points")
    assert open_source(tmp_path / "bag").robot == open_source(tmp_path / "bag")[:1].robot == names


def test_cameras_are_chosen_by_topic_or_namespace(tmp_path):
    left, right = SAMPLES[0], replace(SAMPLES[0], image=SAMPLES[1].image)
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(left)
        raw.cloud(left, topic="/points_other")
        raw.camera("/a_depth", SAMPLES[2])
        raw.camera("/right", right)
        raw.camera("/left", left)
        raw.camera("/bare", right, info=None)
        raw.camera("/left", left, image="image_rect")
    first = open_source(tmp_path / "bag")
    np.testing.assert_array_equal(first[0].image, left.image)
    told = " ".join(first.describe()["notes"])
    assert "/right/image_raw" in told and "/a_depth/image_raw" in told and "/points_other" in told
    for camera in ("/right", "right", "/right/image_raw"):
        np.testing.assert_array_equal(open_source(tmp_path / "bag", camera=camera)[0].image, right.image)
    rectified = open_source(tmp_path / "bag", camera="/left/image_rect")[0]
    assert rectified.camera.model == "none" and first[0].camera.model == "plumb_bob"
    assert open_source(tmp_path / "bag", rectified=True)[0].camera.model == "none"
    chosen = RosbagSource(tmp_path / "bag", image_topic="/bare/image_raw", info_topic="/left/camera_info")
    np.testing.assert_array_equal(chosen[0].image, right.image)
    for options, words in (({"camera": "/front"}, "no camera '/front'"), ({"cloud_topic": "/x"}, "it has /points"),
                           ({"image_topic": "/bare/image_raw"}, r"info_topic=TOPIC"), ({"slop": 0}, "slop")):
        with pytest.raises(InputError, match=words):
            open_source(tmp_path / "bag", **options)


def test_options_may_stand_in_the_path_so_that_every_command_has_them(tmp_path):
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0], "/a/points")
        raw.cloud(replace(SAMPLES[0], cloud=SAMPLES[1].cloud), "/b/points")
        raw.camera("/cam", SAMPLES[0])
    assert open_source(tmp_path / "bag").topics.cloud == "/a/points"
    chosen = open_source(f"{tmp_path}/bag?cloud_topic=/b/points&slop=0.2&rectified=true")
    assert chosen.topics.cloud == "/b/points" and chosen[0].camera.model == "none"
    assert chosen.identity() != open_source(tmp_path / "bag").identity()
    for query, words in (("cloud_topic=/c", "it has /a/points, /b/points"), ("slop=wide", "number of seconds"),
                         ("rectified=1", "true or false"), ("topic=/b", "no choice of topic"),
                         ("", "with their values"), ("cloud_topic=", "with their values")):
        with pytest.raises(InputError, match=words):
            open_source(f"{tmp_path}/bag?{query}")
    (tmp_path / "bag").rename(tmp_path / "is it?slop=1")  # a name like any other
    assert open_source(tmp_path / "is it?slop=1").topics.cloud == "/a/points"


def test_what_a_bag_lacks_is_told_in_words(tmp_path):
    def no_info(raw):
        raw.cloud(SAMPLES[0])
        raw.camera("/cam", SAMPLES[0], info=None)

    for words, fill in (
        ("no camera calibration .* its messages are of sensor_msgs/msg/Image, sensor_msgs/msg/PointCloud2", no_info),
        ("no scans", lambda raw: raw.camera("/cam", SAMPLES[0])),
        ("no images", lambda raw: raw.cloud(SAMPLES[0])),
        ("no scans .* no type at all", lambda raw: None),
    ):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        with RawBag(path) as raw:
            fill(raw)
        with pytest.raises(InputError, match=words):
            open_source(path)


def test_types_that_nobody_knows_are_no_obstacle(tmp_path):
    with RawBag(tmp_path / "bag") as raw:
        raw.add_unknown("/odd", SAMPLES[0])
        raw.cloud(SAMPLES[0])
        raw.camera("/cam", SAMPLES[0])
    np.testing.assert_array_equal(open_source(tmp_path / "bag")[0].image, SAMPLES[0].image)
    with RawBag(tmp_path / "only") as raw:
        raw.add_unknown("/odd", SAMPLES[0])
    with pytest.raises(InputError, match=r"no scans .* of odd_msgs/msg/Odd"):
        open_source(tmp_path / "only")


def test_streams_that_do_not_meet_say_how_far_apart_they_are(tmp_path):
    write_bag([replace(s, stamp_image=s.stamp_image + 40) for s in SAMPLES], tmp_path / "bag")
    with pytest.raises(InputError, match=r"nearest are 39\.810 s apart.*slop=SECONDS' allows more"):
        open_source(tmp_path / "bag")
    assert len(open_source(tmp_path / "bag", slop=45.0)) == 1


def test_an_uncalibrated_camera_is_refused(tmp_path):
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0])
        raw.camera("/cam", SAMPLES[0], info=None)
        info = raw.make.camera_info(SAMPLES[0].camera, 0, "cam")
        info.k[:] = 0
        raw.add("/cam/camera_info", info, round(START * 1e9))
    with pytest.raises(InputError, match="not calibrated"):
        open_source(tmp_path / "bag")[0]


@pytest.fixture(scope="module", params=[".mcap", ".db3", ".bag"])
def storage_file(request, tmp_path_factory) -> tuple[str, bytes]:
    """The ending and the content of a good file of each kind, for the tests to damage."""
    folder, kind = tmp_path_factory.mktemp("storage"), request.param
    write_bag(SAMPLES, folder / "bag", storage="sqlite3" if kind == ".db3" else "mcap")
    file = folder / "bag" / f"bag{kind}"
    if kind == ".bag":
        file = folder / "drive.bag"
        convert(folder / "bag", file, None, "")
    return kind, file.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.95, 0.999])
def test_a_truncated_bag_is_told_in_words(tmp_path, storage_file, share):
    kind, data = storage_file
    file = tmp_path / f"cut{kind}"
    file.write_bytes(data[:int(len(data) * share)])
    with pytest.raises(InputError, match=r"cannot be read|no scans|no images|no camera"):
        list(open_source(file))


def test_a_corrupt_bag_is_read_or_told_in_words(tmp_path, storage_file):
    kind, data = storage_file
    file, rng, told = tmp_path / f"corrupt{kind}", np.random.default_rng(0), 0
    for size in (1, 64, 4096):
        for _ in range(8):
            damaged, at = bytearray(data), int(rng.integers(0, len(data) - size))
            damaged[at:at + size] = rng.bytes(size)
            file.write_bytes(damaged)
            try:
                list(open_source(file))
            except InputError:
                told += 1
    assert told
    file.write_bytes(rng.bytes(len(data)))
    with pytest.raises(InputError, match="cannot be read"):
        open_source(file)


def test_a_folder_with_broken_metadata_is_told_in_words(tmp_path):
    write_bag(SAMPLES, tmp_path / "bag")
    for content in ("", "{", "rosbag2_bagfile_information: {version: 99}", "rosbag2_bagfile_information: 3"):
        (tmp_path / "bag" / "metadata.yaml").write_text(content)
        with pytest.raises(InputError, match="cannot be read"):
            open_source(tmp_path / "bag")


@pytest.mark.parametrize("topic", ["/lidar/points", "/camera/image_raw", "/camera/camera_info"])
def test_a_bag_that_counts_messages_it_does_not_hold_is_told_in_words(tmp_path, topic):
    import sqlite3

    write_bag(SAMPLES, tmp_path / "bag", storage="sqlite3")
    with sqlite3.connect(tmp_path / "bag" / "bag.db3") as database:
        database.execute("DELETE FROM messages WHERE topic_id = (SELECT id FROM topics WHERE name = ?)", (topic,))
    with pytest.raises(InputError, match=f"counts messages on {topic} but holds none"):
        open_source(tmp_path / "bag")
