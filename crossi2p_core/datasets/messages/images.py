"""sensor_msgs/Image in its many encodings, and CompressedImage, to RGB pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ...errors import InputError
from ..images import decode_image, to_8_bits

# encoding -> (numpy type, channels, OpenCV conversion to RGB or None where the pixels are RGB already).
# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's first two.
_ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "8UC4": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "16UC1": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "rgb16": ("u2", 3, None),
    "bgr16": ("u2", 3, cv2.COLOR_BGR2RGB),
    "bayer_rggb8": ("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": ("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": ("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": ("u1", 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": ("u2", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": ("u2", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": ("u2", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": ("u2", 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}


def image_from_message(message: Any, where: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an Image or a CompressedImage; `where` names it in an InputError.

    An rgb8 image without padded rows is a view of the message's bytes, not a copy; the view keeps them alive.
    16-bit images are shifted so that the brightest pixel fits 8 bits, since cameras of 10, 12 and 16 bits all send
    16. Raises InputError for an unknown encoding, too few bytes, or compressed data that is no whole image.
    """
    if hasattr(message, "format"):
        return _decompress(message, where)
    if message.encoding not in _ENCODINGS:
        raise InputError(f"{where}: image encoding {message.encoding!r} is none that can be read; use one of "
                         f"{', '.join(sorted(_ENCODINGS))}")
    dtype, channels, conversion = _ENCODINGS[message.encoding]
    pixels = to_8_bits(_pixels(message, dtype, channels, where))
    if channels == 2 and message.width % 2:
        raise InputError(f"{where}: a {message.encoding} image needs an even width, this one is {message.width}")
    if message.encoding.startswith("bayer") and min(message.height, message.width) < 2:
        raise InputError(f"{where}: a {message.encoding} image needs at least 2x2 pixels")
    return np.ascontiguousarray(pixels if conversion is None else cv2.cvtColor(pixels, conversion))


def _decompress(message: Any, where: str) -> np.ndarray:
    """The payload names its own format; the `format` field only tells depth images apart, which are no pictures."""
    if "compresseddepth" in message.format.lower():
        raise InputError(f"{where}: a compressed depth image ({message.format!r}) is no camera image; "
                         "choose another topic")
    return decode_image(bytes(memoryview(message.data)), where)


def _pixels(message: Any, dtype: str, channels: int, where: str) -> np.ndarray:
    """(H, W) or (H, W, C) view of the message's bytes; rows may be padded to `step` bytes."""
    order = ">" if message.is_bigendian else "<"
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels * np.dtype(dtype).itemsize
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    if height < 1 or width < 1 or step < row or len(data) < (height - 1) * step + row:
        raise InputError(f"{where}: {len(data)} bytes with a step of {step} are too few for a {width}x{height} image "
                         f"of encoding {message.encoding}; the message is damaged")
    rows = np.ndarray((height, row), np.uint8, data, strides=(step, 1))  # the last row's padding may be left out
    pixels = np.ascontiguousarray(rows).view(order + dtype)  # (H, W * C)
    return pixels if channels == 1 else pixels.reshape(height, width, channels)
