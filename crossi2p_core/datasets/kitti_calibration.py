"""KITTI calibration files: `name: numbers` lines, and the extrinsic of a rectified camera that follows from them.

Conventions after Geiger et al., "Vision meets Robotics: The KITTI Dataset" (2013), section on calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.se3 import check_transform

Values = Mapping[str, np.ndarray]
MAX_NUMBER = 1e9  # above any pixel or metre of a calibration; what is not finite fails the same test


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    """Every line of numbers by its name; lines of other content (dates) are passed over.

    The colon after the name may be missing, as it is for `Tr` in some copies. Raises InputError where the file cannot
    be read or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; copy the calibration beside the recording") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; copy the calibration again") from error
    values = {}
    for line in text.splitlines():
        name, *numbers = line.replace(":", " ", 1).split()[:17] or [""]
        try:
            values[name] = np.array([float(number) for number in numbers])
        except ValueError:
            continue
    return values


def matrix(values: Values, name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """The line `name` as an array of `shape`; raises InputError where it is missing, of wrong length, or not finite."""
    if name not in values:
        raise InputError(f"{path} has no line {name}: of {int(np.prod(shape))} numbers; copy the calibration again")
    numbers = values[name]
    if numbers.size != int(np.prod(shape)) or not (np.abs(numbers) < MAX_NUMBER).all():
        raise InputError(f"{path}: the line {name}: needs {int(np.prod(shape))} finite numbers; copy it again")
    return numbers.reshape(shape)


def split_projection(P: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3) and T_cam_rect (4, 4) of a KITTI projection P = K [I | t], (3, 4).

    t = K^-1 P[:, 3] moves points from the rectified reference camera (number 0) to this one: the stereo baseline, plus
    some millimetres of height and depth for the colour cameras. Raises InputError where K cannot be inverted.
    """
    K = P[:, :3]
    if K[0, 0] <= 0 or K[1, 1] <= 0 or abs(np.linalg.det(K)) < 1e-9:
        raise InputError(f"{where} is no projection: its focal length is not above zero; copy the calibration again")
    T = np.eye(4)
    T[:3, 3] = np.linalg.solve(K, P[:, 3])
    return K, T


def rigid(R: np.ndarray, t: np.ndarray, where: str) -> np.ndarray:
    """(4, 4) from R (3, 3) and t (3,); raises InputError where R is not a rotation."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, t
    return check_transform(T, where)


def raw_calibration(folder: Path, camera: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """K, T_cam_lidar and the image's (width, height), from the two files of a KITTI raw date folder.

    T_cam_lidar = T_cam_rect @ R_rect_00 @ T_cam0_lidar: the LiDAR is calibrated to camera 0 before rectification.
    """
    cameras = folder / "calib_cam_to_cam.txt"
    lidar = folder / "calib_velo_to_cam.txt"
    values, velo = read_calibration(cameras), read_calibration(lidar)
    K, T_cam_rect = split_projection(matrix(values, f"P_rect_0{camera}", (3, 4), cameras),
                                     f"P_rect_0{camera} in {cameras}")
    T_rect_cam0 = rigid(matrix(values, "R_rect_00", (3, 3), cameras), np.zeros(3), f"R_rect_00 in {cameras}")
    T_cam0_lidar = rigid(matrix(velo, "R", (3, 3), lidar), matrix(velo, "T", (3,), lidar), f"R in {lidar}")
    width, height = matrix(values, f"S_rect_0{camera}", (2,), cameras)
    return K, T_cam_rect @ T_rect_cam0 @ T_cam0_lidar, (int(width), int(height))


def odometry_calibration(path: Path, camera: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, T_cam_lidar and T_cam0_lidar from calib.txt of an odometry sequence.

    Tr maps LiDAR points into the rectified camera 0, the one whose poses the dataset gives.
    """
    values = read_calibration(path)
    K, T_cam_rect = split_projection(matrix(values, f"P{camera}", (3, 4), path), f"P{camera} in {path}")
    Tr = matrix(values, "Tr", (3, 4), path)
    T_cam0_lidar = rigid(Tr[:, :3], Tr[:, 3], f"Tr in {path}")
    return K, T_cam_rect @ T_cam0_lidar, T_cam0_lidar


def object_calibration(path: Path, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """K and T_cam_lidar from the calibration file of one frame of the object benchmark."""
    values = read_calibration(path)
    K, T_cam_rect = split_projection(matrix(values, f"P{camera}", (3, 4), path), f"P{camera} in {path}")
    T_rect_cam0 = rigid(matrix(values, "R0_rect", (3, 3), path), np.zeros(3), f"R0_rect in {path}")
    Tr = matrix(values, "Tr_velo_to_cam", (3, 4), path)
    return K, T_cam_rect @ T_rect_cam0 @ rigid(Tr[:, :3], Tr[:, 3], f"Tr_velo_to_cam in {path}")
