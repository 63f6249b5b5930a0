"""What the encoder is told of each point: nothing that the yaw of the scan changes, much that all sensors share."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..types import PointCloud
from .config import PointEncoderConfig
from .radial_frame import radial_offsets

SENSOR_FEATURES = ("intensity", "has_intensity")
PLACE_FEATURES = ("height", "log_range")
SHAPE_FEATURES = ("linearity", "planarity", "scattering", "upright", "level", "facing", "extent")
POINT_FEATURES = SENSOR_FEATURES + PLACE_FEATURES + SHAPE_FEATURES
"""Names of the channels of `PointPyramid.features`.

intensity is 0..1, and zero with has_intensity 0 where the sensor gives none. height is in 5 m, log_range is
ln(range / m) / 2 - 1. Of the neighbourhood's covariance, eigenvalues a >= b >= c (Demantke et al., "Dimensionality
Based Scale Selection in 3D Lidar Point Clouds", 2011): linearity (a - b) / a, planarity (b - c) / a, scattering c / a.
upright is linearity times the squared vertical part of the line's direction: poles. level and facing are planarity
times the squared vertical part of the normal, and times that along the ray's heading: roads, and walls in front.
extent is ln(1 + sqrt a) of the neighbourhood in units of SPACING at that range, how sparse the scan is here.
"""

_TINY = 1e-9


def select_points(cloud: PointCloud, config: PointEncoderConfig) -> PointCloud:
    """The points that the network may see: finite, not on the vehicle, not too far.

    The vehicle is all that is horizontally nearer than `min_range_m`: its shape and its shadow would tell the scan's
    heading, and the encoder could then answer without the image.
    """
    x, y, z = cloud.xyz.T
    with np.errstate(invalid="ignore", over="ignore"):
        flat2 = x * x + y * y
        # NaN compares as false
        keep = (flat2 >= config.min_range_m**2) & (flat2 + z * z <= config.max_range_m**2) & (flat2 + z * z > 0)
    return cloud.select(np.flatnonzero(keep))


def point_features(cloud: PointCloud) -> np.ndarray:
    """(n, 2) float32, SENSOR_FEATURES of a cloud; all other features come from the thinned cloud itself."""
    if cloud.intensity is None:
        return np.zeros((len(cloud), len(SENSOR_FEATURES)), dtype=np.float32)
    intensity = np.clip(np.nan_to_num(cloud.intensity), 0, 1)
    return np.stack([intensity, np.ones_like(intensity)], axis=1).astype(np.float32, copy=False)


def describe_points(sensor: Tensor, xyz: Tensor, neighbours: Tensor) -> Tensor:
    """(B, N, len(POINT_FEATURES)) float32 from sensor (B, N, 2), xyz (B, N, 3) m and neighbours (B, N, k)."""
    x, y, z = xyz.unbind(-1)
    range_m = torch.hypot(torch.hypot(x, y), z).clamp(min=0.1)
    place = torch.stack([z / 5.0, torch.log(range_m) / 2.0 - 1.0], dim=-1)
    return torch.cat([sensor, place, _shapes(xyz, neighbours)], dim=-1).float()


def _shapes(xyz: Tensor, neighbours: Tensor) -> Tensor:
    """(B, N, 7) SHAPE_FEATURES of neighbourhoods (B, N, k)."""
    parts = [part - part.mean(dim=-1, keepdim=True) for part in radial_offsets(xyz, xyz, neighbours)]
    # float64 from here on: eigenvalues in closed form lose half the digits
    products = torch.stack([(p * q).mean(dim=-1) for p in parts for q in parts], dim=-1).double()
    covariance = products.unflatten(-1, (3, 3))
    a, b, c = _eigenvalues(covariance)
    over = 1.0 / (a + _TINY)
    spread = over / (a - c + 1e-3 * a + _TINY)
    upright = _part(covariance, a, axis=2) * spread
    level, facing = (_part(covariance, c, axis=axis) * spread for axis in (2, 0))
    return torch.stack([(a - b) * over, (b - c) * over, c * over, upright, level, facing,
                        torch.log1p(a.clamp(min=0).sqrt())], dim=-1)


def _eigenvalues(m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Largest first, of symmetric m (..., 3, 3): Smith, "Eigenvalues of a symmetric 3x3 matrix", CACM 4(4), 1961."""
    mean = (m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]) / 3
    x, y, z = (m[..., i, i] - mean for i in range(3))
    p, q, r = m[..., 0, 1], m[..., 0, 2], m[..., 1, 2]
    scale = ((x * x + y * y + z * z + 2 * (p * p + q * q + r * r)) / 6 + _TINY**2).sqrt()
    determinant = x * (y * z - r * r) - p * (p * z - r * q) + q * (p * r - y * q)
    angle = torch.acos((determinant / (2 * scale**3)).clamp(-1, 1)) / 3  # 0 .. 60 deg
    a = mean + 2 * scale * torch.cos(angle)
    c = mean + 2 * scale * torch.cos(angle + 2 * math.pi / 3)
    return a, 3 * mean - a - c, c.clamp(min=0)


def _part(m: Tensor, value: Tensor, axis: int) -> Tensor:
    """Squared part along `axis` of the unit eigenvector of m (..., 3, 3) to `value`, times its two gaps to the others.

    The eigenvector-eigenvalue identity (Denton et al., "Eigenvectors from eigenvalues", 2022): the characteristic
    polynomial of m without that row and column, at `value`. No eigenvector is computed, and nothing is divided by a
    gap that may be zero.
    """
    i, j = (k for k in range(3) if k != axis)
    polynomial = (value - m[..., i, i]) * (value - m[..., j, j]) - m[..., i, j].square()
    return polynomial.abs()
