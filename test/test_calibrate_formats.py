"""The files that other tools read: each is read back the way that tool would."""

from __future__ import annotations

import shlex
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crossi2p_core.calibrate import formats
from crossi2p_core.geometry import se3
from crossi2p_core.types import Camera

TRUTH = se3.make(se3.exp_so3(np.array([0.3, -1.2, 0.4])), np.array([0.2, -0.1, 1.5]))
K = np.array([[700.0, 0, 600], [0, 701, 180], [0, 0, 1]])
ANGLE = st.floats(-np.pi, np.pi)


def from_rpy(xyz: object, rpy: object) -> np.ndarray:
    """As URDF has it: about the fixed x, y and z axes, one after the other."""
    return se3.make(Rotation.from_euler("xyz", np.asarray(rpy, float)).as_matrix(), np.asarray(xyz, float))


@given(ANGLE, ANGLE, ANGLE)
@example(0.4, np.pi / 2, 1.1)  # gimbal lock, both ends
@example(0.4, -np.pi / 2, 1.1)
def test_roll_pitch_yaw_give_the_rotation_again(roll: float, pitch: float, yaw: float) -> None:
    R = Rotation.from_euler("xyz", [roll, pitch, yaw]).as_matrix()
    assert np.allclose(Rotation.from_euler("xyz", formats.roll_pitch_yaw(R)).as_matrix(), R, atol=1e-7)


def test_the_urdf_joint_places_the_camera_in_the_lidar_frame() -> None:
    joint = ElementTree.fromstring(formats.urdf_joint(TRUTH, "os_sensor", "left_optical"))
    parent, child, origin = joint.find("parent"), joint.find("child"), joint.find("origin")
    assert parent is not None and child is not None and origin is not None
    assert (joint.get("type"), parent.get("link"), child.get("link")) == ("fixed", "os_sensor", "left_optical")
    T = from_rpy(origin.attrib["xyz"].split(), origin.attrib["rpy"].split())
    assert np.allclose(T, se3.inverse(TRUTH), atol=1e-12)


def test_the_static_transform_is_the_same_pose() -> None:
    words = shlex.split(formats.static_transform(TRUTH, "lidar", "camera"))
    assert words[:4] == ["ros2", "run", "tf2_ros", "static_transform_publisher"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    q = [float(given[f"--q{axis}"]) for axis in "xyzw"]
    T = se3.make(Rotation.from_quat(q).as_matrix(), np.array([float(given[f"--{axis}"]) for axis in "xyz"]))
    assert np.allclose(T, se3.inverse(TRUTH), atol=1e-12)
    assert (given["--frame-id"], given["--child-frame-id"]) == ("lidar", "camera")


def test_names_of_frames_are_quoted() -> None:
    lidar, camera = 'a "<&', "cam; rm -r $HOME"
    joint = ElementTree.fromstring(formats.urdf_joint(TRUTH, lidar, camera))
    parent, child = joint.find("parent"), joint.find("child")
    assert parent is not None and child is not None
    assert (parent.get("link"), child.get("link")) == (lidar, camera)
    assert shlex.split(formats.static_transform(TRUTH, lidar, camera))[-3::2] == [lidar, camera]


def test_autoware_has_the_optical_frame_and_the_link_that_looks_along_x() -> None:
    frames = yaml.safe_load(formats.autoware(TRUTH, "velodyne", "camera0/camera_optical"))["velodyne"]
    poses = {name: from_rpy([six[k] for k in ("x", "y", "z")], [six[k] for k in ("roll", "pitch", "yaw")])
             for name, six in frames.items()}
    optical, link = poses["camera0/camera_optical"], poses["camera0/camera/camera_link"]
    assert np.allclose(optical, se3.inverse(TRUTH))
    assert np.allclose(link[:3, 0], optical[:3, 2])  # forward
    assert np.allclose(link[:3, 2], -optical[:3, 1])  # up
    assert np.allclose(link[:3, 3], optical[:3, 3])


@pytest.mark.parametrize(("model", "distortion", "kalibr", "note"), [
    ("none", (), "radtan", ""), ("plumb_bob", (0.1, -0.2, 1e-3, 2e-3, 0), "radtan", ""),
    ("plumb_bob", (0.1, -0.2, 1e-3, 2e-3, 0.05), "radtan", "more coefficients"),
    ("equidistant", (0.1, 0.01, 0.001, 0), "equidistant", ""),
    ("rational_polynomial", (0.1,) * 8, None, "no model for this lens")])
def test_the_kalibr_chain_holds_the_camera(model: str, distortion: tuple[float, ...], kalibr: str | None,
                                           note: str) -> None:
    text = formats.kalibr(TRUTH, Camera(K, 1242, 375, model, np.array(distortion)), "/image", "/points")
    camera = yaml.safe_load(text)["cam0"]
    assert np.allclose(camera["T_cam_lidar"], TRUTH)
    assert camera["intrinsics"] == [700, 701, 600, 180]
    assert camera["resolution"] == [1242, 375]
    assert camera.get("distortion_model") == kalibr
    assert note in text
    if kalibr:
        assert np.allclose(camera["distortion_coeffs"], np.pad(distortion, (0, 4))[:4])
