"""Which points of a cloud the camera really sees: a z-buffer for surfaces that are only sampled.

Two sensors stand at two places, so the scan holds points that a nearer thing hides from the camera. Between the sparse
samples of that thing they would shine through an ordinary z-buffer. Here a point is hidden where nearer points lie on
two opposite sides of it, above and below or left and right, within two steps of the scan's own spacing. Asking for both
sides keeps slanted surfaces whole: on a plane one of two opposite neighbours is always farther than their middle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import InputError

_MIN_POINTS = 16  # fewer points in the image than this have no measurable spacing
_MAX_CELLS = 300_000  # keeps the buffer in cache and the time bounded, whatever the image size
_ENOUGH = 20_000  # points whose spacing is looked at; more would only take longer
_REACH = 2.0  # how many spacings away the two neighbours that hide a point may be


class Spacing(NamedTuple):
    """How far apart, in pixels, neighbouring points of a scan usually are in the image.

    du, dv: across and down the image. fine: down it where the scan is densest, since many sensors bunch their beams.
    """

    du: float
    dv: float
    fine: float


def visible_mask(uv: np.ndarray, depth: np.ndarray, inside: np.ndarray, width: int, height: int,
                 spacing: Spacing | None = None, tolerance: float = 0.04, margin: float = 0.2) -> np.ndarray:
    """(N,) bool: the points that are inside the image and not hidden by nearer ones.

    uv: (N, 2) px and inside: (N,) bool, as `Camera.project` answers. depth: (N,) m, positive where inside: z, or the
    range where the lens sees more than 90 degrees off its axis. For images whose upper edge is up.
    spacing: None measures it; a caller that moves the pose a little many times can call `point_spacing` once. A
    nearer point hides another if it is nearer by more than `tolerance` of the depth (widened by the angle the window
    spans, so that concave corners stay) and by more than `margin` metres. What is certain is only as sharp as the
    scan: within one spacing of an outline either answer may come.
    """
    uv, depth, inside = np.asarray(uv), np.asarray(depth), np.asarray(inside, dtype=bool)
    if uv.shape != (len(depth), 2) or inside.shape != depth.shape or depth.ndim != 1:
        raise InputError(f"visibility needs uv (N, 2), depth (N,) and inside (N,); these are {uv.shape}, "
                         f"{depth.shape}, {inside.shape}")
    index = np.flatnonzero(inside)
    if len(index) < _MIN_POINTS:
        return inside.copy()
    pixels, inverse = uv[index].astype(np.float32), (1 / depth[index]).astype(np.float32)
    spacing = spacing or point_spacing(pixels, width, height)
    nearest = _nearest_opposite(pixels, inverse, spacing, width, height)
    angle = _REACH * spacing.dv / height  # about radians, for usual lenses
    hidden = (nearest > inverse * (1 + tolerance + angle)) & (nearest * (depth[index] - margin) > 1)
    visible = inside.copy()
    visible[index[hidden]] = False
    return visible


def _nearest_opposite(pixels: np.ndarray, inverse: np.ndarray, spacing: Spacing, width: int,
                      height: int) -> np.ndarray:
    """(M,) inverse depth of the surface that nearer points on two opposite sides span in front of each point; 0: none.

    Of each pair of sides the farther one counts, of the two pairs the nearer. A cell is half as high as the smallest
    gap between scan lines: in a higher one the nearer of two lines on a road would seem to lie beside the other. For
    the same reason only the sides above and below are looked for in three columns, and left and right in one row.
    """
    step = np.array([spacing.du, spacing.fine / 2])
    step *= max(1.0, np.sqrt(width * height / step.prod() / _MAX_CELLS))
    far = max(2, round(_REACH * spacing.dv / step[1]))
    cells = (pixels / step).astype(np.int64)
    rows, columns = cells[:, 1] + far, cells[:, 0] + 3  # a rim of empty cells spares all border cases
    shape = (int(height / step[1]) + 2 * far + 2, int(width / step[0]) + 7)
    flat = rows * shape[1] + columns
    buffer = np.zeros(shape, dtype=np.float32)  # inverse depth: the nearest point is the largest value
    np.maximum.at(buffer.reshape(-1), flat, inverse)

    beside = _running_max(buffer, 3, axis=1)  # columns c .. c + 2
    across = _running_max(beside, far, axis=0)  # rows r .. r + far - 1 of these
    along = _running_max(buffer, 2, axis=1)  # columns c .. c + 1
    own = buffer.reshape(-1)[flat]
    above = np.maximum(across[rows - far, columns - 1], own)
    below = np.maximum(across[rows + 1, columns - 1], own)
    left, right = along[rows, columns - 2], along[rows, columns + 1]
    return np.maximum(np.minimum(above, below), np.minimum(left, right))


def _running_max(buffer: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Maximum of each cell and the next length - 1 along the axis, by doubling."""
    result, covered = buffer, 1
    while covered < length:
        shift = min(covered, length - covered)
        here = (slice(None),) * axis + (slice(None, -shift),)
        there = (slice(None),) * axis + (slice(shift, None),)
        wider = result.copy()
        np.maximum(result[here], result[there], out=wider[here])
        result, covered = wider, covered + shift
    return result


def point_spacing(uv: np.ndarray, width: int, height: int) -> Spacing:
    """The Spacing of points uv (N, 2) px that lie inside the image; nothing in it is below one pixel.

    Of all lengths down narrow columns of the image half lies in gaps between points smaller than dv, a fifth in gaps
    smaller than fine; du follows from the density. A spinning sensor of 64 beams has du, dv of about 3 and 6 at KITTI's
    size, one of 16 beams 5 and 40.
    """
    uv = np.asarray(uv, dtype=np.float32)
    if len(uv) < _MIN_POINTS:
        return Spacing(1.0, 1.0, 1.0)
    area = _covered_area(uv, width, height) / len(uv)  # px^2 per point where there are points at all
    column = (uv[:, 0] / np.sqrt(area)).astype(np.int64)
    some = column % (1 + len(uv) // _ENOUGH) == 0  # whole columns, so that the gaps in them stay what they are
    gaps = np.diff(np.sort(column[some] * 8.0 * height + uv[some, 1]))
    gaps = np.sort(gaps[gaps < height / 4])
    length = np.cumsum(gaps)
    if len(gaps) == 0 or length[-1] <= 0:
        return Spacing(max(1.0, area), 1.0, 1.0)
    fine, dv = gaps[np.searchsorted(length, np.array([0.2, 0.5]) * length[-1])].tolist()
    return Spacing(max(1.0, area / dv), max(1.0, dv), max(1.0, fine))


def _covered_area(uv: np.ndarray, width: int, height: int) -> float:
    """Pixels of the part of the image that holds points, counted in blocks of about 16 points."""
    block = 4 * np.sqrt(width * height / len(uv))
    across, down = int(width / block) + 1, int(height / block) + 1
    column = np.clip((uv[:, 0] / block).astype(int), 0, across - 1)
    row = np.clip((uv[:, 1] / block).astype(int), 0, down - 1)
    filled = np.zeros(across * down, dtype=bool)
    filled[row * across + column] = True
    return float(filled.sum() * block**2)
