"""Where a registration starts, and which pairs are passed over: from a buffer that was filled by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: python -m crossi2p_ros.tf2_msgs_build")
from crossi2p_core.calibration_file import Extrinsic, write_calibration
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import xyzw_from_rotation
from crossi2p_ros.gates import RECENT, MotionGate, why_passed_over
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.parameters import settings_from
from crossi2p_ros.prior import Reference
from crossi2p_ros.ros_compat.tf2 import Buffer

MAKE = LiveMessages()
T_LIDAR_CAM = se3.make(se3.exp_so3(np.array([0.3, 0.2, -0.1])), np.array([0.1, 0.2, -0.3]))
T_CAM_LIDAR = se3.inverse(T_LIDAR_CAM)
SECOND = 10**9


def reference(buffer: Buffer | None = None, **values: Any) -> Reference:
    """With these parameters (`__` for a dot)."""
    settings = settings_from({name.replace("__", "."): value for name, value in values.items()})
    return Reference(lambda: settings, buffer or Buffer())


def test_a_start_from_the_tree() -> None:
    buffer = Buffer()
    with pytest.raises(InputError, match="TF does not lead from lidar to camera"):
        reference(buffer).find("lidar", "camera", SECOND)
    buffer.set_transform_static(MAKE.transform(T_LIDAR_CAM, 0, "lidar", "camera"), "test")
    np.testing.assert_allclose(reference(buffer).find("lidar", "camera", SECOND), T_CAM_LIDAR, atol=1e-9)


def test_a_camera_that_moves_is_taken_where_it_was_and_a_late_tree_where_it_was_last() -> None:
    buffer = Buffer()
    for second in range(1, 4):
        T = se3.make(np.eye(3), np.array([float(second), 0, 0]))
        buffer.set_transform(MAKE.transform(T, second * SECOND, "camera", "lidar"), "test")
    found = [reference(buffer).find("lidar", "camera", at)[0, 3] for at in (SECOND, 3 * SECOND // 2, 9 * SECOND)]
    np.testing.assert_allclose(found, [1.0, 1.5, 3.0])


def test_a_start_from_parameters() -> None:
    given = {"prior__source": "parameters", "prior__translation": T_LIDAR_CAM[:3, 3].tolist()}
    with pytest.raises(InputError, match="all zeros"):
        reference(**given).find("lidar", "camera", SECOND)
    given["prior__quaternion_xyzw"] = xyzw_from_rotation(T_LIDAR_CAM[:3, :3]).tolist()
    np.testing.assert_allclose(reference(**given).find("lidar", "camera", SECOND), T_CAM_LIDAR, atol=1e-9)


def test_a_start_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "extrinsic.yaml"
    start = reference(prior__source="file", prior__file=str(path))
    with pytest.raises(InputError, match=r"extrinsic\.yaml"):
        start.find("lidar", "camera", SECOND)
    write_calibration(path, Extrinsic(T_CAM_LIDAR))
    np.testing.assert_allclose(start.find("lidar", "camera", SECOND), T_CAM_LIDAR, atol=1e-9)


def test_a_file_of_other_sensors_is_no_start_and_its_offset_is_warned_of_once(tmp_path: Path) -> None:
    path, warnings = tmp_path / "extrinsic.yaml", list[str]()
    settings = settings_from({"prior.source": "file", "prior.file": str(path)})
    start = Reference(lambda: settings, Buffer(), warnings.append)
    write_calibration(path, Extrinsic(T_CAM_LIDAR, "rear", "roof", time_offset_s=0.08))
    with pytest.raises(InputError, match="is of the LiDAR roof and the camera rear, not of roof and front"):
        start.find("roof", "front", SECOND)
    for _ in range(2):
        np.testing.assert_allclose(start.find("roof", "rear", SECOND), T_CAM_LIDAR, atol=1e-9)
    write_calibration(tmp_path / "half.yaml", Extrinsic(T_CAM_LIDAR, camera_frame="rear"))  # one name, by hand
    by_half = settings_from({"prior.source": "file", "prior.file": str(tmp_path / "half.yaml")})
    half = Reference(lambda: by_half, Buffer())
    assert half.find("roof", "rear", SECOND) is not None
    assert len(warnings) == 1 and "images are 0.08 s late" in warnings[0] and "sync.time_offset is 0;" in warnings[0]
    settings = settings_from({"prior.source": "file", "prior.file": str(path), "sync.time_offset": 0.08})
    other = Reference(lambda: settings, Buffer(), warnings.append)
    assert other.find("/roof", "rear", SECOND) is not None and len(warnings) == 1


def test_what_the_tree_said_then_counts_once_it_remembers_that_moment_no_more() -> None:
    buffer = Buffer()
    start = reference(buffer)
    for second in range(1, 31):  # a pan unit
        T = se3.make(np.eye(3), np.array([float(second), 0, 0]))
        buffer.set_transform(MAKE.transform(T, second * SECOND, "camera", "lidar"), "test")
    then = se3.make(np.eye(3), np.array([5.0, 0, 0]))
    assert start.find("lidar", "camera", 5 * SECOND)[0, 3] == 30.0
    assert start.find("lidar", "camera", 5 * SECOND, then)[0, 3] == 5.0
    buffer.set_transform_static(MAKE.transform(T_CAM_LIDAR, 0, "rear", "lidar"), "test")  # what stands still: of now
    np.testing.assert_allclose(start.find("lidar", "rear", SECOND, then), T_CAM_LIDAR, atol=1e-9)


def test_there_may_be_no_start_and_an_accepted_estimate_is_one() -> None:
    start = reference(prior__source="none")
    assert start.find("lidar", "camera", SECOND) is None
    start.accept(T_CAM_LIDAR, "lidar", "camera")
    assert start.accepted
    np.testing.assert_allclose(start.find("lidar", "camera", SECOND), T_CAM_LIDAR, atol=1e-9)
    assert start.find("lidar", "another_camera", SECOND) is None
    start.reset()
    assert not start.accepted


@pytest.mark.parametrize(("turn", "speed", "words"), [
    (5.0, 10.0, ""), (20.0, 10.0, "gate.max_turn"), (5.0, 40.0, "gate.max_speed")])
def test_a_pair_taken_in_a_fast_turn_is_passed_over(turn: float, speed: float, words: str) -> None:
    buffer = Buffer()
    for tenth in range(20):
        T = se3.make(se3.exp_so3(np.radians([0, 0, turn * tenth / 10])), np.array([speed * tenth / 10, 0, 0]))
        buffer.set_transform(MAKE.transform(T, 100 * SECOND + tenth * SECOND // 10, "odom", "lidar"), "test")
    settings = settings_from({"gate.fixed_frame": "odom"})
    said = why_passed_over(settings, buffer, "lidar", 101 * SECOND)
    assert (words in said) if words else not said
    assert not why_passed_over(settings_from({}), buffer, "lidar", 101 * SECOND)  # no gate is asked for
    assert not why_passed_over(settings, buffer, "lidar", 200 * SECOND)  # nobody knows
    late, too_late = (1019 * SECOND // 10 + ms * 10**6 for ms in (250, 350))
    said = why_passed_over(settings, buffer, "lidar", late)  # the newest scan is often ahead of the tree
    assert (words in said) if words else not said
    assert not why_passed_over(settings, buffer, "lidar", too_late)
    for tenth in range(2):  # a recording that begins at zero
        T = se3.make(np.eye(3), np.array([tenth, 0, 0]))
        buffer.set_transform(MAKE.transform(T, 10**6 + tenth * SECOND // 20, "odom", "early"), "test")
    assert not why_passed_over(settings, buffer, "early", SECOND // 20)


def test_a_gate_that_never_hears_of_motion_says_so() -> None:
    buffer, settings = Buffer(), settings_from({"gate.fixed_frame": "odmo"})
    gate = MotionGate(lambda: settings, buffer)
    for _ in range(RECENT - 1):
        assert gate.why_passed_over("lidar", 101 * SECOND) == ""
    assert gate.problem == "" and gate.unknown == RECENT - 1
    gate.why_passed_over("lidar", 101 * SECOND)
    assert "gate.fixed_frame odmo for the last 10 pairs" in gate.problem
    settings = settings_from({"gate.fixed_frame": "odom"})
    assert gate.problem == ""  # of which nothing has been asked yet
    for tenth in range(20):
        buffer.set_transform(MAKE.transform(np.eye(4), 100 * SECOND + tenth * SECOND // 10, "odom", "lidar"), "test")
    gate.why_passed_over("lidar", 101 * SECOND)
    assert gate.problem == "" and gate.unknown == RECENT
