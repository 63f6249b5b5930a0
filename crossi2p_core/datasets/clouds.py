"""Read a point cloud file of any common kind into a checked `PointCloud`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import PointCloud
from .numpy_files import read_arrays

FORMATS = (".bin", ".pcd", ".ply", ".npy", ".npz")
BIN_FIELDS = ("x", "y", "z", "intensity")

# What drivers and tools call the same quantity, lower case.
INTENSITY = ("intensity", "i", "reflectivity", "reflectance", "remission", "scalar_intensity")
RING = ("ring", "channel", "laser_id", "row")
TIME = ("time", "t", "timestamp", "time_offset", "offset_time")

MAX_INTENSITY = 1e6  # a count no sensor reaches; keeps a damaged value from flattening all others to zero by overflow
MAX_RING = 65535  # no sensor has as many rows; it is what drivers' uint16 holds
ABSOLUTE_TIME = 1e4  # seconds; no scan lasts that long, so larger times are since an epoch
UNITS = ((1.0, 20.0), (1e-3, 2.0), (1e-6, 2.0), (1e-9, 2.0))  # of floating-point times: seconds, longest scan by it
BOTH_SIDES = 0.01  # share of numbers of either sign that damage may explain
SHIFTED = 2.0  # seconds; by finer units than seconds, times that begin later are since the sensor was switched on


def read_cloud(path: str | Path, fields: Sequence[str] = BIN_FIELDS) -> PointCloud:
    """The points of one scan, in its own (LiDAR) frame.

    .bin: float32 rows of `fields`, e.g. KITTI (x, y, z, intensity) or nuScenes with a fifth, ring. .pcd and .ply: ascii
    or binary. .npy: (N, 3 or more) numbers in the order of `fields`, or a structured array. .npz: `xyz` or `points`
    (N, 3), and `intensity`, `ring`, `time` (N,) where known.
    Raises InputError for a missing or truncated file, an odd size, an unknown format, or no usable point.
    """
    path = Path(path)
    try:
        columns = _read_columns(path, fields)
    except OSError as error:
        raise InputError(f"cannot read the cloud {path}: {error.strerror or error}; check the path and its permissions"
                         ) from error
    return cloud_from_columns(columns, str(path))


def cloud_from_columns(columns: Mapping[str, np.ndarray], where: str) -> PointCloud:
    """A checked cloud from named columns of N numbers each: x, y, z in metres, and intensity, ring, time if present.

    Names are compared in lower case. Whole-number times are nanoseconds, others are of the largest unit that makes
    them no longer than a scan. Raises InputError where x, y, z are missing, no point is finite, or a column is not
    numeric; `where` names the cloud in the message.
    """
    named = {name.lower(): np.asarray(values).reshape(-1) for name, values in columns.items()}
    for name, values in named.items():
        if values.dtype.kind not in "fiu":
            raise InputError(f"the field {name} of the cloud {where} is not numeric; write it as float32")
    if not {"x", "y", "z"} <= named.keys():
        raise InputError(f"the cloud {where} has no fields x, y, z (it has {', '.join(named) or 'none'}); write "
                         "them as float32 in metres")
    if not len(named["x"]):
        raise InputError(f"the cloud {where} is empty; give a scan that has points")
    with np.errstate(invalid="ignore", over="ignore"):
        xyz = np.empty((len(named["x"]), 3), np.float32)
        for k, axis in enumerate("xyz"):
            xyz[:, k] = named[axis]
        cloud = PointCloud.from_arrays(xyz, _intensity(named), _ring(named), _seconds(named))
    if not len(cloud):
        raise InputError(f"none of the {len(xyz)} points of the cloud {where} is finite and away from the origin; "
                         "check how it was written")
    return cloud


def _read_columns(path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """The file's columns by name; the ending decides the format."""
    suffix = path.suffix.lower()
    if suffix == ".bin":
        return _read_bin(path, fields)
    if suffix == ".pcd":
        from .pcd import read_pcd

        return read_pcd(path)
    if suffix == ".ply":
        from .ply import read_ply

        return read_ply(path)
    if suffix in (".npy", ".npz"):
        return _read_numpy(path, fields)
    raise InputError(f"{path} is no known cloud format; give one of {', '.join(FORMATS)}")


