"""ROS messages to what flows through the house: CameraInfo, PointCloud2, transforms, stamps.

Messages are duck-typed: whatever has the fields of sensor_msgs and geometry_msgs will do, from a bag (ROS 1 or 2) or
from rclpy. Nothing here imports ROS or rosbags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.quaternion import rotation_from_xyzw
from ..types import Camera, PointCloud
from .clouds import cloud_from_columns

# sensor_msgs/PointField.datatype -> numpy type
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
INTENSITY = ("intensity", "reflectivity", "i")
TIME = ("time", "t", "timestamp", "time_stamp", "offset_time")
RING = ("ring", "channel", "line")

# Times this large count from 1970 in the given unit (seconds); smaller ones are relative to the stamp.
SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e8, 1.0))


def stamp_ns(header: Any) -> int:
    """Nanoseconds of a std_msgs/Header; ROS 2 says sec and nanosec, rospy secs and nsecs."""
    stamp = header.stamp
    seconds = stamp.sec if hasattr(stamp, "sec") else stamp.secs
    rest = next(getattr(stamp, name) for name in ("nanosec", "nsec", "nsecs") if hasattr(stamp, name))
    return int(seconds) * 1_000_000_000 + int(rest)


def is_rectified_topic(topic: str) -> bool:
    """True for the names that image_proc gives to undistorted images: image_rect, image_rect_color, ..."""
    return any(part.startswith("image_rect") for part in topic.split("/"))


def camera_from_message(info: Any, width: int, height: int, rectified: bool, where: str) -> Camera:
    """The camera of an image of `width` x `height` pixels from its CameraInfo.

    rectified: the image is undistorted, so P counts; otherwise K and D. Binning and the region of interest are
    honoured; an image at another resolution of the same shape gets the intrinsics rescaled.
    Raises InputError for K = 0 (an uncalibrated camera), an unknown distortion model, or another shape of image.
    """
    K, D, P = (np.asarray(_field(info, name), dtype=np.float64) for name in "kdp")
    if not (P if rectified else K).any():
        raise InputError(f"{where}: the camera is not calibrated, CameraInfo.{'P' if rectified else 'K'} is all zeros; "
                         "calibrate it, or give the calibration in a folder of pairs")
    full = (int(info.width), int(info.height)) if info.width and info.height else (width, height)
    roi = info.roi
    try:
        camera = Camera.from_info(K.tolist(), D.tolist(), info.distortion_model, *full, P=P.tolist(),
                                  rectified=rectified, binning=(info.binning_x, info.binning_y),
                                  roi=(roi.x_offset, roi.y_offset, roi.width, roi.height))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if (camera.width, camera.height) == (width, height):
        return camera
    # One pixel of rounding per side is what halving an odd size costs.
    if abs(camera.width * height - camera.height * width) > max(camera.width, camera.height, width, height):
        raise InputError(f"{where}: the image is {width}x{height} but its CameraInfo is for "
                         f"{camera.width}x{camera.height}; the two are not of one camera")
    return camera.resize(width, height)


def cloud_from_message(message: Any, where: str) -> PointCloud:
    """The points of a PointCloud2 in its own frame; times are relative to the header's stamp.

    Intensity may be missing or called reflectivity or i; ring also channel or line; time also t, timestamp,
    time_stamp or offset_time: whole numbers are nanoseconds, others seconds, and those since 1970 are brought to the
    stamp. Non-finite points go. Raises InputError where x, y, z or all points are missing, or bytes are.
    """
    table = _points(message, where)
    columns = {axis: table[axis] for axis in "xyz" if axis in table}
    for name, aliases in (("intensity", INTENSITY), ("ring", RING)):
        found = _first(table, aliases)
        if found is not None:
            columns[name] = found
    time = _first(table, TIME)
    seconds = None if time is None else _relative_seconds(time, stamp_ns(message.header))
    if seconds is not None:
        columns["time"] = seconds
    return cloud_from_columns(columns, where)


def transform_from_message(transform: Any, where: str) -> np.ndarray:
    """T_parent_child (4, 4) of a geometry_msgs/Transform; raises InputError where it is no rigid motion."""
    q, t = transform.rotation, transform.translation
    T = np.eye(4)
    T[:3, :3] = rotation_from_xyzw((q.x, q.y, q.z, q.w), where)
    T[:3, 3] = (t.x, t.y, t.z)
    if not np.isfinite(T).all():
        raise InputError(f"{where}: the translation {T[:3, 3].tolist()} is not finite; correct the publisher")
    return T


def _field(info: Any, name: str) -> Any:
    """K, D and P are upper case in ROS 1 and lower case in ROS 2."""
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())


def _points(message: Any, where: str) -> dict[str, np.ndarray]:
    """The fields by lower-case name, each (N,), as views of the message's bytes."""
    height, width = int(message.height), int(message.width)
    step, row = int(message.point_step), int(message.row_step)
    order = ">" if message.is_bigendian else "<"
    fields: dict[str, tuple[str, int]] = {}
    for field in message.fields:
        dtype = _DATATYPES.get(int(field.datatype))
        if dtype is None or not 0 <= field.offset <= step - np.dtype(dtype).itemsize:
            raise InputError(f"{where}: the field {field.name!r} does not fit a point of {step} bytes; "
                             "the cloud is damaged")
        if field.name:  # padding may be a field without a name
            fields.setdefault(field.name.lower(), (order + dtype, int(field.offset)))
    row = max(row, width * step) if height == 1 else row
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if row < width * step or len(data) < (height - 1) * row + width * step:
        raise InputError(f"{where}: {len(data)} bytes are too few for {height} x {width} points of {step} bytes; "
                         "the cloud is damaged")
    spec: Any = {"names": list(fields), "formats": [f[0] for f in fields.values()],
                 "offsets": [f[1] for f in fields.values()], "itemsize": step}
    layout = np.dtype(spec)
    table = np.ndarray((height, width), layout, data, strides=(row, step)) if height * width else np.zeros(0, layout)
    return {name: table[name].reshape(-1) for name in fields}


def _first(table: Mapping[str, np.ndarray], aliases: tuple[str, ...]) -> np.ndarray | None:
    return next((table[name] for name in aliases if name in table), None)


def _relative_seconds(time: np.ndarray, stamp: int) -> np.ndarray | None:
    """(N,) float64 seconds after `stamp` (ns); None for float32 times since 1970, which are minutes off."""
    if time.dtype.kind in "iu":  # of 32 bits at most, so nanoseconds within the scan
        return time * 1e-9
    largest = float(np.max(np.abs(time), initial=0, where=np.isfinite(time)))
    unit = next((unit for threshold, unit in SINCE_1970 if largest > threshold), None)
    if unit is None:
        return time.astype(np.float64)
    return time * unit - stamp * 1e-9 if time.dtype.itemsize == 8 else None
