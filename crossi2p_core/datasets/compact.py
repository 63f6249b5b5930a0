"""The compact layout: small enough to keep whole drives at hand, exact enough to register them.

`NAME.jpg`; `NAME.npz` with `xyz_5mm` (N, 3) int16, metres = value x 0.005, in the LiDAR frame, one real point per 0.1 m
voxel, and `intensity` (N,) uint8 where known; `index.json` with, per name, `K` (3, 3), `width`, `height`, and, where
known, `T_cam_lidar` (4, 4), `D`, `distortion_model`, `T_world_lidar` (4, 4), `stamp_image`, `stamp_cloud` (seconds).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import PointCloud, Sample
from .images import read_image
from .json_values import read_camera, read_number, read_object, read_transform
from .numpy_files import read_arrays
from .rigs import rig_label
from .source import Source, camera_words

INDEX = "index.json"
STEP = 0.005  # metres per unit of xyz_5mm; int16 reaches 163.8 m


def matches(path: Path) -> bool:
    """A folder with an index.json."""
    return (path / INDEX).is_file()


class CompactSource(Source):
    """Frames of a compact folder, sorted by name; frames of equal calibration have the same `rig`.

    Raises InputError for anything unusable.
    """

    kind = "compact"

    def __init__(self, path: Path) -> None:
        self._index = read_object(Path(path) / INDEX)
        for name, entry in self._index.items():
            if not isinstance(entry, dict) or not is_safe(name):
                raise InputError(f"{Path(path) / INDEX}: the entry {name!r} is no usable frame; "
                                 "prepare the folder again")
        super().__init__(path, sorted(self._index))

    def _load(self, index: int) -> Sample:
        name = self.names[index]
        entry, where = self._index[name], f"{name} of {self.path / INDEX}"
        camera = read_camera(entry, where)
        T_cam_lidar, T_world_lidar = (
            read_transform(entry.get(key), f"{key} of {where}") for key in ("T_cam_lidar", "T_world_lidar"))
        stamp_image, stamp_cloud = (
            read_number(entry.get(key), f"{key} of {where}") for key in ("stamp_image", "stamp_cloud"))
        cloud = _read_npz(self.path / f"{name}.npz")
        return Sample(name, read_image(self.path / f"{name}.jpg"), camera, cloud, T_cam_lidar, T_world_lidar,
                      stamp_image, stamp_cloud, rig_label("compact", camera, T_cam_lidar))

    def _facts(self) -> dict[str, Any]:
        cameras = {}
        for name, entry in self._index.items():
            where = f"{name} of {self.path / INDEX}"
            camera = read_camera(entry, where)
            truth = read_transform(entry.get("T_cam_lidar"), f"T_cam_lidar of {where}")
            cameras[rig_label("compact", camera, truth)] = camera_words(camera)
        entries = self._index.values()
        return {
            "rigs": len(cameras),
            "cameras": cameras,
            "has_truth": all(entry.get("T_cam_lidar") is not None for entry in entries),
            "has_poses": all(entry.get("T_world_lidar") is not None for entry in entries),
        }


def _read_npz(path: Path) -> PointCloud:
    """The checked cloud of a frame; intensity in 0..1."""
    try:
        arrays = read_arrays(path)
    except OSError as error:
        raise InputError(f"cannot read the cloud {path}: {error.strerror or 'damaged'}; prepare it again") from error
    xyz, intensity = arrays.get("xyz_5mm"), arrays.get("intensity")
    if xyz is None or xyz.dtype != np.int16 or xyz.ndim != 2 or xyz.shape[1] != 3:
        raise InputError(f"the cloud {path} needs xyz_5mm as (N, 3) int16; prepare it again")
    if intensity is not None and (intensity.dtype != np.uint8 or intensity.shape != xyz.shape[:1]):
        raise InputError(f"the cloud {path} needs intensity as uint8, one per point; prepare it again")
    cloud = PointCloud.from_arrays(xyz * np.float32(STEP), None if intensity is None else intensity / np.float32(255))
    if not len(cloud):
        raise InputError(f"the cloud {path} is empty; leave this frame out")
    return cloud


def is_safe(name: str) -> bool:
    """A frame's name must stay inside its folder."""
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and not PurePosixPath(name).is_absolute() and "\0" not in name
