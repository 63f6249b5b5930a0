"""How well poses agree with a dense match likelihood: every superpoint asks the map where it would be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .problem import MIN_DEPTH_M, project

HIDDEN = 0.3  # chance that a superpoint inside the image is not seen there: something stands in front of it
ASTRAY = 0.1  # chance that a map has its mass anywhere
CHUNK = 1 << 17  # pairs of pose and superpoint looked up at once: what they need then stays in the cache

LookUp = Callable[[Tensor, Tensor, Tensor], Tensor]  # maps (B, M, h, w), column and row (B, H, M) -> (B, H, M)


@dataclass(frozen=True)
class Evidence:
    """What a match likelihood says of B pairs.

    inside: (B, M, h, w) for each superpoint and superpixel; floor: (B, M) the share of its exponential that any
    superpixel has. outside: (B, M) where the superpoint is not in the image.
    superpoints: (B, M, 3) m. K: (B, 3, 3), pixels of the image. stride: pixels per superpixel.
    """

    inside: Tensor
    floor: Tensor
    outside: Tensor
    superpoints: Tensor
    K: Tensor
    stride: float


def log_odds(log_likelihood: Tensor, log_not_in_view: Tensor, superpoints: Tensor, K: Tensor,
             stride: float = 8, valid: Tensor | None = None) -> Evidence:
    """Evidence by which poses can be compared, from log probabilities (B, M, h, w) and (B, M); see `Evidence`.

    Summed as they are, log probabilities prefer poses that see nothing: one of h w superpixels always gets a small
    share. So each is divided by its base rate, the mean over the superpoints of the pair. A superpoint inside the image
    may also be hidden there (HIDDEN) or its map be wrong (ASTRAY), which bounds what one can spoil. -inf is fine.
    Superpoints that are not `valid` (B, M) say nothing: 0 wherever they are.
    """
    cells = log_likelihood.shape[-2] * log_likelihood.shape[-1]
    kept = torch.ones_like(log_not_in_view, dtype=torch.bool) if valid is None else valid
    not_seen = log_not_in_view.float().exp().clamp(1e-6, 1 - 1e-6)  # (B, M)
    rate = ((1 - not_seen) * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp(min=1)
    rate = rate.clamp(1e-3, 1 - 1e-3)
    seen, unseen = (1 - not_seen) / rate, torch.where(kept, not_seen / (1 - rate), 1.0)
    floor = torch.where(kept, (1 - HIDDEN) * ASTRAY * seen + HIDDEN * unseen, 1.0)  # (B, M)
    gain = kept * (1 - HIDDEN) * (1 - ASTRAY) * cells / rate
    inside = (log_likelihood.float().exp() * gain[..., None, None] + floor[..., None, None]).log()
    return Evidence(inside, floor, unseen.log(), superpoints.float(), K.float(), stride)


def coarser(evidence: Evidence) -> Evidence:
    """At half the resolution, each superpixel blurred into its neighbours: for poses that are only nearly right."""
    share = evidence.inside.exp()
    b, m = share.shape[:2]
    share = functional.avg_pool2d(share.flatten(0, 1)[:, None], 2, ceil_mode=True, count_include_pad=False)
    share = functional.avg_pool2d(share, 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    return Evidence(share.log().unflatten(0, (b, m)), evidence.floor, evidence.outside, evidence.superpoints,
                    evidence.K, 2 * evidence.stride)


def pick(evidence: Evidence, index: Tensor) -> Evidence:
    """Of the superpoints index (m,) alone."""
    return Evidence(evidence.inside[:, index], evidence.floor[:, index], evidence.outside[:, index],
                    evidence.superpoints[:, index], evidence.K, evidence.stride)


def score(evidence: Evidence, T: Tensor, smooth: bool = True) -> Tensor:
    """(B, H) sums over the superpoints for poses T (B, H, 4, 4), differentiable by T where `smooth`.

    smooth: interpolated between the centres of superpixels; otherwise that of the superpixel itself, much cheaper.
    """
    step = max(1, CHUNK // evidence.superpoints.shape[1] // len(T))
    look = _interpolated if smooth else _nearest
    return torch.cat([_sum(evidence, part, look) for part in T.float().split(step, dim=1)], dim=1)


def _sum(evidence: Evidence, T: Tensor, look: LookUp) -> Tensor:
    """(B, H) of poses T (B, H, 4, 4)."""
    u, v, depth = project(evidence.superpoints, T, evidence.K)
    h, w = evidence.inside.shape[-2:]
    column, row = (u + 0.5) / evidence.stride - 0.5, (v + 0.5) / evidence.stride - 0.5
    within = (depth > MIN_DEPTH_M) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    value = look(evidence.inside, column.clamp(0, w - 1), row.clamp(0, h - 1))
    return torch.where(within, value, evidence.outside[:, None]).sum(-1)


def _nearest(maps: Tensor, column: Tensor, row: Tensor) -> Tensor:
    index = row.round() * maps.shape[-1] + column.round()
    return _look_up(maps, index.long())


def _interpolated(maps: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(B, H, M) of maps (B, M, h, w) at columns and rows (B, H, M)."""
    h, w = maps.shape[-2:]
    left, top = (x.detach().floor().clamp(max=top) for x, top in ((column, w - 2), (row, h - 2)))
    right, down = column - left, row - top
    index = (top * w + left).long()
    above = _look_up(maps, index) * (1 - right) + _look_up(maps, index + 1) * right
    below = _look_up(maps, index + w) * (1 - right) + _look_up(maps, index + w + 1) * right
    return above * (1 - down) + below * down


def _look_up(maps: Tensor, index: Tensor) -> Tensor:
    """(B, H, M) entries index (B, H, M) of each map (B, M, h, w)."""
    b, m, h, w = maps.shape
    offset = (torch.arange(b * m, device=maps.device) * (h * w)).view(b, 1, m)
    return maps.reshape(-1).index_select(0, (index + offset).flatten()).view(index.shape)
