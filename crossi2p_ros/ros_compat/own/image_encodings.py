"""What the encodings of sensor_msgs/Image mean (its image_encodings.hpp), and how pixels get from one to another."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np

_NUMBERS = {"8U": "uint8", "8S": "int8", "16U": "uint16", "16S": "int16", "32S": "int32", "32F": "float32",
            "64F": "float64"}
CV_NAME = {number: name for name, number in _NUMBERS.items()}  # numpy's name of a type -> OpenCV's

_CHANNELS = {"GRAY": 1, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}
_MOSAICS = {"rggb": "BayerBG", "bggr": "BayerRG", "gbrg": "BayerGR", "grbg": "BayerGB"}  # from row 2, column 2
_YUV = {"yuv422": "UYVY", "uyvy": "UYVY", "yuv422_yuy2": "YUY2", "yuyv": "YUY2"}


@dataclass(frozen=True)
class Encoding:
    """How the numbers of an image are to be read; `layout` is empty where an encoding says nothing about colour."""

    dtype: np.dtype
    channels: int
    layout: str  # GRAY, RGB, BGR, RGBA, BGRA; BayerBG, ...; UYVY, YUY2

    @property
    def cv_name(self) -> str:
        """OpenCV's name of the type, such as 8UC3."""
        return f"{CV_NAME[self.dtype.name]}C{self.channels}"


def parse_encoding(name: str) -> Encoding:
    """What an encoding means; ValueError for an unknown one."""
    if match := re.fullmatch(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+))?", name):
        return Encoding(np.dtype(_NUMBERS[match[1]]), int(match[2] or 1), "")
    if name in _YUV:
        return Encoding(np.dtype("uint8"), 2, _YUV[name])
    if match := re.fullmatch(r"(mono|rgb|bgr|rgba|bgra|bayer_(?:rggb|bggr|gbrg|grbg))(8|16)", name):
        layout = _MOSAICS.get(match[1].removeprefix("bayer_"), match[1].replace("mono", "gray").upper())
        if match[1].startswith("bayer_"):
            return Encoding(np.dtype(f"uint{match[2]}"), 1, layout)
        return Encoding(np.dtype(f"uint{match[2]}"), _CHANNELS[layout], layout)
    raise ValueError(f"unknown image encoding '{name}'")


def convert(pixels: np.ndarray, source: str, target: str) -> np.ndarray:
    """Pixels of one encoding in another: colours first, then 8 and 16 bits into each other by their full scale.

    `pixels` is (H, W) or (H, W, C). ValueError where that makes no sense, colour from depth for example.
    """
    if source == target:
        return pixels
    have, want = parse_encoding(source), parse_encoding(target)
    if want.layout and have.layout != want.layout:
        pixels = cv2.cvtColor(pixels, _colour_code(have, want, source, target))
    elif not want.layout and have.channels != want.channels:
        raise ValueError(f"{source} and {target} differ in their number of channels")
    if have.dtype == want.dtype:
        return pixels
    scale = {("uint8", "uint16"): 257.0, ("uint16", "uint8"): 1 / 257.0}.get((have.dtype.name, want.dtype.name), 1.0)
    if want.dtype.kind == "f":
        return (pixels * scale).astype(want.dtype)
    limits = np.iinfo(want.dtype)
    return np.clip(np.rint(pixels * scale), limits.min, limits.max).astype(want.dtype)


def _colour_code(have: Encoding, want: Encoding, source: str, target: str) -> int:
    """OpenCV's number for a conversion of colours."""
    if have.layout in ("UYVY", "YUY2"):
        name = f"COLOR_YUV2{want.layout}_{have.layout}"
    else:
        name = f"COLOR_{have.layout}2{want.layout}"
    if not have.layout or want.layout not in _CHANNELS or not hasattr(cv2, name):
        raise ValueError(f"{source} cannot be converted to {target}")
    return getattr(cv2, name)
