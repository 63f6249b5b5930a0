"""Where the sensors sit on the vehicle, and the cameras that a synthetic drive can be asked for by name."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from ...geometry import se3
from ...types import Camera
from .domain import Domain

LIDAR_HEIGHT = 1.73  # m above the ground, on a car's roof
# The optical frame (x right, y down, z forward) of a camera that looks along the LiDAR's x axis.
R_AHEAD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
_T_LIDAR_CAM = np.array([0.27, 0.0, -0.08])  # m: where a car's camera sits beside its roof LiDAR


def _camera(f: float, width: int, height: int, model: str = "none", distortion: tuple[float, ...] = (),
            row: float = 0.46) -> Camera:
    K = np.array([[f, 0, width / 2 - 0.5], [0, f, height * row], [0, 0, 1]])
    return Camera(K, width, height, model, np.array(distortion))


CAMERAS = {
    "small": _camera(297.0, 512, 160),  # KITTI's view at the size networks take
    "kitti": _camera(721.5, 1242, 375),
    "distorted": _camera(330.0, 512, 320, "plumb_bob", (-0.32, 0.11, 0.0006, -0.0004, -0.016)),
    "rational": _camera(330.0, 512, 320, "rational_polynomial", (0.45, 0.05, 0.0002, -0.0002, 0.002, 0.8, 0.12, 0.01)),
    "fisheye": _camera(190.0, 480, 360, "equidistant", (-0.02, 0.004, -0.002, 0.0003), 0.5),
}


def camera_named(name: str) -> Camera:
    """The camera of that name; raises InputError that lists the names."""
    if name not in CAMERAS:
        raise InputError(f"the camera {name!r} is not known; use one of {', '.join(CAMERAS)}")
    return CAMERAS[name]


def draw_extrinsic(rng: np.random.Generator, domain: Domain) -> np.ndarray:
    """T_cam_lidar (4, 4) of a car: camera before and below the LiDAR, both looking ahead, with the domain's scatter."""
    turn = se3.exp_so3(np.radians(rng.normal(0, domain.rig_rotation_deg, 3)))
    place = _T_LIDAR_CAM + rng.normal(0, domain.rig_translation_m, 3)
    rotation = turn @ R_AHEAD
    return se3.make(rotation, -rotation @ place)


def lidar_on_vehicle() -> np.ndarray:
    """T_vehicle_lidar (4, 4): above the middle of the vehicle, level."""
    return se3.make(np.eye(3), np.array([0.0, 0.0, LIDAR_HEIGHT]))
