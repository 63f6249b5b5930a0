"""What the three KITTI layouts share: the choice of a colour camera, frames that have both files, one way to load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Camera, Sample
from .clouds import read_cloud
from .images import read_image
from .pairing import gap_notes
from .rigs import rig_label
from .source import Source

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
CAMERA_NAMES = {
    2: ("2", "02", "image_2", "image_02", "left"),
    3: ("3", "03", "image_3", "image_03", "right"),
}


def choose_camera(name: str | int) -> int:
    """2 (left colour) or 3 (right colour) from any of their usual names; raises InputError for others."""
    for number, names in CAMERA_NAMES.items():
        if str(name).lower() in names:
            return number
    raise InputError(f"KITTI has no colour camera {name!r}; choose image_02 (left) or image_03 (right)")


class KittiSource(Source):
    """Frames that have an image in one folder and a scan of the same name in another.

    A layout calls `__init__` and writes `_calibration`; it may override `_stamps` and `_pose`.
    """

    def __init__(self, path: Path, images: Path, clouds: Path, rig: str) -> None:
        self._images = _files(images, IMAGE_ENDINGS)
        self._clouds = _files(clouds, (".bin",))
        self.notes = gap_notes(set(self._images), set(self._clouds))
        self._rig = rig
        super().__init__(path, sorted(self._images.keys() & self._clouds.keys()))

    def _calibration(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int] | None]:
        """K (3, 3), T_cam_lidar (4, 4) and the image's (width, height) where the calibration tells it."""
        raise NotImplementedError

    def _stamps(self, name: str) -> tuple[float | None, float | None]:
        """Seconds of image and scan."""
        return None, None

    def _pose(self, name: str) -> np.ndarray | None:
        """T_world_lidar (4, 4)."""
        return None

    def _load(self, index: int) -> Sample:
        name = self.names[index]
        K, T_cam_lidar, size = self._calibration(name)
        image = read_image(self._images[name])
        width, height = size or (image.shape[1], image.shape[0])
        camera = Camera(K, width, height)
        stamp_image, stamp_cloud = self._stamps(name)
        return Sample(name, image, camera, read_cloud(self._clouds[name]), T_cam_lidar, self._pose(name),
                      stamp_image, stamp_cloud, rig_label(self._rig, camera, T_cam_lidar))

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | ({"notes": self.notes} if self.notes else {})


def _files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Files of a folder by name without ending; raises InputError where the folder cannot be listed."""
    try:
        return {file.stem: file for file in folder.iterdir()
                if file.suffix.lower() in endings and not file.name.startswith(".")}
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror or error}; check that the recording is "
                         "complete") from error
