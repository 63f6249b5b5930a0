"""Poses of a KITTI raw drive from its GPS/IMU packets (`oxts`).

The packets' format and the projection are those of the dataset's devkit documentation: a Mercator projection scaled at
the latitude of the first packet, and the orientation as Rz(yaw) Ry(pitch) Rx(roll).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .kitti_calibration import matrix, read_calibration, rigid

EARTH_RADIUS = 6378137.0  # metres, equatorial, as the devkit has it


class OxtsPoses:
    """T_world_lidar (4, 4) of a drive's frames; world: x east, y north, z up, origin at the first packet's place."""

    def __init__(self, drive: Path) -> None:
        self._files = {file.stem: file for file in sorted((drive / "oxts" / "data").glob("*.txt"))}
        calibration = drive.parent / "calib_imu_to_velo.txt"
        self.known = bool(self._files) and calibration.is_file()
        if not self.known:
            return
        values = read_calibration(calibration)
        T_lidar_imu = rigid(matrix(values, "R", (3, 3), calibration), matrix(values, "T", (3,), calibration),
                            f"R in {calibration}")
        self._T_imu_lidar = np.linalg.inv(T_lidar_imu)
        first = _packet(next(iter(self._files.values())))
        self._scale = np.cos(np.radians(first[0]))
        self._origin = mercator(first[:3], self._scale)

    def __call__(self, name: str) -> np.ndarray | None:
        """The pose of the scan called `name`; None where the drive has none. Raises InputError for a damaged packet."""
        if not self.known or name not in self._files:
            return None
        packet = _packet(self._files[name])
        T_world_imu = np.eye(4)
        T_world_imu[:3, :3] = rotation(*packet[3:6])
        T_world_imu[:3, 3] = mercator(packet[:3], self._scale) - self._origin
        return T_world_imu @ self._T_imu_lidar


def mercator(place: np.ndarray, scale: float) -> np.ndarray:
    """(east, north, up) in metres of (latitude deg, longitude deg, altitude m); scale = cos(reference latitude)."""
    latitude, longitude = np.radians(place[0]), np.radians(place[1])
    north = EARTH_RADIUS * np.log(np.tan(np.pi / 4 + latitude / 2))
    return np.array([scale * EARTH_RADIUS * longitude, scale * north, place[2]])


def rotation(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """R_world_imu (3, 3) of the angles in radians; yaw counts from east, against the clock."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    return np.array([
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ])


def _packet(path: Path) -> np.ndarray:
    """The first six numbers of a packet: latitude, longitude (deg), altitude (m), roll, pitch, yaw (rad)."""
    try:
        numbers = np.array([float(word) for word in path.read_text(encoding="utf-8").split()[:6]])
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the GPS/IMU packet {path}; copy it again") from error
    if numbers.size < 6 or not np.isfinite(numbers).all() or abs(numbers[0]) > 85:
        raise InputError(f"the GPS/IMU packet {path} needs six finite numbers, latitude first; copy it again")
    return numbers
