"""sensor_msgs/PointCloud2 to a PointCloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import InputError
from ...types import PointCloud
from ..clouds import cloud_from_columns
from .point_times import seconds_after
from .stamps import stamp_ns

# sensor_msgs/PointField.datatype -> numpy type
DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
AXES = ("x", "y", "z")
INTENSITY = ("intensity", "reflectivity", "i")
TIME = ("time", "t", "timestamp", "time_stamp", "offset_time", "time_offset", "timeoffset")
RING = ("ring", "channel", "line")


def cloud_from_message(message: Any, where: str) -> PointCloud:
    """The points of a PointCloud2 in its own frame; times are relative to the header's stamp.

    Intensity may be missing or called reflectivity or i; ring also channel or line; time by any name of TIME, its
    unit and zero found by `seconds_after`. Non-finite points go. Raises InputError where x, y, z or all points are
    missing, or bytes are, sizes contradict each other, or a coordinate is not one floating-point number.
    """
    table = _points(message, where)
    columns = {axis: table[axis] for axis in AXES if axis in table}
    for name, aliases in (("intensity", INTENSITY), ("ring", RING)):
        found = _first(table, aliases)
        if found is not None:
            columns[name] = found
    time = _first(table, TIME)
    seconds = None if time is None else seconds_after(time, stamp_ns(message.header))
    if seconds is not None:
        columns["time"] = seconds
    return cloud_from_columns(columns, where)


def _points(message: Any, where: str) -> dict[str, np.ndarray]:
    """The fields by lower-case name, each (N,), as views of the message's bytes."""
    height, width = int(message.height), int(message.width)
    step, row = int(message.point_step), int(message.row_step)
    order = ">" if message.is_bigendian else "<"
    if height * width == 0:
        raise InputError(f"the cloud {where} is empty ({height} x {width} points); give a scan that has points")
    fields: dict[str, tuple[str, int]] = {}
    for field in message.fields:
        dtype = DATATYPES.get(int(field.datatype))
        if dtype is None or not 0 <= field.offset <= step - np.dtype(dtype).itemsize:
            raise InputError(f"{where}: the field {field.name!r} does not fit a point of {step} bytes; "
                             "the cloud is damaged")
        if field.name.lower() in AXES:
            _check_axis(field, dtype, where)
        if field.name:  # padding may be a field without a name
            fields.setdefault(field.name.lower(), (order + dtype, int(field.offset)))
    row = max(row, width * step) if height == 1 else row
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if row < width * step or len(data) < (height - 1) * row + width * step:
        raise InputError(f"{where}: {len(data)} bytes are too few for {height} x {width} points of {step} bytes; "
                         "the cloud is damaged")
    spec: Any = {"names": list(fields), "formats": [f[0] for f in fields.values()],
                 "offsets": [f[1] for f in fields.values()], "itemsize": step}
    table = np.ndarray((height, width), np.dtype(spec), data, strides=(row, step))
    return {name: table[name].reshape(-1) for name in fields}


def _check_axis(field: Any, dtype: str, where: str) -> None:
    """Raise InputError where a coordinate is no single number in metres: of whole numbers nobody knows the unit."""
    if int(field.count) > 1:
        raise InputError(f"{where}: the field {field.name!r} holds {field.count} numbers per point; write x, y and z "
                         "as three fields of one number each")
    if dtype[0] != "f":
        raise InputError(f"{where}: the field {field.name!r} is {np.dtype(dtype).name}, whose unit nobody knows; write "
                         "x, y and z as float32 or float64 in metres")


def _first(table: Mapping[str, np.ndarray], aliases: tuple[str, ...]) -> np.ndarray | None:
    return next((table[name] for name in aliases if name in table), None)
