"""Offsets between points as each point sees them: away from the sensor, along its horizon, and up.

Turning a scan about its vertical axis turns these frames along, so whatever is told in them does not know the yaw.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPACING = 0.01  # radians: the unit of offsets, about what neighbours of a thinned scan are apart
MIN_RANGE_M = 0.5  # nearer points are treated as if they were so far
GEOMETRY_DIM = 4  # channels of `edge_geometry`


def radial_offsets(centre: Tensor, near: Tensor) -> Tensor:
    """(B, M, k, 3) offsets away, left and up from points centre (B, M, 3) to near (B, M, k, 3), LiDAR frame, m.

    In units of SPACING radians at the range of the centre, so that a neighbourhood looks alike near and far. A centre
    on the vertical axis has no direction away: what is not up is zero there.
    """
    x, y, z = centre.unbind(-1)
    flat = torch.hypot(x, y)
    unit = (SPACING * torch.hypot(flat, z).clamp(min=MIN_RANGE_M))[..., None]
    across = flat.clamp(min=1e-6)
    ahead = torch.stack([x / across, y / across], dim=-1)[:, :, None] / unit[..., None]  # (B, M, 1, 2)
    delta = near - centre[:, :, None]
    dx, dy, dz = delta.unbind(-1)
    away = ahead[..., 0] * dx + ahead[..., 1] * dy
    left = ahead[..., 0] * dy - ahead[..., 1] * dx
    return torch.stack([away, left, dz / unit], dim=-1)


def edge_geometry(centre: Tensor, near: Tensor) -> Tensor:
    """(B, M, k, GEOMETRY_DIM) where near (B, M, k, 3) lies from centre (B, M, 3): all bounded, whatever the distance.

    Three channels tell the direction, fading to zero within a unit of `radial_offsets`; one the logarithm of distance.
    """
    offsets = radial_offsets(centre, near)
    distance = (offsets.square().sum(-1, keepdim=True) + 1e-12).sqrt()
    return torch.cat([offsets / (1 + distance), torch.log1p(distance)], dim=-1)
