"""Which of a bag's messages belong together: several robots, frames that change, a calibration that changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bags import T_CAM_LIDAR, RawBag, sample

from crossi2p_core.datasets import open_source
from crossi2p_core.datasets.bag_writer import write_bag
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera

SAMPLES = [sample(k) for k in range(3)]
T_LIDAR_CAM = se3.inverse(T_CAM_LIDAR)


def transform(raw: RawBag, topic: str, parent: str, child: str, T_parent_child: np.ndarray) -> None:
    """A static one, at the time of the first scan."""
    stamp = round(SAMPLES[0].stamp_cloud * 1e9)
    raw.add(topic, raw.make.transforms([raw.make.transform(T_parent_child, stamp, parent, child)]), stamp)


def moved(T: np.ndarray, metres: float) -> np.ndarray:
    return se3.make(np.eye(3), np.array([metres, 0.0, 0.0])) @ T


def test_each_robot_has_its_own_tree_and_its_own_scans(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        for number, robot in enumerate(("/a", "/b")):
            raw.cloud(SAMPLES[number], topic=f"{robot}/points")
            raw.camera(f"{robot}/cam", SAMPLES[number])
            transform(raw, f"{robot}/tf_static", "lidar", "camera", moved(T_LIDAR_CAM, float(number)))
    for number, robot in enumerate(("/a", "/b")):
        source = open_source(tmp_path / "bag", camera=robot)
        assert source.robot.cloud_topic == f"{robot}/points"
        np.testing.assert_allclose(source[0].T_cam_lidar, se3.inverse(moved(T_LIDAR_CAM, float(number))), atol=1e-12)


def test_drivers_with_transforms_of_their_own_are_one_robot(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0], topic="/lidar/points")
        raw.camera("/cam", SAMPLES[0])
        transform(raw, "/lidar/tf_static", "base", "lidar", np.eye(4))
        transform(raw, "/cam/tf_static", "base", "camera", T_LIDAR_CAM)
    np.testing.assert_allclose(open_source(tmp_path / "bag")[0].T_cam_lidar, T_CAM_LIDAR, atol=1e-12)


def test_a_depth_cameras_points_come_last(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        raw.camera("/camera", SAMPLES[0])
        raw.cloud(SAMPLES[1], topic="/camera/depth/points")
        raw.cloud(SAMPLES[0], topic="/velodyne_points")
    assert open_source(tmp_path / "bag").robot.cloud_topic == "/velodyne_points"


def test_every_message_tells_its_own_frame(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        for number, frame in enumerate(("lidar", "rear", "lidar")):
            raw.cloud(SAMPLES[number], frame=frame)
            raw.camera("/cam", SAMPLES[number])
        transform(raw, "/tf_static", "lidar", "camera", T_LIDAR_CAM)
        transform(raw, "/tf_static", "lidar", "rear", moved(np.eye(4), -2.0))
    front, rear, again = open_source(tmp_path / "bag")
    np.testing.assert_allclose(front.T_cam_lidar, T_CAM_LIDAR, atol=1e-12)
    np.testing.assert_allclose(rear.T_cam_lidar, T_CAM_LIDAR @ moved(np.eye(4), -2.0), atol=1e-12)
    assert front.rig == again.rig != rear.rig


def test_a_calibration_without_stamps_counts_from_when_it_was_recorded(tmp_path: Path) -> None:
    def zoomed(focal: float) -> Camera:
        K = SAMPLES[0].camera.K.copy()
        K[0, 0] = K[1, 1] = focal
        return replace(SAMPLES[0].camera, K=K)

    with RawBag(tmp_path / "bag") as raw:
        for one, focal in zip(SAMPLES, (50.0, 60.0, 50.0), strict=True):
            raw.cloud(one)
            raw.camera("/cam", one, info=None)
            raw.add("/cam/camera_info", raw.make.camera_info(zoomed(focal), 0, "camera"), round(one.stamp_image * 1e9))
    source = open_source(tmp_path / "bag")
    assert [one.camera.K[0, 0] for one in source] == [50.0, 60.0, 50.0]
    assert source[0].rig == source[2].rig != source[1].rig


def test_a_calibration_above_belongs_to_the_image_beside_it(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0])
        raw.camera("/cam", SAMPLES[0])
        raw.camera("/cam/thermal", SAMPLES[1], info=None)
    with pytest.raises(ValueError, match="no camera '/cam/thermal' with a CameraInfo"):
        open_source(tmp_path / "bag", camera="/cam/thermal")


def test_one_frame_for_both_sensors_is_no_calibration_even_where_tf_knows_it(tmp_path: Path) -> None:
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0], frame="base")
        raw.camera("/cam", SAMPLES[0], frame="base")
        transform(raw, "/tf_static", "base", "imu", np.eye(4))
    source = open_source(tmp_path / "bag")
    assert source[0].T_cam_lidar is None and not source.describe()["has_truth"]
    assert "both name the frame 'base'" in " ".join(source.describe()["notes"])


def test_a_transform_that_is_none_hurts_only_who_needs_it(tmp_path: Path, capsys: Any) -> None:
    with RawBag(tmp_path / "bag") as raw:
        raw.cloud(SAMPLES[0])
        raw.camera("/cam", SAMPLES[0])
        transform(raw, "/tf_static", "lidar", "camera", T_LIDAR_CAM)
        broken = raw.make.transform(np.eye(4), 1, "arm", "gripper")
        broken.transform.rotation.w = 0.0
        raw.add("/tf", raw.make.transforms([broken]), round(SAMPLES[0].stamp_cloud * 1e9))
    np.testing.assert_allclose(open_source(tmp_path / "bag")[0].T_cam_lidar, T_CAM_LIDAR, atol=1e-12)
    assert "left out: 1" in (said := capsys.readouterr().err) and "arm -> gripper" in said


def test_messages_without_stamps_count_from_when_they_were_recorded(tmp_path: Path) -> None:
    turns = [se3.exp_se3(np.array([0, 0, 0.1 * k, 0, 0, 0])) for k in range(3)]
    with RawBag(tmp_path / "bag") as raw:
        for one, turn in zip(SAMPLES, turns, strict=True):
            stamp = round(one.stamp_cloud * 1e9)
            raw.add("/c/image_raw", raw.make.image(one.image, 0, "camera", "raw"), stamp + 10**7)
            raw.add("/c/camera_info", raw.make.camera_info(one.camera, 0, "camera"), stamp + 10**7)
            raw.cloud(one)
            raw.add("/tf", raw.make.transforms([raw.make.transform(turn, 0, "lidar", "camera")]), stamp)
    read = list(open_source(tmp_path / "bag"))
    assert len(read) == 3
    for one, turn, written in zip(read, turns, SAMPLES, strict=True):
        np.testing.assert_array_equal(one.image, written.image)
        np.testing.assert_allclose(one.T_cam_lidar, se3.inverse(turn), atol=1e-9)


def test_messages_that_were_recorded_at_one_moment_are_told_by_their_stamps(tmp_path: Path) -> None:
    recorded = round(SAMPLES[0].stamp_cloud * 1e9)
    with RawBag(tmp_path / "bag") as raw:
        for one in SAMPLES[:2]:
            stamp = round(one.stamp_image * 1e9)
            raw.add("/c/image_raw", raw.make.image(one.image, stamp, "camera", "raw"), recorded)
            raw.add("/c/camera_info", raw.make.camera_info(one.camera, stamp, "camera"), recorded)
            raw.add("/points", raw.make.cloud(one.cloud, round(one.stamp_cloud * 1e9), "lidar"), recorded)
    for one, written in zip(open_source(tmp_path / "bag"), SAMPLES[:2], strict=True):
        np.testing.assert_array_equal(one.image, written.image)


def test_several_threads_may_read_one_bag(tmp_path: Path) -> None:
    samples = [sample(k) for k in range(8)]
    write_bag(samples, tmp_path / "bag")
    source = open_source(tmp_path / "bag")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda k: source[k % 8].image, range(64)))
    assert all(np.array_equal(image, samples[k % 8].image) for k, image in enumerate(images))
