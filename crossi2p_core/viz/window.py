"""`crossi2p view`: the coloured cloud in an open3d window where there is a display, else a picture."""

from __future__ import annotations

import ctypes
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
    """Whether a window can open here: an X11 or Wayland server that the environment names answers.

    Names alone are not enough: without a server behind them open3d falls back to an invisible window and waits in it
    for ever.
    """
    x11 = bool(os.environ.get("DISPLAY")) and _answers("libX11.so.6", "XOpenDisplay", "XCloseDisplay")
    return x11 or (bool(os.environ.get("WAYLAND_DISPLAY"))
                   and _answers("libwayland-client.so.0", "wl_display_connect", "wl_display_disconnect"))


def show(sample: Sample, T_cam_lidar: np.ndarray, picture: str | Path = "view.png") -> Path | None:
    """Open a window and return None when it is closed; without a display write `picture` and return its path.

    Raises InputError where there is a display but open3d is missing or cannot open a window, and where the picture
    cannot be written.
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
    """Show cloud, camera and the LiDAR's axes until the window is closed; the view starts behind the camera."""
    o3d = _open3d()
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(sample.cloud.xyz.astype(np.float64)))
    cloud.colors = o3d.utility.Vector3dVector(color_cloud(sample, T)[0] / 255.0)
    corners, edges = camera_lines(sample, T)
    camera = o3d.geometry.LineSet(o3d.utility.Vector3dVector(corners), o3d.utility.Vector2iVector(edges))
    camera.paint_uniform_color([1.0, 0.4, 0.4])
    window = o3d.visualization.Visualizer()
    if not window.create_window(window_name=f"crossi2p: {sample.name}", width=1280, height=800):
        raise InputError("open3d cannot open a window on this display; use --out to get a picture instead")
    for shape in (cloud, camera, o3d.geometry.TriangleMesh.create_coordinate_frame(size=1.0)):
        window.add_geometry(shape)
    options = window.get_render_option()
    options.point_size, options.background_color = 2.0, np.full(3, 0.1)
    _, down, forward = T[:3, :3]  # the camera's axes in the LiDAR frame are the rows of the rotation
    view = window.get_view_control()
    view.set_lookat(corners[0] + 10 * forward)
    view.set_front(-forward - 0.4 * down)
    view.set_up(-down)
    view.set_zoom(0.12)
    window.run()
    window.destroy_window()


def _answers(library: str, connect: str, disconnect: str) -> bool:
    """Whether the display server that a C library connects to by default is there."""
    try:
        client = ctypes.CDLL(library)
    except OSError:
        return False
    opened, close = getattr(client, connect), getattr(client, disconnect)
    opened.restype, opened.argtypes, close.argtypes = ctypes.c_void_p, [ctypes.c_char_p], [ctypes.c_void_p]
    display = opened(None)
    if display:
        close(display)
    return bool(display)


def _open3d() -> Any:
    try:
        import open3d
    except ImportError as error:  # missing itself, or the system lacks a library that it links to
        raise InputError(f"the window needs open3d, which cannot be loaded ({error}); run `pip install open3d`, or use "
                         "--out to get a picture") from error
    return open3d
