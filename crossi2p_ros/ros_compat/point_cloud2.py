"""sensor_msgs_py.point_cloud2: PointCloud2 messages to arrays and back.

Only what all distributions have: Humble's `create_cloud` knows no `point_step`, and its `read_points_numpy` refuses a
cloud whose other fields are of another type, so `read_points` it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .borrowed import borrow

_real = borrow("sensor_msgs_py", module="sensor_msgs_py.point_cloud2")

if TYPE_CHECKING or _real is None:
    from .own.point_cloud2 import (
        create_cloud,
        create_cloud_xyz32,
        dtype_from_fields,
        read_points,
    )
else:
    create_cloud, create_cloud_xyz32 = _real.create_cloud, _real.create_cloud_xyz32
    dtype_from_fields, read_points = _real.dtype_from_fields, _real.read_points

CLOUD_ERRORS = (AssertionError, KeyError, TypeError, ValueError)
"""What the readers raise, whichever they are, for a message that lies about itself."""

__all__ = [
    "CLOUD_ERRORS",
    "create_cloud",
    "create_cloud_xyz32",
    "dtype_from_fields",
    "read_points",
]
