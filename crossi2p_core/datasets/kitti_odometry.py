"""KITTI odometry: one sequence (`sequences/00`), with the poses of `poses/00.txt` where they exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from .kitti_calibration import odometry_calibration, rigid
from .kitti_frames import KittiSource, choose_camera


def matches(path: Path) -> bool:
    """A sequence folder: scans and one calibration file; the dataset's root is found through its sequences."""
    return (path / "velodyne").is_dir() and ((path / "calib.txt").is_file() or path.parent.name == "sequences")


class KittiOdometrySource(KittiSource):
    """Frames of one sequence, seen by either colour camera.

    path: `sequences/NN`. camera: `image_2` (left) or `image_3` (right). Poses are given for the rectified camera 0, so
    T_world_lidar = T_world_cam0 @ Tr; the world is camera 0 at the first frame. Raises InputError for unusable files.
    """

    kind = "kitti_odometry"

    def __init__(self, path: Path, camera: str | int = "image_2") -> None:
        path, number = Path(path).resolve(), choose_camera(camera)
        self._K, self._T_cam_lidar, self._T_cam0_lidar = odometry_calibration(path / "calib.txt", number)
        super().__init__(path, path / f"image_{number}", path / "velodyne", f"{path.name}/image_{number}")
        self._times = _read_table(path / "times.txt", 1)[:, 0]  # (N,) seconds
        self._poses = _read_table(path.parent.parent / "poses" / f"{path.name}.txt", 12)  # (N, 12)

    def _calibration(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int] | None]:
        return self._K, self._T_cam_lidar, None

    def _stamps(self, name: str) -> tuple[float | None, float | None]:
        row = _row(self._times, name)
        return (None, None) if row is None else (float(row), float(row))

    def _pose(self, name: str) -> np.ndarray | None:
        row = _row(self._poses, name)
        if row is None:
            return None
        T = row.reshape(3, 4)
        return rigid(T[:, :3], T[:, 3], f"the pose of frame {name} of {self.path}") @ self._T_cam0_lidar


def _read_table(path: Path, columns: int) -> np.ndarray:
    """(N, columns) finite numbers, one line per frame; (0, columns) where the file is missing."""
    if not path.is_file():
        return np.zeros((0, columns))
    try:
        rows = [[float(word) for word in line.split()] for line in path.read_text(encoding="utf-8").splitlines()]
        table = np.array([row for row in rows if row]).reshape(-1, columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} needs {columns} number(s) in every line; copy it again") from error
    if not np.isfinite(table).all():
        raise InputError(f"{path} holds numbers that are not finite; copy it again")
    return table


def _row(table: np.ndarray, name: str) -> np.ndarray | None:
    """The row of a frame: its number is the line's number."""
    return table[int(name)] if name.isdecimal() and int(name) < len(table) else None
