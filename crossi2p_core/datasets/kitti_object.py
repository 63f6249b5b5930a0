"""KITTI object: single frames with a calibration file each (`training/image_2`, `velodyne`, `calib`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .kitti_calibration import object_calibration
from .kitti_frames import KittiSource, choose_camera
from .source import camera_words


def matches(path: Path) -> bool:
    """The folder `training` or `testing`; their parent is found through them."""
    return (path / "velodyne").is_dir() and (path / "calib").is_dir()


class KittiObjectSource(KittiSource):
    """Frames of many drives, seen by either colour camera; frames of one calibration have the same `rig`.

    path: `training` or `testing`. camera: `image_2` (left) or `image_3` (right). Raises InputError for anything
    unusable.
    """

    kind = "kitti_object"

    def __init__(self, path: Path, camera: str | int = "image_2") -> None:
        path, self._number = Path(path), choose_camera(camera)
        super().__init__(path, path / f"image_{self._number}", path / "velodyne", f"image_{self._number}")

    def _calibration(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int] | None]:
        return *object_calibration(self.path / "calib" / f"{name}.txt", self._number), None

    def _facts(self) -> dict[str, Any]:
        """One frame per distinct calibration file is read for its image size."""
        firsts: dict[bytes, int] = {}
        for index, name in enumerate(self.names):
            K, T_cam_lidar, _ = self._calibration(name)
            firsts.setdefault(K.tobytes() + T_cam_lidar.tobytes(), index)
        samples = [self[index] for index in firsts.values()]
        cameras = {sample.rig: camera_words(sample.camera) for sample in samples}
        return super()._facts() | {"rigs": len(cameras), "cameras": cameras}