def _read_bin(path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    data, row = path.read_bytes(), 4 * len(fields)
    if len(data) % row:
        raise InputError(f"the cloud {path} has {len(data)} bytes, not a whole number of {row}-byte points "
                         f"({', '.join(fields)} as float32); it is truncated or of another format")
    table = np.frombuffer(data, "<f4").reshape(-1, len(fields))  # (N, F)
    if "intensity" in fields and _is_coordinate(table[:, fields.index("intensity")]):
        raise InputError(f"the cloud {path} has negative intensities as float32 points of {', '.join(fields)}: its "
                         "points hold more or fewer numbers; write it as .npy or .pcd, which tell how many")
    return {name: table[:, k] for k, name in enumerate(fields)}


def _is_coordinate(values: np.ndarray) -> bool:
    """Whether numbers lie on both sides of zero: no intensities do, be they -1 for none, or decibels."""
    return min((values < 0).sum(), (values > 0).sum()) > BOTH_SIDES * len(values)


def _read_numpy(path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    key = next((name for name in ("", "xyz", "points") if name in arrays), None)  # "": the one array of a .npy file
    if key is None:
        raise InputError(f"the cloud {path} has no array xyz or points (it has {', '.join(arrays) or 'none'})")
    columns = _table_columns(arrays.pop(key), path, fields)
    size = len(next(iter(columns.values())))
    return columns | {name: values for name, values in arrays.items() if values.shape == (size,)}


def _table_columns(table: np.ndarray, path: Path, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a structured (N,) array or of an (N, F) table in the order of `fields`."""
    if table.dtype.names:
        columns = {name.lower(): table[name] for name in table.dtype.names}
        if any(values.ndim != 1 for values in columns.values()):
            raise InputError(f"the cloud {path} needs an array of records, a number in each field; this one is "
                             f"{table.shape} of {table.dtype}")
        return columns
    if table.ndim != 2 or table.shape[1] < 3:
        raise InputError(f"the cloud {path} needs an (N, 3) or wider array of x, y, z, ...; this one is {table.shape}")
    if len(table) <= 8 < table.shape[1]:
        raise InputError(f"the cloud {path} needs a row for each point; this array is {table.shape}: transpose it")
    return {name: table[:, k] for k, name in enumerate(fields[:table.shape[1]])}


def _first(named: Mapping[str, np.ndarray], aliases: Sequence[str]) -> np.ndarray | None:
    return next((named[name] for name in aliases if name in named), None)


def _intensity(named: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(N,) float32 intensities without NaN and overflow; None where the column is only a filler of zeros."""
    values = _first(named, INTENSITY)
    if values is None or not len(values):
        return None
    values = values.astype(np.float32)
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= MAX_INTENSITY:  # NaN compares as false
        values = np.clip(np.nan_to_num(values, posinf=MAX_INTENSITY, neginf=0), 0, MAX_INTENSITY)
    return values if values.any() else None


def _ring(named: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The row of the sensor that each point belongs to; None where the numbers cannot be rows."""
    values = _first(named, RING)
    return values if values is not None and len(values) and 0 <= values.min() <= values.max() <= MAX_RING else None


def _seconds(named: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Times relative to the scan, those since an epoch from the first point on; None where no unit explains them."""
    values = _first(named, TIME)
    if values is None:
        return None
    if values.dtype.kind in "iu":
        return (values - values.min()) * 1e-9
    seconds = values.astype(np.float64)
    finite = seconds[np.isfinite(seconds)]
    if not len(finite):
        return None
    first = finite.min()
    unit = next((unit for unit, longest in UNITS if (finite.max() - first) * unit <= longest), None)
    if unit is None:
        return None
    shifted = abs(first) * unit > (ABSOLUTE_TIME if unit == 1 else SHIFTED)
    return (seconds - (first if shifted else 0.0)) * unit
