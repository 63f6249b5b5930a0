"""The compact layout: small enough to keep whole drives at hand, exact enough to register them.

`NAME.jpg`; `NAME.npz` with `xyz_5mm` (N, 3) int16, metres = value x 0.005, in the LiDAR frame, one real point per 0.1 m
voxel, and `intensity` (N,) uint8 where known; `index.json` with, per name, `K` (3, 3), `width`, `height`, and, where
known, `T_cam_lidar` (4, 4), `D`, `distortion_model`, `T_world_lidar` (4, 4), `stamp_image`, `stamp_cloud` (seconds).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from ..atomic import write_bytes, write_text
from ..errors import InputError
from ..geometry.voxels import voxel_downsample
from ..types import PointCloud, Sample
from .images import read_image
from .json_values import read_camera, read_number, read_object, read_transform
from .numpy_files import read_arrays
from .rigs import rig_label
from .source import Source, camera_words

INDEX = "index.json"
ORIGIN = "prepared_from.json"
STEP = 0.005  # metres per unit of xyz_5mm; int16 reaches 163.8 m
VOXEL = 0.1  # metres
JPEG_QUALITY = 95
INDEX_EVERY = 50  # frames between two writings of the index: what an interruption can cost


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
            if not isinstance(entry, dict) or not _is_safe(name):
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


def prepare(source: Source, out: str | Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Write every frame of `source` as a compact folder and return how many were written now.

    Frames that an interrupted run finished are kept, so that calling again resumes. `progress(done, total)` is called
    after each frame. Raises InputError where a frame cannot be read, `out` cannot be written, or `out` was prepared
    from something else; what was written before that stays valid.
    """
    out = Path(out)
    index = _resumable_index(source, out)
    written = 0
    try:
        for done, name in enumerate(source.names, start=1):
            if name not in index or not all((out / f"{name}{end}").is_file() for end in (".jpg", ".npz")):
                index[name] = _write_frame(source[done - 1], out, name)
                written += 1
                if written % INDEX_EVERY == 0:
                    _write_index(index, out)
            if progress is not None:
                progress(done, len(source))
    finally:  # also on Ctrl-C: what is finished counts
        if written:
            _write_index(index, out)
        else:
            _release_if_empty(out)
    return written


def _release_if_empty(out: Path) -> None:
    """Leave nothing behind where not even the first frame could be written."""
    if out.is_dir() and [path.name for path in out.iterdir()] == [ORIGIN]:
        (out / ORIGIN).unlink()
        out.rmdir()


def _resumable_index(source: Source, out: Path) -> dict[str, Any]:
    """The index of a former run over the same source, else {}; claims `out` for this source."""
    unsafe = next((name for name in source.names if not _is_safe(name)), None)
    if unsafe is not None:
        raise InputError(f"the frame name {unsafe!r} of {source.path} cannot be a file name; rename the frame")
    identity = source.identity()
    if out.is_dir() and (out / ORIGIN).is_file():
        former = read_object(out / ORIGIN).get("source")
        if former != identity:
            raise InputError(f"{out} was prepared from {former}, not from {identity}; choose another folder")
        return read_object(out / INDEX) if (out / INDEX).is_file() else {}
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and was not written by prepare; choose a new folder")
    write_text(out / ORIGIN, json.dumps({"source": identity}, indent=1))
    return {}


def _write_frame(sample: Sample, out: Path, name: str) -> dict[str, Any]:
    """Write image and cloud; returns the frame's entry of the index."""
    ok, jpeg = cv2.imencode(".jpg", sample.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise InputError(f"the image of {name} is {sample.image.shape}, which JPEG cannot hold; crop or resize it")
    write_bytes(out / f"{name}.jpg", jpeg.tobytes())
    write_bytes(out / f"{name}.npz", _npz_bytes(sample.cloud, name))
    camera = sample.camera
    entry: dict[str, Any] = {"K": camera.K.tolist(), "width": camera.width, "height": camera.height}
    if camera.model != "none":
        entry |= {"D": camera.distortion.tolist(), "distortion_model": camera.model}
    for key, value in (("T_cam_lidar", sample.T_cam_lidar), ("T_world_lidar", sample.T_world_lidar)):
        if value is not None:
            entry[key] = value.tolist()
    for key, stamp in (("stamp_image", sample.stamp_image), ("stamp_cloud", sample.stamp_cloud)):
        if stamp is not None:
            entry[key] = stamp
    return entry


def _npz_bytes(cloud: PointCloud, name: str) -> bytes:
    """The cloud in the layout's arrays; points beyond the reach of int16 are left out."""
    near = cloud.select((np.abs(cloud.xyz) < STEP * np.iinfo(np.int16).max).all(axis=1))
    kept = near.select(voxel_downsample(near.xyz, VOXEL))
    if not len(kept):
        raise InputError(f"no point of {name} lies within {STEP * np.iinfo(np.int16).max:.0f} m; check its unit")
    arrays: dict[str, Any] = {"xyz_5mm": np.round(kept.xyz / STEP).astype(np.int16)}
    if kept.intensity is not None:
        arrays["intensity"] = np.round(kept.intensity * 255).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


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


def _write_index(index: dict[str, Any], out: Path) -> None:
    write_text(out / INDEX, json.dumps(dict(sorted(index.items())), indent=1, allow_nan=False))


def _is_safe(name: str) -> bool:
    """A frame's name must stay inside its folder."""
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and not PurePosixPath(name).is_absolute() and "\0" not in name
