"""The cloud with the colours of the image: on a true extrinsic edges of colour and of shape coincide in 3-D too."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .. import atomic
from ..errors import InputError
from ..types import Sample
from .overlay import seen_points

Array = np.ndarray

_UNSEEN = 110  # grey of points the camera does not see


def color_cloud(sample: Sample, T_cam_lidar: Array) -> tuple[Array, Array]:
    """Colours (N, 3) uint8 RGB of the sample's points, and which of them the camera sees (N,) bool.

    Interpolated between pixels; grey where the camera sees nothing: outside the image, behind it, or hidden.
    """
    seen = seen_points(sample.camera, sample.cloud, T_cam_lidar)
    colors = np.full((len(sample.cloud), 3), _UNSEEN, dtype=np.uint8)
    mask = np.zeros(len(sample.cloud), dtype=bool)
    mask[seen.index] = True
    if len(seen.index):
        colors[seen.index] = _sample(np.ascontiguousarray(sample.image), seen.uv)
    return colors, mask


def write_ply(path: str | Path, xyz: Array, rgb: Array | None = None) -> None:
    """Write points xyz (N, 3) m and colours rgb (N, 3) uint8 as binary PLY, in one step; any 3-D viewer opens it."""
    xyz = np.asarray(xyz, dtype="<f4")
    if xyz.ndim != 2 or xyz.shape[1] != 3 or (rgb is not None and np.shape(rgb) != xyz.shape):
        raise InputError(f"{path}: a coloured cloud needs points and colours of one shape (N, 3); these are {xyz.shape}"
                         f" and {None if rgb is None else np.shape(rgb)}")
    fields = [(name, "<f4") for name in "xyz"]
    if rgb is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(xyz), dtype=fields)
    for i, (name, kind) in enumerate(fields):
        vertices[name] = xyz[:, i] if kind == "<f4" else np.asarray(rgb)[:, i - 3]
    properties = "".join(f"property {'float' if kind == '<f4' else 'uchar'} {name}\n" for name, kind in fields)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(xyz)}\n{properties}end_header\n"
    atomic.write_bytes(path, header.encode() + vertices.tobytes())


def _sample(image: Array, uv: Array) -> Array:
    """(M, 3) uint8 at pixels (M, 2), bilinear; cv2 takes maps of at most 32767 rows, so the points form a rectangle."""
    rows = -(-len(uv) // 1024)
    grid = np.zeros((rows * 1024, 2), dtype=np.float32)
    grid[:len(uv)] = uv
    columns, lines = grid.T.reshape(2, rows, 1024)
    picked = cv2.remap(image, columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picked.reshape(-1, 3)[:len(uv)]
