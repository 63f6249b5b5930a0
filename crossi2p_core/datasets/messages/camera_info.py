"""sensor_msgs/CameraInfo to a Camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ...types import Camera


def is_rectified_topic(topic: str) -> bool:
    """True for the names that image_proc gives to undistorted images: image_rect, image_rect_color, ..."""
    return any(part.startswith("image_rect") for part in topic.split("/"))


def camera_from_message(info: Any, width: int, height: int, rectified: bool, where: str) -> Camera:
    """The camera of an image of `width` x `height` pixels from its CameraInfo.

    rectified: the image is undistorted, so P counts; otherwise K and D. Binning and the region of interest are
    honoured; an image at another resolution of the same shape gets the intrinsics rescaled.
    Raises InputError for K = 0 (an uncalibrated camera), a number of coefficients that its model does not have, an
    unknown model, binning larger than the image, or another shape of image.
    """
    K, D, P = (np.asarray(field_of(info, name), dtype=np.float64) for name in "kdp")
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


def beside_its_frame(info: Any, rectified: bool, where: str) -> str:
    """In words, that a rectified image may be seen from beside the frame that it names; empty where it is not.

    By sensor_msgs/CameraInfo the fourth column of P is where the second camera of a stereo pair stands in the frame of
    the first one, which both name. Converters of KITTI give each camera a frame of its own, and fill the column all the
    same; so what holds cannot be known from here.
    """
    column = np.asarray(field_of(info, "p"), dtype=np.float64).reshape(3, 4)[:, 3]
    if not rectified or np.allclose(column, 0, atol=1e-9):
        return ""
    return (f"{where}: the fourth column of P is {column.round(4).tolist()} and is not looked at; if the images name "
            "the frame of the first camera of a stereo pair, the extrinsic is off by that of the second one")


def field_of(info: Any, name: str) -> Any:
    """K, D and P are upper case in ROS 1 and lower case in ROS 2."""
    return getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
