"""A second view of a batch, for the contrast within each modality: the same places, seen under other conditions.

Superpixels and superpoints keep their places, so item n of one view is item n of the other. What changes is what must
not matter: light and noise in the image, sampling and range noise in the cloud.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from ..model.batch import Batch, PointPyramid

GAIN, BIAS, GAMMA, NOISE = 0.4, 0.15, 0.4, 0.03  # of the image, which is in 0..1
BLUR_PROBABILITY = 0.3
RANGE_NOISE = 0.01  # share of the range, one sigma
FEATURE_NOISE = 0.05
LOST_NEIGHBOURS = 0.2  # share of the neighbours that are replaced by the point itself


def another_view(batch: Batch) -> Batch:
    """The same pairs under other conditions, drawn from torch's own generator."""
    return replace(batch, image=other_light(batch.image, batch.inside), cloud=other_scan(batch.cloud))


def other_light(image: Tensor, inside: Tensor) -> Tensor:
    """Images (B, C, H, W) in 0..1 with another exposure, contrast, sharpness and noise; inside (B, H, W) bool."""
    batch, channels = image.shape[:2]
    gain, bias, gamma = (1 + GAIN * _even(batch, channels, image), BIAS * _even(batch, channels, image),
                         (GAMMA * _even(batch, 1, image)).exp())
    changed = (image.clamp(min=1e-4) ** gamma * gain + bias).clamp(0, 1)
    blurred = functional.avg_pool2d(changed, 3, stride=1, padding=1, count_include_pad=False)
    changed = torch.where(torch.rand(batch, 1, 1, 1, device=image.device) < BLUR_PROBABILITY, blurred, changed)
    return (changed + NOISE * torch.randn_like(changed)).clamp(0, 1) * inside[:, None]


def other_scan(cloud: PointPyramid) -> PointPyramid:
    """The same points with noise along their rays and in their features, and with some neighbours lost."""
    xyz = tuple(points * (1 + RANGE_NOISE * torch.randn_like(points[..., :1])) for points in cloud.xyz)
    features = cloud.features + FEATURE_NOISE * torch.randn_like(cloud.features)
    neighbours = tuple(_without_some(index) for index in cloud.neighbours)
    return replace(cloud, xyz=xyz, features=features, neighbours=neighbours)


def _even(batch: int, channels: int, like: Tensor) -> Tensor:
    """(batch, channels, 1, 1) evenly from -1 to 1."""
    return 2 * torch.rand(batch, channels, 1, 1, device=like.device, dtype=like.dtype) - 1


def _without_some(index: Tensor) -> Tensor:
    """Neighbours (B, N, k), some replaced by the first, which is the point itself."""
    lost = torch.rand(index.shape, device=index.device) < LOST_NEIGHBOURS
    return torch.where(lost, index[..., :1], index)
