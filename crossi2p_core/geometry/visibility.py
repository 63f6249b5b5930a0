"""Which points of a cloud the camera really sees: a z-buffer for surfaces that are only sampled.

Two sensors stand at two places, so the scan holds points that a nearer thing hides from the camera. Between the sparse
samples of that thing they would shine through an ordinary z-buffer. Here a point is hidden where nearer points lie on
two opposite sides of it, above and below or left and right, within two steps of the scan's own spacing. Asking for both
sides keeps slanted surfaces whole: on a plane one of two opposite neighbours is always farther than their middle.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError

_MIN_POINTS = 16  # fewer points in the image than this have no measurable spacing
_MAX_CELLS = 400_000  # keeps the buffer in cache and the time bounded, whatever the image size


def visible_mask(uv: np.ndarray, depth: np.ndarray, inside: np.ndarray, width: int, height: int,
                 spacing: tuple[float, float] | None = None, tolerance: float = 0.04,
                 margin: float = 0.2) -> np.ndarray:
    """(N,) bool: the points that are inside the image and not hidden by nearer ones.

    uv: (N, 2) px; depth: (N,) m, along the axis or along the ray; inside: (N,) bool, as `Camera.project` answers.
    spacing: (du, dv) px between neighbouring points; None measures it (`point_spacing`), which a caller that moves
    the pose a little many times can do once. A nearer point hides another if it is nearer by more than `tolerance`
    of the depth (widened by the angle the window spans, so that concave corners stay) and by more than `margin`
    metres. What is certain is only as sharp as the scan: within one spacing of an outline either answer may come.
    """
    uv, depth, inside = np.asarray(uv), np.asarray(depth), np.asarray(inside, dtype=bool)
    if uv.shape != (len(depth), 2) or inside.shape != depth.shape or depth.ndim != 1:
        raise InputError(f"visibility needs uv (N, 2), depth (N,) and inside (N,); these are {uv.shape}, "
                         f"{depth.shape}, {inside.shape}")
    index = np.flatnonzero(inside)
    if len(index) < _MIN_POINTS:
        return inside.copy()
    pixels, inverse = uv[index].astype(np.float32), (1 / depth[index]).astype(np.float32)
    du, dv = spacing or point_spacing(pixels, width, height)
    coarse = 1 if dv >= du else 0  # the axis across the scan lines: twice as fine a grid, so that no cell holds two
    step = np.array([du, dv]) * np.where(np.arange(2) == coarse, 0.5, 1.0)
    step *= max(1.0, np.sqrt(width * height / step.prod() / _MAX_CELLS))
    nearest = _nearest_opposite(pixels, inverse, step, (width, height), coarse)
    window = 4 * step[coarse] / (width, height)[coarse]  # about radians, for usual lenses
    hidden = (nearest > inverse * (1 + tolerance + window)) & (nearest * (depth[index] - margin) > 1)
    visible = inside.copy()
    visible[index[hidden]] = False
    return visible


def _nearest_opposite(pixels: np.ndarray, inverse: np.ndarray, step: np.ndarray, size: tuple[int, int],
                      coarse: int) -> np.ndarray:
    """(M,) inverse depth of the surface that nearer points on two opposite sides span in front of each point; 0: none.

    Of each pair of sides the farther one counts, of the two pairs the nearer.
    """
    cells = (pixels / step).astype(np.int64)
    rows, columns = cells[:, coarse] + 5, cells[:, 1 - coarse] + 3  # a rim of empty cells spares all border cases
    shape = (int(size[coarse] / step[coarse]) + 11, int(size[1 - coarse] / step[1 - coarse]) + 7)
    buffer = np.zeros(shape, dtype=np.float32)  # inverse depth: the nearest point is the largest value
    flat = rows * shape[1] + columns
    np.maximum.at(buffer.reshape(-1), flat, inverse)

    beside = buffer.copy()  # across the scan lines: three columns wide
    np.maximum(beside[:, 1:], buffer[:, :-1], out=beside[:, 1:])
    np.maximum(beside[:, :-1], buffer[:, 1:], out=beside[:, :-1])
    across = _running_max(_running_max(beside, 1, 0), 2, 0)  # rows r .. r + 3
    along = _running_max(buffer, 1, 1)  # columns c .. c + 1

    own = buffer.reshape(-1)[flat]
    one = np.maximum(across[rows - 4, columns], own)
    other = np.maximum(across[rows + 1, columns], own)
    left, right = along[rows, columns - 2], along[rows, columns + 1]
    return np.maximum(np.minimum(one, other), np.minimum(left, right))


def _running_max(buffer: np.ndarray, shift: int, axis: int) -> np.ndarray:
    """Each cell's maximum with the cell `shift` further along the axis."""
    result = buffer.copy()
    here, there = (slice(None),) * axis, slice(shift, None)
    np.maximum(result[(*here, slice(None, -shift))], buffer[(*here, there)], out=result[(*here, slice(None, -shift))])
    return result


def point_spacing(uv: np.ndarray, width: int, height: int) -> tuple[float, float]:
    """(du, dv) px, at least 1: the usual distance between neighbouring points across and down the image.

    uv: (N, 2) px inside the image. dv is the gap, between points of one narrow column of the image, that half of the
    column's length lies in gaps smaller than; du follows from the density. A spinning sensor of 64 beams has about
    (3, 6) at KITTI's size, one of 16 beams (5, 40).
    """
    uv = np.asarray(uv, dtype=np.float32)
    if len(uv) < _MIN_POINTS:
        return 1.0, 1.0
    block = 4 * np.sqrt(width * height / len(uv))
    across, down = int(width / block) + 1, int(height / block) + 1
    blocks = np.zeros(across * down, dtype=bool)
    blocks[np.clip((uv[:, 1] / block).astype(int), 0, down - 1) * across
           + np.clip((uv[:, 0] / block).astype(int), 0, across - 1)] = True
    area = float(blocks.sum()) * block**2 / len(uv)  # px^2 per point where there are points at all
    column = np.floor(uv[:, 0] / np.sqrt(area)).astype(np.float64)
    gaps = np.diff(np.sort(column * 8 * height + uv[:, 1]))
    gaps = np.sort(gaps[gaps < height / 4])
    length = np.cumsum(gaps)
    dv = float(gaps[np.searchsorted(length, 0.5 * length[-1])]) if len(gaps) and length[-1] > 0 else 1.0
    return max(1.0, area / max(dv, 1e-6)), max(1.0, dv)
