"""The extrinsic in the forms that other tools read."""

from __future__ import annotations

from shlex import quote
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import yaml

from ..geometry import quaternion, se3
from ..types import Camera

Array = np.ndarray
KALIBR_MODELS = {"none": "radtan", "plumb_bob": "radtan", "equidistant": "equidistant"}


def autoware(T_cam_lidar: Array, lidar_frame: str, camera_frame: str) -> str:
    """`sensor_kit_calibration.yaml` of Autoware: x, y, z and roll, pitch, yaw of each sensor in the frame above it.

    Here the LiDAR's frame stands above the camera's optical one. Autoware mounts cameras by their link, not by the
    optical frame: a kit whose URDF adds the turn between the two wants CAMERA/camera_link, which is written as well.
    """
    T_lidar_cam = se3.inverse(np.asarray(T_cam_lidar))
    link = T_lidar_cam @ _optical_from_link()
    mount = camera_frame.removesuffix("_frame").removesuffix("_optical").removesuffix("_link")
    frames = {camera_frame: T_lidar_cam, f"{mount}/camera_link": link}
    document = {lidar_frame: {name: _six(T) for name, T in frames.items()}}
    return ("# Autoware, sensor_kit_calibration.yaml: metres and radians, extrinsic x-y-z (roll, pitch, yaw).\n"
            + yaml.safe_dump(document, sort_keys=False))


def kalibr(T_cam_lidar: Array, camera: Camera, camera_topic: str, lidar_topic: str) -> str:
    """A camchain like Kalibr's with T_cam_lidar where Kalibr has T_cam_imu; a lens that Kalibr has no model for is left
    out, and the file says so."""
    K = camera.K
    entry: dict[str, Any] = {"camera_model": "pinhole", "intrinsics": [float(K[0, 0]), float(K[1, 1]), float(K[0, 2]),
                                                                       float(K[1, 2])],
                             "resolution": [camera.width, camera.height], "rostopic": camera_topic,
                             "T_cam_lidar": np.asarray(T_cam_lidar).tolist(), "lidar_rostopic": lidar_topic}
    note = ""
    if camera.model in KALIBR_MODELS:
        entry |= {"distortion_model": KALIBR_MODELS[camera.model],
                  "distortion_coeffs": [float(x) for x in np.pad(camera.distortion, (0, 4))[:4]]}
        if len(camera.distortion) > 4 and np.any(camera.distortion[4:]):
            note = "# The lens has more coefficients than Kalibr's radtan model, which holds the first four.\n"
    else:
        note = f"# Kalibr has no model for this lens ({camera.model}); its coefficients are left out.\n"
    return ("# A camera chain in the form of Kalibr's; p_cam = T_cam_lidar p_lidar, metres.\n" + note
            + yaml.safe_dump({"cam0": entry}, sort_keys=False, default_flow_style=None))


def urdf_joint(T_cam_lidar: Array, lidar_frame: str, camera_frame: str) -> str:
    """A fixed joint from the LiDAR's link to the camera's optical one, for a URDF or xacro file. Numbers read back to
    the same bits."""
    T = se3.inverse(np.asarray(T_cam_lidar))
    xyz, rpy = (" ".join(repr(float(value)) for value in part) for part in (T[:3, 3], roll_pitch_yaw(T[:3, :3])))
    name = f"{lidar_frame}_to_{camera_frame}".replace("/", "_")
    return (f'<joint name={quoteattr(name)} type="fixed">\n  <parent link={quoteattr(lidar_frame)}/>\n'
            f'  <child link={quoteattr(camera_frame)}/>\n'
            f'  <origin xyz="{xyz}" rpy="{rpy}"/>\n</joint>\n')


def static_transform(T_cam_lidar: Array, lidar_frame: str, camera_frame: str) -> str:
    """The command that publishes it: the LiDAR's frame above the camera's optical one."""
    T = se3.inverse(np.asarray(T_cam_lidar))
    values = [*T[:3, 3].tolist(), *quaternion.xyzw_from_rotation(T[:3, :3]).tolist()]
    numbers = " ".join(f"--{name} {value!r}" for name, value in zip(
        ("x", "y", "z", "qx", "qy", "qz", "qw"), values, strict=True))
    return (f"ros2 run tf2_ros static_transform_publisher {numbers} --frame-id {quote(lidar_frame)} "
            f"--child-frame-id {quote(camera_frame)}\n")


def roll_pitch_yaw(R: Array) -> tuple[float, float, float]:
    """Radians about the fixed x, y and z axes, in this order, as URDF has it: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    pitch = float(np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0])))
    if np.hypot(R[0, 0], R[1, 0]) < 1e-9:  # roll and yaw turn about the same axis: all of it is called yaw
        return 0.0, pitch, float(np.arctan2(-R[0, 1], R[1, 1]))
    return float(np.arctan2(R[2, 1], R[2, 2])), pitch, float(np.arctan2(R[1, 0], R[0, 0]))


def _optical_from_link() -> Array:
    """T_optical_link (4, 4): a link looks along x with z up, an optical frame along z with y down (REP 103)."""
    return se3.make(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))


def _six(T: Array) -> dict[str, float]:
    values = (*T[:3, 3], *roll_pitch_yaw(T[:3, :3]))
    return {name: float(value) for name, value in zip(("x", "y", "z", "roll", "pitch", "yaw"), values, strict=True)}
