"""Where, to a fraction of a cell, a likelihood map sees a point that should be near a given place: a mean-shift step.

The mean of the map around the place, by a kernel that moves with it (Comaniciu and Meer, PAMI 2002). Taken again and
again while the pose that tells the places follows, it finds the nearest hill of every map that the other maps allow.
"""

from __future__ import annotations

import torch
from torch import Tensor

RADIUS = 3  # cells around the place that are looked at
WIDTH = 1.5  # cells; standard deviation of the kernel


def places_near(maps: Tensor, pixels: Tensor, stride: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of log probabilities (B, M, h, w) around pixels (B, M, 2): pixels (B, M, 2), their standard deviations (B, M, 2)
    px, and mass (B, M), the probability that lies around the place.

    stride: pixels of a cell. A cell has a width of its own: even a sure map leaves a twelfth of its square. The place
    itself and a mass of 0 where all of it is beyond the map.
    """
    height, width = maps.shape[-2:]
    at = (pixels + 0.5) / stride - 0.5  # (B, M, 2) cells
    middle = at.nan_to_num(-1e4, 1e4, -1e4).clamp(-1e4, 1e4).round().long()
    around = torch.arange(-RADIUS, RADIUS + 1, device=maps.device)
    column = middle[..., 0, None] + around.repeat(2 * RADIUS + 1)  # (B, M, n)
    row = middle[..., 1, None] + around.repeat_interleave(2 * RADIUS + 1)
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    share = maps.flatten(2).gather(2, row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).exp()
    apart = (row - at[..., 1, None]).square() + (column - at[..., 0, None]).square()
    share = share * within * (-0.5 * apart / WIDTH**2).exp()
    mass = share.sum(dim=2)
    share = (share / mass.clamp(min=1e-12)[..., None])[..., None]
    cells = stride * (torch.stack([column, row], dim=-1) + 0.5) - 0.5  # (B, M, n, 2) px
    mean = (share * cells).sum(dim=2)
    variance = (share * (cells - mean[:, :, None]).square()).sum(dim=2) + stride**2 / 12
    return torch.where(mass[..., None] > 0, mean, pixels), variance.sqrt(), mass
