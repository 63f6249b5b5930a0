"""How a pixel moves when its point moves: the derivative of every camera model, written out."""

from __future__ import annotations

import numpy as np

from ..types import Camera

Array = np.ndarray


def pixel_by_point(points: Array, camera: Camera) -> Array:
    """d(uv) / d(point): (N, 2, 3) px per metre at camera-frame points (N, 3).

    Meant for points the camera can see; the rows of others are finite and meaningless. The models are those of
    OpenCV's calib3d and fisheye documentation (none, plumb_bob, rational_polynomial, equidistant).
    """
    points = np.asarray(points, dtype=np.float64)
    if camera.model == "equidistant":
        plane = _equidistant_by_point(points, camera.distortion)  # (N, 2, 3)
    else:
        plane = _radial_tangential_by_point(points, camera.distortion)
    return camera.K[:2, :2] @ plane


def pixel_by_pose(points: Array, camera: Camera) -> Array:
    """d(uv) / d(xi): (N, 2, 6) at xi = 0 where a camera-frame point q moves to exp(xi) q, xi = (rotation, translation).

    The point moves by omega x q + v, so the block for the rotation is -[q]x.
    """
    by_point = pixel_by_point(points, camera)
    x, y, z = np.asarray(points, dtype=np.float64).T
    zero = np.zeros_like(x)
    minus_cross = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    return np.concatenate([by_point @ minus_cross, by_point], axis=2)


def _radial_tangential_by_point(points: Array, distortion: Array) -> Array:
    """(N, 2, 3) for none, plumb_bob (k1 k2 p1 p2 k3) and rational_polynomial (... k4 k5 k6)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(distortion, (0, max(0, 8 - len(distortion))))[:8]
    z = np.where(points[:, 2] > 1e-9, points[:, 2], 1.0)
    x, y = points[:, 0] / z, points[:, 1] / z
    s = x * x + y * y
    above, below = 1 + s * (k1 + s * (k2 + s * k3)), 1 + s * (k4 + s * (k5 + s * k6))
    radial = above / below
    by_s = (k1 + s * (2 * k2 + s * 3 * k3) - radial * (k4 + s * (2 * k5 + s * 3 * k6))) / below
    cross = 2 * x * y * by_s + 2 * p1 * x + 2 * p2 * y
    a = radial + 2 * x * x * by_s + 2 * p1 * y + 6 * p2 * x
    d = radial + 2 * y * y * by_s + 6 * p1 * y + 2 * p2 * x
    rows = np.stack([a, cross, -(a * x + cross * y), cross, d, -(cross * x + d * y)], axis=1)
    return (rows / z[:, None]).reshape(-1, 2, 3)


def _equidistant_by_point(points: Array, distortion: Array) -> Array:
    """(N, 2, 3) for the fisheye model: the radius is theta (1 + k1 theta^2 + ... + k4 theta^8)."""
    k = np.pad(distortion, (0, max(0, 4 - len(distortion))))[:4]
    x, y, z = points.T
    radius, square = np.hypot(x, y), np.maximum((points**2).sum(axis=1), 1e-18)
    t = np.arctan2(radius, z) ** 2  # theta squared
    by_theta = 1 + t * (3 * k[0] + t * (5 * k[1] + t * (7 * k[2] + t * 9 * k[3])))
    stretch = 1 + t * (k[0] + t * (k[1] + t * (k[2] + t * k[3])))
    off_axis = radius > 1e-7 * np.sqrt(square)
    # image radius per metre off the axis; its limit on the axis is 1 / z
    scale = np.where(off_axis, stretch * np.sqrt(t) / np.where(off_axis, radius, 1.0), 1 / np.sqrt(square))
    bend = np.where(off_axis, (by_theta * z / square - scale) / np.where(off_axis, radius, 1.0) ** 2, 0.0)
    by_depth = -by_theta / square
    rows = np.stack([scale + x * x * bend, x * y * bend, x * by_depth,
                     x * y * bend, scale + y * y * bend, y * by_depth], axis=1)
    return rows.reshape(-1, 2, 3)
