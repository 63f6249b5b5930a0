"""How well poses agree with a dense match likelihood: every superpoint asks its map where it would be seen.

What superpoints say is averaged within a superpixel and summed over superpixels. Summed over superpoints, as if all of
them were independent, a weak network's poses drift backwards until the whole scan is in view, five to ten metres: much
seen a little too well beats little seen right (docs/learning.md has what that made of protocol D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from .problem import MIN_DEPTH_M, project

HIDDEN = 0.3  # chance that a superpoint inside the image is not seen there: something stands in front of it
ASTRAY = 0.1  # chance that a map has its mass anywhere
CHANCE = (1 - HIDDEN) * (1 - ASTRAY)  # above the floor, of a map that knows nothing
TYPICAL, LEAST = 0.1, 0.02  # share of the superpixels that see superpoints: as a rule, and what a pose counts for
ALIKE = 0.75  # how much of what superpixels tell their neighbours tell, too: 0 none of it, 1 all
CHUNK = 1 << 17  # pairs of pose and superpoint looked up at once: what they need then stays in the cache

LookUp = Callable[[Tensor, Tensor, Tensor], Tensor]  # maps (B, M, h, w), column and row (B, H, M) -> (B, H, M)


@dataclass(frozen=True)
class Evidence:
    """What a match likelihood says of B pairs.

    inside: (B, M, h, w) for each superpoint and superpixel; floor: (B, M) the share of its exponential that any
    superpixel has. outside: (B, M) where the superpoint is not in the image.
    superpoints: (B, M, 3) m, known: (B, M) bool, which of them say anything. frame: (M,) int64, the number of the scan
    that each is of, from 0, where several scans and images of one rig are looked at together. K: (B, 3, 3), pixels of
    the image. stride: pixels per superpixel.
    """

    inside: Tensor
    floor: Tensor
    outside: Tensor
    superpoints: Tensor
    known: Tensor
    frame: Tensor
    K: Tensor
    stride: float


def log_odds(log_likelihood: Tensor, log_not_in_view: Tensor, superpoints: Tensor, K: Tensor,
             stride: float = 8, valid: Tensor | None = None, frame: Tensor | None = None) -> Evidence:
    """Evidence by which poses can be compared, from log probabilities (B, M, h, w) and (B, M); see `Evidence`.

    Summed as they are, log probabilities prefer poses that see nothing: one of h w superpixels always gets a small
    share. So each is divided by its base rate, the mean over the superpoints and superpixels of the pair. A superpoint
    inside the image may also be hidden there (HIDDEN) or its map be wrong (ASTRAY), which bounds what one can spoil.
    -inf is fine. Superpoints that are not `valid` (B, M) say nothing: 0 wherever they are.
    """
    kept = torch.ones_like(log_not_in_view, dtype=torch.bool) if valid is None else valid
    many = kept.sum(dim=1, keepdim=True).clamp(min=1)
    not_seen = log_not_in_view.float().exp().clamp(1e-6, 1 - 1e-6)  # (B, M)
    rate = (((1 - not_seen) * kept).sum(dim=1, keepdim=True) / many).clamp(1e-3, 1 - 1e-3)
    seen, unseen = (1 - not_seen) / rate, torch.where(kept, not_seen / (1 - rate), 1.0)
    floor = torch.where(kept, (1 - HIDDEN) * ASTRAY * seen + HIDDEN * unseen, 1.0)  # (B, M)
    share = log_likelihood.float().exp() * kept[..., None, None]
    usual = share.mean(dim=(2, 3)).sum(dim=1, keepdim=True) / many  # (B, 1)
    gain = CHANCE / usual.clamp(min=1e-12)
    inside = (share * gain[..., None, None] + floor[..., None, None]).log()
    if frame is None:
        frame = torch.zeros_like(log_not_in_view[0], dtype=torch.int64)
    return Evidence(inside, floor, unseen.log(), superpoints.float(), kept, frame, K.float(), stride)


def coarser(evidence: Evidence) -> Evidence:
    """At half the resolution, each superpixel blurred into its neighbours: for poses that are only nearly right."""
    share = evidence.inside.exp()
    b, m = share.shape[:2]
    share = functional.avg_pool2d(share.flatten(0, 1)[:, None], 2, ceil_mode=True, count_include_pad=False)
    share = functional.avg_pool2d(share, 3, stride=1, padding=1, count_include_pad=False)[:, 0]
    return replace(evidence, inside=share.log().unflatten(0, (b, m)), stride=2 * evidence.stride)


def pick(evidence: Evidence, index: Tensor) -> Evidence:
    """Of the superpoints index (m,) alone."""
    return Evidence(evidence.inside[:, index], evidence.floor[:, index], evidence.outside[:, index],
                    evidence.superpoints[:, index], evidence.known[:, index], evidence.frame[index], evidence.K,
                    evidence.stride)


def of_frames(evidence: Evidence, count: int) -> Evidence:
    """Of `count` frames at most, evenly spread over all."""
    frames = int(evidence.frame.max()) + 1
    if frames <= count:
        return evidence
    chosen = torch.linspace(0, frames - 1, count).round().long()
    number = torch.full((frames,), -1).index_put((chosen,), torch.arange(count)).to(evidence.frame)
    renamed = number[evidence.frame]
    kept = (renamed >= 0).nonzero()[:, 0]
    return replace(pick(evidence, kept), frame=renamed[kept])


def score(evidence: Evidence, T: Tensor, smooth: bool = True) -> Tensor:
    """(B, H) log odds of poses T (B, H, 4, 4) against knowing nothing, differentiable by T where `smooth`.

    The sum over the superpixels that see any superpoint of the mean of what these gain there over not being in view,
    times a power (ALIKE) of how many superpixels usually see something over how many do: neighbours tell much the same,
    so twice as many of them are not twice the evidence. smooth: interpolated between the centres of superpixels;
    otherwise that of the superpixel itself, much cheaper.
    """
    step = max(1, CHUNK // evidence.superpoints.shape[1] // len(T))
    look = _interpolated if smooth else _nearest
    frames = int(evidence.frame.max()) + 1
    return torch.cat([_gain(evidence, part, look, frames) for part in T.float().split(step, dim=1)], dim=1)


def _gain(evidence: Evidence, T: Tensor, look: LookUp, frames: int) -> Tensor:
    """(B, H) of poses T (B, H, 4, 4)."""
    u, v, depth = project(evidence.superpoints, T, evidence.K)
    h, w = evidence.inside.shape[-2:]
    column, row = (u + 0.5) / evidence.stride - 0.5, (v + 0.5) / evidence.stride - 0.5
    within = (depth > MIN_DEPTH_M) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    within &= evidence.known[:, None]
    column, row = column.clamp(0, w - 1), row.clamp(0, h - 1)
    gain = within * (look(evidence.inside, column, row) - evidence.outside[:, None])  # (B, H, M)
    cell = evidence.frame * (h * w) + _flat(column.detach(), row.detach(), w)
    crowd, seen = _crowds(within, cell, frames * h * w)
    return (gain / crowd).sum(-1) * (TYPICAL / seen.clamp(min=LEAST)) ** ALIKE


def _crowds(within: Tensor, cell: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """How many superpoints share the superpixel `cell` (B, H, M), at least 1, where they are `within` (B, H, M), and
    the share (B, H) of all `cells` that see any."""
    count = torch.zeros(*cell.shape[:2], cells, device=cell.device)
    count.scatter_add_(2, cell, within.to(count))
    return count.gather(2, cell).clamp(min=1), (count > 0).sum(-1) / cells


def _nearest(maps: Tensor, column: Tensor, row: Tensor) -> Tensor:
    return _look_up(maps, _flat(column, row, maps.shape[-1]))


def _flat(column: Tensor, row: Tensor, width: int) -> Tensor:
    """The number of the nearest superpixel, row by row."""
    return (row.round() * width + column.round()).long()


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
