"""Offsets between points as each point sees them: away from the sensor, along its horizon, and up.

Turning a scan about its vertical axis turns these frames along, so whatever is told in them does not know the yaw. All
is computed component by component: faster than rows of three, and autocast would do a matrix product in bf16.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .gather import rows

SPACING = 0.01  # radians: the unit of offsets, about what neighbours of a thinned scan are apart
MIN_RANGE_M = 0.5  # nearer points are treated as if they were so far
GEOMETRY_DIM = 4  # channels of `edge_geometry`


def radial_offsets(centre: Tensor, source: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How far away, left and up, each (B, M, k), rows index (B, M, k) of source (B, N, 3) lie from centre (B, M, 3).

    Points are in metres in the LiDAR frame, offsets in units of SPACING radians at the range of the centre, so that a
    neighbourhood looks alike near and far. A centre on the vertical axis has no direction away: only up is told there.
    """
    x, y, z = (part[..., None] for part in centre.unbind(-1))  # (B, M, 1)
    flat = torch.hypot(x, y)
    unit = SPACING * torch.hypot(flat, z).clamp(min=MIN_RANGE_M)
    across = flat.clamp(min=1e-6) * unit
    cos, sin = x / across, y / across
    dx, dy, dz = (rows(part, index) - own for part, own in zip(source.unbind(-1), (x, y, z), strict=True))
    return cos * dx + sin * dy, cos * dy - sin * dx, dz / unit


def edge_geometry(centre: Tensor, source: Tensor, index: Tensor) -> Tensor:
    """(B, M, k, GEOMETRY_DIM) where rows index (B, M, k) of source (B, N, 3) lie from centre (B, M, 3).

    Three channels tell the direction, fading to zero within a unit of length; one the logarithm of distance. All are
    bounded, whatever the distance.
    """
    away, left, up = radial_offsets(centre, source, index)
    distance = (away * away + left * left + up * up + 1e-12).sqrt()
    nearness = 1 / (1 + distance)
    return torch.stack([away * nearness, left * nearness, up * nearness, torch.log1p(distance)], dim=-1)
