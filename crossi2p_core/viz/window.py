"""`crossi2p view`: the coloured cloud in an open3d window where there is a display, else a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import se3
from ..types import Sample
from .colored_cloud import color_cloud
from .image_file import write_image
from .picture import view_picture

_FRUSTUM_M = 1.0  # length of the drawn camera


def has_display() -> bool:
    """Whether a window could open here: X11 and Wayland announce themselves in the environment."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(sample: Sample, T_cam_lidar: np.ndarray, picture: str | Path = "view.png") -> Path | None:
    """Open a window and return None when it is closed; without a display write `picture` and return its path.

    Raises InputError where there is a display but open3d is not installed or cannot open a window, and where the
    picture cannot be written.
    """
    T = se3.check_transform(T_cam_lidar, "T_cam_lidar")
    if has_display():
        _open_window(sample, T)
        return None
    write_image(picture, view_picture(sample, T))
    return Path(picture)


def camera_lines(sample: Sample, T_cam_lidar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The camera as a pyramid in the LiDAR frame: corners (5, 3) m, the centre first, and its edges (8, 2)."""
    w, h = sample.camera.width - 1.0, sample.camera.height - 1.0
    rays = sample.camera.unproject(np.array([[0, 0], [w, 0], [w, h], [0, h]]))
    corners = se3.transform(se3.inverse(T_cam_lidar), np.vstack([np.zeros(3), _FRUSTUM_M * rays]))
    return corners, np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])


def _open_window(sample: Sample, T: np.ndarray) -> None:
    o3d = _open3d()
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(sample.cloud.xyz.astype(np.float64)))
    cloud.colors = o3d.utility.Vector3dVector(color_cloud(sample, T)[0] / 255.0)
    corners, edges = camera_lines(sample, T)
    camera = o3d.geometry.LineSet(o3d.utility.Vector3dVector(corners), o3d.utility.Vector2iVector(edges))
    axes = o3d.geometry.TriangleMesh.create_coordinate_frame(size=1.0)
    if o3d.visualization.draw_geometries([cloud, camera, axes], window_name=sample.name) is False:
        raise InputError("open3d cannot open a window on this display; use --out to get a picture instead")


def _open3d() -> Any:
    try:
        import open3d
    except ImportError as error:
        raise InputError("the window needs open3d; run `pip install open3d`, or use --out to get a picture") from error
    return open3d
