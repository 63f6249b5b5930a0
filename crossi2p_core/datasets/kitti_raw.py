"""KITTI raw: one synchronised and rectified drive (`2011_09_26/2011_09_26_drive_0001_sync`)."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..errors import InputError
from .kitti_calibration import raw_calibration
from .kitti_frames import KittiSource, choose_camera
from .oxts import OxtsPoses

CALIBRATION = "calib_cam_to_cam.txt"


def matches(path: Path) -> bool:
    """A drive folder, or a date folder (drives beside their calibration) with no more than one of them."""
    return (path / "velodyne_points").is_dir() or ((path / CALIBRATION).is_file() and len(_drives(path)) < 2)


class KittiRawSource(KittiSource):
    """Frames of one drive, seen by either colour camera.

    path: the drive, or its date folder where that holds only one. camera: `image_02` (left) or `image_03` (right).
    Poses come from `oxts/` and calib_imu_to_velo.txt where both exist. Raises InputError for anything unusable.
    """

    kind = "kitti_raw"

    def __init__(self, path: Path, camera: str | int = "image_02") -> None:
        drive = _only_drive(Path(path))
        number = choose_camera(camera)
        self._geometry = raw_calibration(drive.parent, number)
        image_folder, scan_folder = drive / f"image_0{number}", drive / "velodyne_points"
        super().__init__(drive, image_folder / "data", scan_folder / "data", f"{drive.parent.name}/image_0{number}")
        self._times = [_read_timestamps(folder / "timestamps.txt") for folder in (image_folder, scan_folder)]
        self._poses = OxtsPoses(drive)

    def _calibration(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int] | None]:
        return self._geometry

    def _stamps(self, name: str) -> tuple[float | None, float | None]:
        image, cloud = (_at(times, name) for times in self._times)
        return image, cloud

    def _pose(self, name: str) -> np.ndarray | None:
        return self._poses(name)


def _only_drive(path: Path) -> Path:
    """The drive at `path` or the only one below it."""
    if path.name.endswith("_extract"):
        raise InputError(f"{path} holds unrectified images; give the drive's _sync folder instead")
    if (path / "velodyne_points").is_dir():
        return path.resolve()
    drives = _drives(path)
    if len(drives) == 1:
        return (path / drives[0]).resolve()
    if not drives:
        raise InputError(f"{path} has a KITTI calibration but no drive; unpack a _sync drive in it")
    raise InputError(f"{path} holds {len(drives)} drives; give one of them: {', '.join(drives)}")


def _drives(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir() if (child / "velodyne_points").is_dir())


def _read_timestamps(path: Path) -> list[float]:
    """Seconds since 1970 of each line, the dates taken as UTC; empty where the file is missing."""
    if not path.is_file():
        return []
    try:
        return [_seconds(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a list of times such as 2011-09-26 13:02:25.964; copy it again") from error


def _seconds(line: str) -> float:
    """`2011-09-26 13:02:25.964389445` with its nanoseconds, which datetime alone would refuse."""
    whole, _, fraction = line.strip().partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)


def _at(times: list[float], name: str) -> float | None:
    """The time of a frame: its number is the line's number, also where other frames are missing."""
    return times[int(name)] if name.isdecimal() and int(name) < len(times) else None
