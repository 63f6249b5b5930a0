"""The tree of recorded transforms, and the pairing of two streams by time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossi2p_core.datasets.pairing import pair_nearest
from crossi2p_core.datasets.rosbag_frames import FrameTree
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw, xyzw_from_rotation

SECOND = 1_000_000_000
A, B, C, D = (se3.exp_se3(np.random.default_rng(seed).uniform(-1, 1, 6)) for seed in range(4))


def test_lookup_climbs_to_the_common_frame_and_down_again():
    tree = FrameTree()
    tree.add("base", "mast", A, 0, True)
    tree.add("mast", "/lidar", B, 0, True)
    tree.add("/base", "bracket", C, 0, True)
    tree.add("bracket", "camera", D, 0, True)
    expected = np.linalg.inv(C @ D) @ A @ B
    np.testing.assert_allclose(tree.lookup("camera", "lidar", 5), expected, atol=1e-12)
    np.testing.assert_allclose(tree.lookup("lidar", "camera", 5), np.linalg.inv(expected), atol=1e-12)
    np.testing.assert_allclose(tree.lookup("mast", "lidar", 5), B, atol=1e-12)
    assert tree.is_static("camera", "lidar", 5)


def test_unconnected_or_unknown_frames_have_no_transform():
    tree = FrameTree()
    tree.add("base", "lidar", A, 0, True)
    tree.add("other", "camera", B, 0, True)
    for target, source in (("camera", "lidar"), ("lidar", "nowhere"), ("nowhere", "nowhere"), ("", "")):
        assert tree.lookup(target, source, 0) is None


def test_a_loop_of_frames_ends():
    tree = FrameTree()
    tree.add("a", "b", A, 0, True)
    tree.add("b", "a", B, 0, True)
    tree.add("x", "c", C, 0, True)
    assert tree.lookup("c", "a", 0) is None


def test_moving_frames_are_interpolated_held_shortly_and_not_extrapolated():
    tree = FrameTree()
    turned = se3.exp_se3(np.array([0, 0, 0.4, 0, 0, 0]))
    turned[:3, 3] = (2, 0, 0)
    for stamp, T in ((11 * SECOND, turned), (10 * SECOND, np.eye(4))):  # out of order
        tree.add("odom", "base", T, stamp, False)
    halfway = tree.lookup("odom", "base", 10 * SECOND + SECOND // 4)
    assert se3.rotation_angle(halfway) == pytest.approx(0.1) and halfway[0, 3] == pytest.approx(0.5)
    np.testing.assert_array_equal(tree.lookup("odom", "base", 11 * SECOND + SECOND // 10), turned)
    assert tree.lookup("odom", "base", 12 * SECOND) is None and tree.lookup("odom", "base", 9 * SECOND) is None
    assert not tree.is_static("odom", "base", 10 * SECOND)


def test_the_last_static_transform_counts():
    tree = FrameTree()
    tree.add("base", "lidar", A, 0, True)
    tree.add("base", "lidar", B, 9, True)
    np.testing.assert_array_equal(tree.lookup("base", "lidar", 0), B)


@given(st.lists(st.floats(-3.1, 3.1), min_size=3, max_size=3))
def test_quaternions_and_rotations_are_inverse(w):
    R = se3.exp_so3(np.array(w))
    np.testing.assert_allclose(rotation_from_xyzw(xyzw_from_rotation(R), "here"), R, atol=1e-12)


def test_a_known_quaternion():
    s = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_from_xyzw([0, 0, s, s], "here"), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    for bad in ([0, 0, 0, 0], [0, 0, 0, np.nan], [1, 0, 0], [1, 1, 1, 1]):
        with pytest.raises(InputError, match="here"):
            rotation_from_xyzw(bad, "here")


TIMES = st.lists(st.integers(0, 200), max_size=12).map(lambda values: np.array(values, dtype=np.int64))


@given(first=TIMES, second=TIMES, slop=st.integers(0, 30))
def test_pairs_are_mutually_nearest_unique_and_within_slop(first, second, slop):
    a, b = pair_nearest(first, second, slop)
    assert len(set(a)) == len(a) and len(set(b)) == len(b)
    assert (np.diff(first[a]) >= 0).all()
    for i, j in zip(a, b, strict=True):
        gap = abs(first[i] - second[j])
        assert gap <= slop
        assert gap == np.abs(first[i] - second).min() == np.abs(first - second[j]).min()
    if len(first) and len(second):  # the closest of all is always a pair
        assert (np.abs(first[:, None] - second).min() <= slop) == bool(len(a))


def test_a_slow_camera_leaves_scans_out():
    scans, images = np.arange(0, 100, 10), np.array([1, 31, 62, 90])
    a, b = pair_nearest(scans, images, 5)
    assert a.tolist() == [0, 3, 6, 9] and b.tolist() == [0, 1, 2, 3]
