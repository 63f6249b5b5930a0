"""Stand-in for cv_bridge: Image and CompressedImage messages to arrays and back.

One difference is meant: a message that contradicts itself, or a picture that cannot be decoded, always raises
CvBridgeError with a reason, where the real one cuts, raises TypeError, or returns None.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from .image_encodings import CV_NAME, convert, parse_encoding

_ENCODING_OF_CHANNELS = {1: "mono", 3: "bgr", 4: "bgra"}  # what imdecode gives


class CvBridgeError(TypeError):
    """A message or an array cannot be converted."""


class CvBridge:
    """Converts; has no state."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = "passthrough") -> np.ndarray:
        """(H, W) or (H, W, C) pixels of an Image, as they are or in another encoding; may be the message's memory."""
        try:
            encoding = parse_encoding(img_msg.encoding)
            pixels = _view(img_msg, encoding.dtype, encoding.channels)
            return pixels if desired_encoding == "passthrough" else convert(pixels, img_msg.encoding, desired_encoding)
        except (ValueError, cv2.error) as error:
            raise CvBridgeError(str(error)) from error

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = "passthrough", header: Any = None) -> Image:
        """Image of an array (H, W) or (H, W, C), whose type has to fit the encoding; `passthrough` names the type."""
        cv_name = _cv_name(cvim)
        try:
            if encoding != "passthrough" and parse_encoding(encoding).cv_name != cv_name:
                raise ValueError(f"an array of type {cv_name} is not {encoding}")
        except ValueError as error:
            raise CvBridgeError(str(error)) from error
        message = Image(height=cvim.shape[0], width=cvim.shape[1],
                        encoding=cv_name if encoding == "passthrough" else encoding,
                        is_bigendian=int(cvim.dtype.byteorder == ">"), step=cvim[:1].nbytes)
        if header is not None:
            message.header = header
        message.data.frombytes(np.ascontiguousarray(cvim).data.cast("B"))
        return message

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: Any, desired_encoding: str = "passthrough") -> np.ndarray:
        """Pixels of a CompressedImage; colours come as BGR or BGRA unless another encoding is asked for."""
        try:
            pixels = cv2.imdecode(np.frombuffer(cmprs_img_msg.data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
            if pixels is None:
                raise ValueError(f"{len(cmprs_img_msg.data)} bytes of format '{cmprs_img_msg.format}' are no image")
            if desired_encoding == "passthrough":
                return pixels
            channels = 1 if pixels.ndim == 2 else pixels.shape[2]
            return convert(pixels, f"{_ENCODING_OF_CHANNELS[channels]}{pixels.dtype.itemsize * 8}", desired_encoding)
        except (ValueError, cv2.error) as error:
            raise CvBridgeError(str(error)) from error

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> CompressedImage:
        """CompressedImage of an array (mono, BGR or BGRA), in any format that OpenCV writes: jpg, png, ..."""
        _cv_name(cvim)
        try:
            _, coded = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(str(error)) from error
        message = CompressedImage(format=dst_format)
        message.data.frombytes(coded.data.cast("B"))
        return message


def _view(message: Any, dtype: np.dtype, channels: int) -> np.ndarray:
    """The pixels inside the message's data, rows cut to their width, in this machine's byte order."""
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if not row or not height:
        raise ValueError(f"an image of {width} x {height} has no pixels")
    if step < row or len(message.data) < height * step:
        raise ValueError(f"{width} x {height} {message.encoding} needs rows of {row} bytes, but step is {step} and "
                         f"there are {len(message.data)} bytes")
    rows = np.frombuffer(message.data, dtype=np.uint8, count=height * step).reshape(height, step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(dtype.newbyteorder(">" if message.is_bigendian else "<"))
    return pixels.astype(dtype, copy=False).reshape((height, width) if channels == 1 else (height, width, channels))


def _cv_name(array: np.ndarray) -> str:
    """OpenCV's name of an array's type, such as 8UC3; raises for what is no image."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"an image is a numpy array, not {type(array).__name__}")
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.name not in CV_NAME:
        raise CvBridgeError(f"an array of shape {array.shape} and type {array.dtype} is no image")
    return f"{CV_NAME[array.dtype.name]}C{1 if array.ndim == 2 else array.shape[2]}"
