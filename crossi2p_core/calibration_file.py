"""An extrinsic on disk: written as YAML that people and other tools can read, read back with its content checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from . import atomic
from .errors import InputError
from .geometry import quaternion, se3
from .safe_yaml import read_plain

FORMAT = "crossi2p extrinsic 1"
LONGEST_OFFSET_S = 1.0  # beyond, images and scans are no pairs at all
HEADER = """\
# Extrinsic of a camera and a LiDAR: p_cam = T_cam_lidar @ p_lidar, metres.
# Camera frame: optical (x right, y down, z forward). The translation and the quaternion repeat the matrix.
# covariance: of exp(xi) T_cam_lidar, xi = (rotation in radians, translation in metres) in the camera frame.
# time_offset_s: images were taken so much later than their stamps say; it belongs to scans moved to that moment.
"""


@dataclass(frozen=True)
class Extrinsic:
    """What a calibration file holds.

    T_cam_lidar: (4, 4). covariance: (6, 6) of the left perturbation, (rotation rad, translation m) in the camera frame,
    or None; an infinite one says as much and is left out when written. status and reason: as `types.Registration`.
    source: what it was computed from. date: ISO 8601, empty unless given: equal results make equal files.
    time_offset_s: to be added to the images' stamps; the extrinsic holds where each scan is moved to that moment. None:
    where scans are taken as they are.
    """

    T_cam_lidar: np.ndarray
    camera_frame: str = "camera"
    lidar_frame: str = "lidar"
    covariance: np.ndarray | None = None
    status: str = ""
    reason: str = ""
    source: str = ""
    date: str = ""
    time_offset_s: float | None = None


def write_calibration(path: str | Path, extrinsic: Extrinsic) -> Path | None:
    """Write `extrinsic` to `path` in one step; a former file with other content stays as `NAME.yaml.bak`.

    A former backup moves on to `NAME.yaml.bak.1`, `.2`, ...: nothing that was saved is lost. Returns the path of the
    backup made, or None. Raises InputError where T_cam_lidar or the covariance is unusable or the place not writable.
    """
    path = Path(path)
    text = HEADER + yaml.safe_dump(_document(extrinsic, str(path)), sort_keys=False, default_flow_style=None, width=110)
    return replace_keeping_former(path, text.encode())


def replace_keeping_former(path: str | Path, content: bytes) -> Path | None:
    """Write any file as `write_calibration` does its own: in one step, the former one as a backup beside it."""
    backup = _back_up(Path(path), content)
    atomic.write_bytes(path, content)
    return backup


def read_calibration(path: str | Path) -> np.ndarray:
    """T_cam_lidar (4, 4) float64 of our YAML, or of any YAML or JSON file with one; errors as `read_extrinsic`."""
    return read_extrinsic(path).T_cam_lidar


def read_extrinsic(path: str | Path) -> Extrinsic:
    """All that a calibration file says.

    T_cam_lidar may stand as 4x4 or 3x4 rows or as 16 or 12 numbers row by row. Raises InputError for a file that cannot
    be read, without T_cam_lidar, with a matrix that is no rigid transform, and for a translation or quaternion that
    contradicts the matrix (someone changed only one of them).
    """
    content = read_plain(path)
    if not isinstance(content, Mapping) or "T_cam_lidar" not in content:
        raise InputError(f"{path} holds no T_cam_lidar; a calibration file needs 'T_cam_lidar' with four rows of four")
    T = se3.check_transform(_rows(content["T_cam_lidar"], str(path)), f"T_cam_lidar of {path}")
    _check_agreement(content, T, str(path))
    covariance = content.get("covariance")
    if covariance is not None:
        covariance = _numbers(covariance, (6, 6), f"covariance of {path}")
    labels = {name: str(content.get(name) or "") for name in ("status", "reason", "source", "date")}
    return Extrinsic(T, str(content.get("camera_frame") or "camera"), str(content.get("lidar_frame") or "lidar"),
                     covariance, **labels, time_offset_s=_offset(content.get("time_offset_s"), str(path)))


def _document(extrinsic: Extrinsic, where: str) -> dict[str, Any]:
    """What is written, in this order; empty labels are left out."""
    T = se3.check_transform(extrinsic.T_cam_lidar, f"T_cam_lidar for {where}")
    document: dict[str, Any] = {
        "format": FORMAT, "camera_frame": extrinsic.camera_frame, "lidar_frame": extrinsic.lidar_frame,
        "T_cam_lidar": T.tolist(), "translation_m": T[:3, 3].tolist(),
        "quaternion_xyzw": quaternion.xyzw_from_rotation(T[:3, :3]).tolist(),
    }
    if extrinsic.covariance is not None and not np.isinf(extrinsic.covariance).any():
        document["covariance"] = _numbers(extrinsic.covariance, (6, 6), f"covariance for {where}").tolist()
    if extrinsic.time_offset_s is not None:
        document["time_offset_s"] = _offset(extrinsic.time_offset_s, where)
    labels = {name: getattr(extrinsic, name) for name in ("status", "reason", "source", "date")}
    return document | {name: label for name, label in labels.items() if label}


def _back_up(path: Path, new: bytes) -> Path | None:
    """Keep the former content of `path`, if it has another one than `new`, beside it."""
    try:
        if not path.is_file():
            return None
        former = path.read_bytes()
        if former == new:
            return None
        backup = path.with_name(path.name + ".bak")
        if backup.exists() and backup.read_bytes() != former:
            number = 1
            while (older := path.with_name(f"{backup.name}.{number}")).exists():
                number += 1
            backup.rename(older)
    except OSError as error:
        raise InputError(f"cannot keep the former {path}: {error.strerror or error}; write elsewhere") from error
    atomic.write_bytes(backup, former)
    return backup


def _rows(value: Any, where: str) -> np.ndarray:
    """(4, 4) from the ways people write a transform."""
    array = _numbers(value, None, f"T_cam_lidar of {where}")
    if array.size == 12 and array.shape in ((12,), (3, 4)):
        return np.vstack([array.reshape(3, 4), [0, 0, 0, 1]])
    if array.size == 16 and array.shape in ((16,), (4, 4)):
        return array.reshape(4, 4)
    raise InputError(f"T_cam_lidar of {where} has shape {array.shape}; write four rows of four numbers")


def _numbers(value: Any, shape: tuple[int, ...] | None, what: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the {what} is not a table of numbers; check its rows") from error
    if shape is not None and array.shape != shape:
        raise InputError(f"the {what} has shape {array.shape}, not {shape}; check its rows")
    if not np.isfinite(array).all():
        raise InputError(f"the {what} holds values that are not finite; calibrate again")
    return array


def _offset(value: Any, where: str) -> float | None:
    """s."""
    if value is None:
        return None
    seconds = float(_numbers(value, (), f"time_offset_s of {where}"))
    if abs(seconds) > LONGEST_OFFSET_S:
        raise InputError(f"time_offset_s of {where} is {seconds:g} s, and images and scans that are more than "
                         f"{LONGEST_OFFSET_S:g} s apart are no pairs; correct it, or leave it out")
    return seconds


def _check_agreement(content: Mapping[str, Any], T: np.ndarray, where: str) -> None:
    """A file edited by hand must not say two things."""
    advice = "someone changed only one of them, so correct or delete the wrong one"
    if "translation_m" in content:
        t = _numbers(content["translation_m"], (3,), f"translation_m of {where}")
        if np.abs(t - T[:3, 3]).max() > 1e-3:
            raise InputError(f"{where}: translation_m and T_cam_lidar differ; {advice}")
    if "quaternion_xyzw" in content:
        q = _numbers(content["quaternion_xyzw"], (4,), f"quaternion_xyzw of {where}")
        # |<q, p>| = cos(angle / 2) whatever the signs; 1 - 1e-6 is 0.16 degrees
        length = max(float(np.linalg.norm(q)), 1e-12)
        if abs(q @ quaternion.xyzw_from_rotation(T[:3, :3])) < (1 - 1e-6) * length:
            raise InputError(f"{where}: quaternion_xyzw and T_cam_lidar differ; {advice}")
