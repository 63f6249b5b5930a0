"""The buffer of transforms against matrices worked out here, ours and, where it is installed, the real one."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw, xyzw_from_rotation

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from ros_here import both

IMPLEMENTATIONS = both("tf2", "tf2_buffer", "tf2_errors")
pytestmark = pytest.mark.parametrize("tf2", IMPLEMENTATIONS)
QUARTER = se3.exp_so3(np.array([0, 0, np.pi / 2]))


def transform(parent: str, child: str, T: np.ndarray, seconds: float = 0.0) -> TransformStamped:
    """Message of T_parent_child."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(seconds=seconds).to_msg()
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = T[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = xyzw_from_rotation(T[:3, :3]).tolist()
    return message


def matrix(message: TransformStamped) -> np.ndarray:
    """(4, 4) of a message."""
    move, turn = message.transform.translation, message.transform.rotation
    return se3.make(rotation_from_xyzw([turn.x, turn.y, turn.z, turn.w], "answer"), np.array([move.x, move.y, move.z]))


def moved(x: float, R: np.ndarray | None = None) -> np.ndarray:
    """(4, 4) that moves by x metres along x, after turning by R."""
    return se3.make(np.eye(3) if R is None else R, np.array([x, 0.0, 0.0]))


def filled(tf2: SimpleNamespace) -> object:
    """map -> base goes from x = 1 to 3 and turns by 90 deg in 10..12 s; lidar and camera stand still on base."""
    buffer = tf2.Buffer()
    buffer.set_transform(transform("map", "base", moved(1), 10), "test")
    buffer.set_transform(transform("map", "base", moved(3, QUARTER), 12), "test")
    buffer.set_transform_static(transform("base", "lidar", moved(0.5)), "test")
    buffer.set_transform_static(transform("base", "camera", moved(2, QUARTER)), "test")
    return buffer


def test_across_the_tree_and_back(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    expected = se3.inverse(moved(2, QUARTER)) @ moved(0.5)
    answer = buffer.lookup_transform("camera", "lidar", Time(seconds=99))
    assert np.allclose(matrix(answer), expected, atol=1e-12)
    assert (answer.header.frame_id, answer.child_frame_id) == ("camera", "lidar")
    assert np.allclose(matrix(buffer.lookup_transform("lidar", "camera", Time())), se3.inverse(expected), atol=1e-12)
    assert np.allclose(matrix(buffer.lookup_transform("base", "lidar", Time())), moved(0.5), atol=1e-12)
    assert np.allclose(matrix(buffer.lookup_transform("lidar", "base", Time())), moved(-0.5), atol=1e-12)


def test_between_two_stamps_the_pose_is_interpolated(tf2: SimpleNamespace) -> None:
    answer = filled(tf2).lookup_transform("map", "lidar", Time(seconds=10.5))
    eighth = se3.exp_so3(np.array([0, 0, np.pi / 8]))
    assert np.allclose(matrix(answer), moved(1.5, eighth) @ moved(0.5), atol=1e-12)
    assert Time.from_msg(answer.header.stamp).nanoseconds == 10_500_000_000


def test_time_zero_is_the_newest_common_one(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    buffer.set_transform(transform("map", "other", moved(7), 10), "test")
    buffer.set_transform(transform("map", "other", moved(7), 11), "test")
    answer = buffer.lookup_transform("map", "lidar", Time())
    assert np.allclose(matrix(answer), moved(3, QUARTER) @ moved(0.5), atol=1e-12)
    assert answer.header.stamp.sec == 12
    assert buffer.lookup_transform("other", "lidar", Time()).header.stamp.sec == 11
    assert buffer.get_latest_common_time("other", "lidar").nanoseconds == 11 * 10**9
    assert buffer.lookup_transform("camera", "lidar", Time()).header.stamp.sec == 0


@pytest.mark.parametrize("seconds", [9.999, 12.001])
def test_outside_what_was_heard_there_is_none(tf2: SimpleNamespace, seconds: float) -> None:
    buffer = filled(tf2)
    with pytest.raises(tf2.ExtrapolationException):
        buffer.lookup_transform("map", "lidar", Time(seconds=seconds))
    assert not buffer.can_transform("map", "lidar", Time(seconds=seconds))


def test_one_stamp_alone_holds_at_that_stamp(tf2: SimpleNamespace) -> None:
    buffer = tf2.Buffer()
    buffer.set_transform(transform("map", "base", moved(1), 10), "test")
    assert np.allclose(matrix(buffer.lookup_transform("map", "base", Time(seconds=10))), moved(1))
    with pytest.raises(tf2.ExtrapolationException):
        buffer.lookup_transform("map", "base", Time(seconds=10.1))


def test_what_cannot_be_asked_raises_and_says_why(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    buffer.set_transform_static(transform("island", "tree", moved(1)), "test")
    for frames, error in ((("map", "nowhere"), tf2.LookupException), (("nowhere", "map"), tf2.LookupException),
                          (("map", "tree"), tf2.ConnectivityException), (("map", ""), tf2.InvalidArgumentException),
                          (("/map", "lidar"), tf2.InvalidArgumentException)):
        with pytest.raises(error) as caught:
            buffer.lookup_transform(*frames, Time())
        assert isinstance(caught.value, tf2.TransformException)
        possible, why_not = buffer.can_transform(*frames, Time(), return_debug_tuple=True)
        assert not possible and why_not
    assert buffer.can_transform("map", "lidar", Time())


def test_a_loop_is_an_error_and_not_a_hang(tf2: SimpleNamespace) -> None:
    buffer = tf2.Buffer()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        buffer.set_transform_static(transform(parent, child, moved(1)), "test")
    buffer.set_transform_static(transform("x", "y", moved(1)), "test")
    with pytest.raises(tf2.TransformException):
        buffer.lookup_transform("y", "a", Time())


def test_a_frame_in_itself_is_the_identity(tf2: SimpleNamespace) -> None:
    assert np.allclose(matrix(filled(tf2).lookup_transform("lidar", "lidar", Time(seconds=5))), np.eye(4))


def test_broken_transforms_are_left_out(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    broken = [transform("base", "lidar", moved(np.nan)), transform("base", "lidar", moved(9)),
              transform("lidar", "lidar", moved(9)), transform("", "lidar", moved(9)), transform("base", "", moved(9))]
    broken[1].transform.rotation.w = 0.0
    for message in broken:
        buffer.set_transform_static(message, "test")
    assert np.allclose(matrix(buffer.lookup_transform("base", "lidar", Time())), moved(0.5))


def test_a_quaternion_of_any_length_counts(tf2: SimpleNamespace) -> None:
    buffer, message = tf2.Buffer(), transform("base", "lidar", moved(1, QUARTER))
    turn = message.transform.rotation
    turn.z, turn.w = 3 * turn.z, 3 * turn.w
    buffer.set_transform_static(message, "test")
    assert np.allclose(matrix(buffer.lookup_transform("base", "lidar", Time())), moved(1, QUARTER))


def test_a_slash_before_a_name_is_dropped(tf2: SimpleNamespace) -> None:
    buffer = tf2.Buffer()
    buffer.set_transform_static(transform("/base", "/lidar", moved(1)), "test")
    assert buffer.can_transform("base", "lidar", Time())


def test_a_static_transform_can_be_replaced(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    buffer.set_transform_static(transform("base", "lidar", moved(4)), "test")
    assert np.allclose(matrix(buffer.lookup_transform("base", "lidar", Time())), moved(4))
    buffer.set_transform_static(transform("camera", "lidar", moved(5)), "test")
    assert np.allclose(matrix(buffer.lookup_transform("camera", "lidar", Time())), moved(5))


def test_only_the_last_seconds_are_kept(tf2: SimpleNamespace) -> None:
    buffer = tf2.Buffer(Duration(seconds=5))
    for seconds in range(10, 21):
        buffer.set_transform(transform("map", "base", moved(seconds), seconds), "test")
    buffer.set_transform(transform("map", "base", moved(-1), 14), "test")
    assert np.allclose(matrix(buffer.lookup_transform("map", "base", Time(seconds=16))), moved(16))
    assert not buffer.can_transform("map", "base", Time(seconds=13))
    assert not buffer.can_transform("map", "base", Time(seconds=14))


def test_stamps_out_of_order_are_sorted_in(tf2: SimpleNamespace) -> None:
    buffer = tf2.Buffer()
    for seconds in (10, 14, 12):
        buffer.set_transform(transform("map", "base", moved(seconds**2), seconds), "test")
    assert np.allclose(matrix(buffer.lookup_transform("map", "base", Time(seconds=13))), moved((144 + 196) / 2))
    assert np.allclose(matrix(buffer.lookup_transform("map", "base", Time())), moved(196))


def test_clearing_forgets_what_moves(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    buffer.clear()
    assert buffer.can_transform("camera", "lidar", Time())
    assert not buffer.can_transform("map", "lidar", Time())
    with pytest.raises(tf2.TransformException):
        buffer.lookup_transform("map", "lidar", Time(seconds=11))


def test_from_one_time_to_another_through_a_frame_that_stands(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    asked = ("lidar", Time(seconds=12), "lidar", Time(seconds=10), "map")
    expected = se3.inverse(moved(3, QUARTER) @ moved(0.5)) @ moved(1) @ moved(0.5)
    assert np.allclose(matrix(buffer.lookup_transform_full(*asked)), expected, atol=1e-12)
    assert buffer.can_transform_full(*asked)
    assert not buffer.can_transform_full("lidar", Time(seconds=13), "lidar", Time(seconds=10), "map")


def test_waiting_ends_when_the_transform_comes(tf2: SimpleNamespace) -> None:
    buffer = filled(tf2)
    late = threading.Timer(0.2, buffer.set_transform, [transform("map", "base", moved(4), 13), "test"])
    late.start()
    start = time.monotonic()
    answer = buffer.lookup_transform("map", "base", Time(seconds=13), timeout=Duration(seconds=20))
    assert np.allclose(matrix(answer), moved(4)) and time.monotonic() - start < 10
    start = time.monotonic()
    assert not buffer.can_transform("map", "base", Time(seconds=99), timeout=Duration(seconds=0.2))
    assert 0.15 < time.monotonic() - start < 10


def test_the_tree_in_words(tf2: SimpleNamespace) -> None:
    frames = yaml.safe_load(filled(tf2).all_frames_as_yaml())
    assert {child: entry["parent"] for child, entry in frames.items()} == {
        "base": "map", "lidar": "base", "camera": "base"}
    assert frames["base"]["broadcaster"] == "test"
    assert float(frames["base"]["buffer_length"]) == pytest.approx(2)
    assert not yaml.safe_load(tf2.Buffer().all_frames_as_yaml())


@given(seed=st.integers(0, 10**6), length=st.integers(1, 6), split=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_any_two_frames_of_any_tree(tf2: SimpleNamespace, seed: int, length: int, split: int) -> None:
    """Two branches that part after `split` frames: the answer is the product of what was put in."""
    rng = np.random.default_rng(seed)
    buffer = tf2.Buffer()
    T_root = {"root": np.eye(4)}
    for branch in "ab":
        parent = "root"
        for depth in range(length):
            frame = f"shared{depth}" if depth < split else f"{branch}{depth}"
            if frame not in T_root:
                T = se3.exp_se3(rng.uniform(-3, 3, 6))
                buffer.set_transform_static(transform(parent, frame, T), "test")
                T_root[frame] = T_root[parent] @ T
            parent = frame
    target, source = rng.choice(sorted(T_root), 2)
    answer = matrix(buffer.lookup_transform(str(target), str(source), Time()))
    assert np.allclose(answer, se3.inverse(T_root[target]) @ T_root[source], atol=1e-9)
