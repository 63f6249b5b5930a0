"""Any source as a compact folder (see compact.py): frame by frame, by several processes, and again where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..atomic import write_bytes, write_text
from ..errors import InputError
from ..geometry.voxels import voxel_downsample
from ..types import PointCloud, Sample
from .compact import INDEX, STEP, is_safe
from .json_values import read_object
from .source import Source

ORIGIN = "prepared_from.json"
VOXEL = 0.1  # metres
JPEG_QUALITY = 95
INDEX_EVERY = 50  # frames between two writings of the index: what an interruption can cost
IN_A_ROW = 4  # frames that a process takes at a time: neighbours in a recording often share what is read

Written = tuple[str, dict[str, Any]]  # a frame's name and its entry of the index
_given: tuple[Source, Path]  # what a process of its own works on


def prepare(source: Source, out: str | Path, progress: Callable[[int, int], None] | None = None, jobs: int = 1) -> int:
    """Write every frame of `source` as a compact folder and return how many were written now.

    Frames that an interrupted run finished are kept, so that calling again resumes. `progress(done, total)` is called
    after each frame. jobs: so many processes. Raises InputError where a frame cannot be read, `out` cannot be written,
    or `out` was prepared from something else; what was written before that stays valid.
    """
    out = Path(out)
    index = _resumable_index(source, out)
    left = [number for number, name in enumerate(source.names) if not _is_written(name, index, out)]
    done = len(source) - len(left)
    written = 0
    try:
        with closing(_written(source, out, left, jobs)) as frames:
            for name, entry in frames:
                index[name] = entry
                written += 1
                if written % INDEX_EVERY == 0:
                    _write_index(index, out)
                if progress is not None:
                    progress(done + written, len(source))
    finally:  # also on Ctrl-C: what is finished counts
        if written:
            _write_index(index, out)
        else:
            _release_if_empty(out)
    return written


def _is_written(name: str, index: dict[str, Any], out: Path) -> bool:
    return name in index and all((out / f"{name}{end}").is_file() for end in (".jpg", ".npz"))


def _written(source: Source, out: Path, left: Sequence[int], jobs: int) -> Generator[Written, None, None]:
    """Write the frames of these numbers, and tell each as soon as it and those before it are there."""
    if jobs <= 1 or len(left) <= 1:
        yield from (_write_frame(source[number], out, source.names[number]) for number in left)
        return
    context = multiprocessing.get_context("spawn")  # forked, torch's threads would be waited for and not be there
    with ProcessPoolExecutor(min(jobs, len(left)), context, _begin, (source, out, jobs)) as pool:
        try:
            yield from pool.map(_write_numbered, left, chunksize=IN_A_ROW)
        except BrokenProcessPool as error:
            raise InputError(f"a process that prepared frames of {source.path} was killed, perhaps for want of memory; "
                             "go on with fewer --jobs") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(source: Source, out: Path, jobs: int) -> None:
    """In a process of its own: its share of the processor's cores."""
    global _given
    _given = source, out
    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _write_numbered(number: int) -> Written:
    source, out = _given
    return _write_frame(source[number], out, source.names[number])


def _release_if_empty(out: Path) -> None:
    """Leave nothing behind where not even the first frame could be written."""
    if out.is_dir() and [path.name for path in out.iterdir()] == [ORIGIN]:
        (out / ORIGIN).unlink()
        out.rmdir()


def _resumable_index(source: Source, out: Path) -> dict[str, Any]:
    """The index of a former run over the same source, else {}; claims `out` for this source."""
    unsafe = next((name for name in source.names if not is_safe(name)), None)
    if unsafe is not None:
        raise InputError(f"the frame name {unsafe!r} of {source.path} cannot be a file name; rename the frame")
    identity = source.identity()
    if out.is_dir() and (out / ORIGIN).is_file():
        origin = read_object(out / ORIGIN)
        if origin.get("source") != identity:
            raise InputError(f"{out} was prepared from {origin.get('source')}, not from {identity}; choose another "
                             "folder")
        same_frame = origin.get("frame") == source.names[0]  # else another part of it is asked for, or more of it
        if same_frame and origin.get("first") not in (None, "", _digest(source)):
            raise InputError(f"another recording lies at {source.path} than the one that {out} was prepared from; "
                             "choose another folder")
        return read_object(out / INDEX) if (out / INDEX).is_file() else {}
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is not empty and was not written by prepare; choose a new folder")
    write_text(out / ORIGIN, json.dumps(
        {"source": identity, "frame": source.names[0], "first": _digest(source)}, indent=1))
    return {}


def _digest(source: Source) -> str:
    """Of the first frame: the same path may hold another recording tomorrow. Empty where it cannot be read, and of what
    lies nowhere."""
    if not source.path.exists():
        return ""
    try:
        first = source[0]
    except InputError:
        return ""
    known = b"" if first.T_cam_lidar is None else first.T_cam_lidar.tobytes()
    parts = first.image.tobytes(), first.cloud.xyz.tobytes(), first.camera.K.tobytes(), known
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _write_frame(sample: Sample, out: Path, name: str) -> Written:
    """Write image and cloud."""
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
    return name, entry


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


def _write_index(index: dict[str, Any], out: Path) -> None:
    write_text(out / INDEX, json.dumps(dict(sorted(index.items())), indent=1, allow_nan=False))
