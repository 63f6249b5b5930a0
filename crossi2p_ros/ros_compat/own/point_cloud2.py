"""Stand-in for sensor_msgs_py.point_cloud2: PointCloud2 messages to structured arrays and back.

One difference is meant: big-endian points are swapped in a copy, the message stays as it came.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.recfunctions import unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_TYPES = {PointField.INT8: "i1", PointField.UINT8: "u1", PointField.INT16: "i2", PointField.UINT16: "u2",
          PointField.INT32: "i4", PointField.UINT32: "u4", PointField.FLOAT32: "f4", PointField.FLOAT64: "f8"}
_NATIVE = sys.byteorder == "big"


def read_points(cloud: PointCloud2, field_names: Sequence[str] | None = None, skip_nans: bool = False,
                uvs: Iterable[int] | None = None, reshape_organized_cloud: bool = False) -> np.ndarray:
    """(N,) structured array of the points; may share the message's memory.

    `skip_nans` drops points with a NaN in one of the fields read, if the cloud does not call itself dense; infinite
    ones stay. `uvs` are indices of the points wanted. An organised cloud can come as (width, height).
    A message that lies about itself raises one of point_cloud2.CLOUD_ERRORS.
    """
    dtype = dtype_from_fields(cloud.fields, cloud.point_step)
    points: np.ndarray = np.ndarray(cloud.width * cloud.height, dtype=dtype, buffer=cloud.data)
    if field_names is not None:
        if missing := [name for name in field_names if name not in (dtype.names or ())]:
            raise ValueError(f"the cloud has no field {', '.join(missing)}, only {', '.join(dtype.names or ())}")
        points = points[list(field_names)]
    if bool(cloud.is_bigendian) != _NATIVE:
        points = points.byteswap()
    if skip_nans and not cloud.is_dense:
        points = points[~np.any([np.isnan(points[name]) for name in points.dtype.names or ()], axis=0)]
    if uvs is not None:
        points = points[uvs if isinstance(uvs, np.ndarray) else np.fromiter(uvs, dtype=int)]
    if reshape_organized_cloud and cloud.height > 1:
        points = points.reshape(cloud.width, cloud.height)
    return points


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Type of one point.

    A field with a count above one becomes `name_0`, `name_1`, ..., a nameless one `unnamed_field_i`.
    """
    names: list[str] = []
    formats: list[str] = []
    offsets: list[int] = []
    for number, field in enumerate(fields):
        if field.count < 1:
            raise ValueError(f"field {field.name} has a count of {field.count}")
        name = field.name or f"unnamed_field_{number}"
        size = np.dtype(_TYPES[field.datatype]).itemsize
        names += [name] if field.count == 1 else [f"{name}_{part}" for part in range(field.count)]
        formats += [_TYPES[field.datatype]] * field.count
        offsets += [field.offset + part * size for part in range(field.count)]
    layout: Any = {"names": names, "formats": formats, "offsets": offsets}
    return np.dtype(layout if point_step is None else layout | {"itemsize": point_step})


def create_cloud(header: Header, fields: Sequence[PointField], points: np.ndarray | Iterable) -> PointCloud2:
    """PointCloud2 of a structured array that fits the fields, of a plain (N, F) one, or of a list of points.

    A structured array of shape (width, height) makes an organised cloud. `is_dense` is left False.
    """
    dtype = dtype_from_fields(fields)
    if not isinstance(points, np.ndarray):
        points = np.array([tuple(point) for point in points], dtype=dtype)
    elif points.dtype.names is None:
        if len({field.datatype for field in fields}) > 1:
            raise ValueError("the fields differ in type; give a structured array")
        points = unstructured_to_structured(points, dtype=dtype)
    elif points.dtype != dtype:
        raise ValueError(f"points of type {points.dtype} do not fit the fields, which mean {dtype}")
    if points.ndim > 2:
        raise ValueError(f"points of shape {points.shape} are no cloud; at most two dimensions")
    cloud = PointCloud2(header=header, height=points.shape[1] if points.ndim == 2 else 1, width=points.shape[0],
                        fields=list(fields), is_bigendian=_NATIVE, is_dense=False, point_step=points.dtype.itemsize,
                        row_step=points.dtype.itemsize * points.shape[0])
    cloud.data.frombytes(np.ascontiguousarray(points).view(np.uint8).reshape(-1).data)
    return cloud


def create_cloud_xyz32(header: Header, points: np.ndarray | Iterable) -> PointCloud2:
    """PointCloud2 of points (N, 3), as float32 x, y, z."""
    fields = [PointField(name=name, offset=4 * axis, datatype=PointField.FLOAT32, count=1)
              for axis, name in enumerate("xyz")]
    return create_cloud(header, fields, points)
