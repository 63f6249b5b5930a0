"""The JSON tables of nuScenes, row by row: a table of over a gigabyte needs no more memory than what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.quaternion import rotation_from_xyzw

LIDAR = "LIDAR_TOP"
WINDOW = 1 << 22  # characters read at a time, thousands of rows
VERSION_FOLDERS = "v1.0-*"
WORDS = ("token", "name", "channel", "filename")  # columns that end so hold text
LATEST = 1e17  # microseconds since 1970; no recording is of the year 5000


@dataclass(frozen=True)
class Sensor:
    """One mounting of a sensor: channel (`CAM_FRONT`), T_ego_sensor (4, 4), and K (3, 3) or None for a LiDAR."""

    token: str
    channel: str
    T_ego_sensor: np.ndarray
    K: np.ndarray | None


@dataclass(frozen=True)
class Capture:
    """One row of sample_data: one image or one scan. stamp: microseconds. width, height: pixels, 0 for a scan."""

    sample: str
    sensor: str
    ego_pose: str
    stamp: int
    filename: str
    width: int
    height: int


def find_tables(path: Path, version: str | None) -> Path:
    """The folder of the tables below (or at) `path`.

    version: `v1.0-mini`, `v1.0-trainval`, `v1.0-test`, or only the last word; None takes the one that is there.
    Raises InputError where there is none, or several and no choice.
    """
    if (path / "scene.json").is_file():
        return path
    present = sorted(folder.name for folder in path.glob(VERSION_FOLDERS) if (folder / "scene.json").is_file())
    if not present:
        raise InputError(f"{path} has no nuScenes tables ({VERSION_FOLDERS}/scene.json); unpack the metadata archive "
                         "there")
    if version is None:
        if len(present) > 1:
            raise InputError(f"{path} holds several versions of nuScenes; choose one by version="
                             + " or version=".join(present))
        return path / present[0]
    name = version if version.startswith("v1.0-") else f"v1.0-{version}"
    if name not in present:
        raise InputError(f"{path} has no version {version!r} of nuScenes; it has {', '.join(present)}")
    return path / name


def read_rows(path: Path, columns: Sequence[str], window: int = WINDOW) -> Iterator[tuple[Any, ...]]:
    """The given columns of every row of one table, in file order, read as it goes.

    The file is one array of objects. It is decoded object by object from a moving window, so memory stays at some
    megabytes whatever the file's size. Raises InputError where it is missing, cut off, no JSON, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for row in _objects(file.read, window, path):
                if not isinstance(row, dict) or any(name not in row for name in columns):
                    raise InputError(f"the table {path} has a row that lacks one of {', '.join(columns)}; this is not "
                                     "the nuScenes schema v1.0")
                values = tuple(row[name] for name in columns)
                if any(not isinstance(value, str) for name, value in zip(columns, values, strict=True)
                       if name.endswith(WORDS)):
                    raise InputError(f"the table {path} has a row whose token, name or filename is no text; this is "
                                     "not the nuScenes schema v1.0")
                yield values
    except OSError as error:
        raise InputError(f"cannot read the table {path}: {error.strerror or error}; unpack the nuScenes metadata again"
                         ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the table {path} is not text; unpack the nuScenes metadata again") from error


def _objects(read: Callable[[int], str], window: int, path: Path) -> Iterator[Any]:
    """The elements of the JSON array that `read` delivers piece by piece."""
    decode = json.JSONDecoder().raw_decode
    text, at = read(window), 0
    if not text.lstrip().startswith("["):
        raise InputError(f"the table {path} is no JSON list; unpack the nuScenes metadata again")
    at = text.index("[") + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at:at + 1] == "]":
            return
        try:
            row, at = decode(text, at)
        except RecursionError as error:
            raise InputError(f"the table {path} is nested without end; unpack the nuScenes metadata again") from error
        except ValueError as error:  # no JSON as yet, or an integer of thousands of digits
            # A row is some hundred characters: one that is not whole within a window never will be.
            more = read(window) if len(text) - at < window else ""
            if not more:
                raise InputError(f"the table {path} is cut off or damaged; unpack the nuScenes metadata again"
                                 ) from error
            text, at = text[at:] + more, 0
            continue
        yield row


def read_sensors(tables: Path) -> dict[str, Sensor]:
    """All mountings by their calibrated_sensor token."""
    channels = {token: channel for token, channel in read_rows(tables / "sensor.json", ("token", "channel"))}
    columns = ("token", "sensor_token", "translation", "rotation", "camera_intrinsic")
    sensors = {}
    for token, sensor, translation, rotation, intrinsic in read_rows(tables / "calibrated_sensor.json", columns):
        where = f"{tables / 'calibrated_sensor.json'}, token {token}"
        if sensor not in channels:
            raise InputError(f"{where}: its sensor {sensor!r} is not in sensor.json; unpack the nuScenes "
                             "metadata again")
        K = _numbers(intrinsic, (3, 3), "camera_intrinsic", where) if intrinsic else None
        sensors[token] = Sensor(token, channels[sensor], pose(translation, rotation, where), K)
    return sensors


def read_captures(tables: Path, sensors: dict[str, Sensor], channels: set[str], sweeps: bool) -> list[Capture]:
    """The images and scans of some channels: key frames only, or with the sweeps between them."""
    wanted = {token for token, sensor in sensors.items() if sensor.channel in channels}
    columns = ("sample_token", "calibrated_sensor_token", "ego_pose_token", "timestamp", "filename", "width", "height",
               "is_key_frame")
    found = []
    rows = read_rows(tables / "sample_data.json", columns)
    for sample, sensor, ego_pose, stamp, filename, width, height, is_key_frame in rows:
        if sensor not in wanted or not (sweeps or is_key_frame):
            continue
        try:
            if not abs(stamp) < LATEST:
                raise ValueError(stamp)
            found.append(Capture(sample, sensor, ego_pose, int(stamp), filename, int(width or 0), int(height or 0)))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{tables / 'sample_data.json'}: the row of {filename} has a timestamp or size that is no "
                             "number; unpack the nuScenes metadata again") from error
    return found


def read_ego_poses(tables: Path, tokens: set[str]) -> dict[str, np.ndarray]:
    """T_global_ego (4, 4) of the given ego_pose tokens; raises InputError where one is missing."""
    path = tables / "ego_pose.json"
    rows = read_rows(path, ("token", "translation", "rotation"))
    poses = {token: pose(translation, rotation, f"{path}, token {token}")
             for token, translation, rotation in rows if token in tokens}
    missing = tokens - poses.keys()
    if missing:
        raise InputError(f"{path} lacks {len(missing)} of the poses in use, such as {min(missing)}; unpack it again")
    return poses


def pose(translation: Any, rotation_wxyz: Any, where: str) -> np.ndarray:
    """T_parent_child (4, 4) from metres and a quaternion (w, x, y, z); raises InputError for one that is no pose."""
    T = np.eye(4)
    T[:3, :3] = rotation_from_xyzw(np.roll(_numbers(rotation_wxyz, (4,), "rotation", where), -1), where)
    T[:3, 3] = _numbers(translation, (3,), "translation", where)
    return T


def _numbers(values: Any, shape: tuple[int, ...], name: str, where: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise InputError(f"{where}: {name} must be {'x'.join(map(str, shape))} finite numbers, not {values}; "
                         "correct it")
    return numbers
