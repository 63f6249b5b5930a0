"""From what the flow network says to poses: draw the scan, ask, fit, and draw it again from there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry.raster import Raster, rasterise
from ..model.batch import Batch
from ..model.flow_network import FLOW_STRIDE, Flow, FlowNetwork
from .probabilistic.levenberg_marquardt import PoseSolution, levenberg_marquardt
from .probabilistic.problem import Problem, project

STEPS = 12  # times that the scan is drawn: one goes part of the way, what is unsure is told small; 24 gain nothing
ITERATIONS = 6  # of each fit
DELTA = 1.5  # scales from where on a residual counts linearly
AGREE = 3.0  # scales within which a match agrees with a pose


@dataclass(frozen=True)
class FlowMatches:
    """Of B drawn scans: points (B, n, 3) m, where they should be seen, pixels (B, n, 2), scales (B, n, 2) px, and
    which of them mean anything, valid (B, n)."""

    points: Tensor
    pixels: Tensor
    scales: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Drawn:
    """Scans as poses see them: the raster, and the pixels (B, N, 2) of all points."""

    raster: Raster
    pixels: Tensor


def draw(batch: Batch, T: Tensor) -> Drawn:
    """The scans of a batch by poses T (B R, 4, 4), R for each pair in a row."""
    repeat = len(T) // len(batch)
    points, valid, features, K = (part.repeat_interleave(repeat, dim=0) for part in (
        batch.cloud.xyz[0], batch.cloud.valid[0], batch.cloud.features, batch.K))
    u, v, depth = (part[:, 0] for part in project(points, T[:, None], K))
    pixels = torch.stack([u, v], dim=-1)
    size = batch.image.shape[2], batch.image.shape[3]
    return Drawn(rasterise(pixels, depth, valid, features, size, FLOW_STRIDE), pixels)


def flow_matches(flow: Flow, drawn: Drawn, batch: Batch) -> FlowMatches:
    """Matches of the points that were drawn; those that should be seen outside the recording are not valid."""
    raster = drawn.raster
    index = raster.point[..., None]
    off, log_scale = flow.at_cells()
    pixels = drawn.pixels.gather(1, index.expand(-1, -1, 2)) + off
    points, inside = (part.repeat_interleave(len(off) // len(batch), dim=0) for part in (batch.cloud.xyz[0],
                                                                                        batch.inside))
    points = points.gather(1, index.expand(-1, -1, 3))
    return FlowMatches(points, pixels, log_scale.exp(), raster.hit & _recorded(pixels, inside))


def fit(matches: FlowMatches, K: Tensor, T: Tensor) -> PoseSolution:
    """Poses near T (B, 4, 4) that agree with matches best; K (B, 3, 3)."""
    return levenberg_marquardt(_problem(matches, K), T, ITERATIONS)


@torch.no_grad()
def approach(network: FlowNetwork, batch: Batch, T: Tensor, joint: bool = False,
             steps: int = STEPS) -> tuple[PoseSolution, FlowMatches]:
    """Poses from T (B, 4, 4) on, drawn and fitted `steps` times, and the matches of the last time.

    joint: all pairs have one camera and one extrinsic; then T, and what comes back, is the one of it (1, 4, 4).
    """
    seen = network.image_encoder(batch.image)
    for _ in range(steps):
        T = T.expand(len(batch), -1, -1) if joint else T
        drawn = draw(batch, T)
        matches = flow_matches(network.compare(seen, drawn.raster.picture), drawn, batch)
        matches, K, T = (_together(matches), batch.K[:1], T[:1]) if joint else (matches, batch.K, T)
        found = fit(matches, K, T)
        T = found.T
    return found, matches


def support(matches: FlowMatches, K: Tensor, T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) how many matches there are, how many agree with poses T (B, 4, 4), and their median error in px."""
    u, v, depth = (part[:, 0] for part in project(matches.points, T[:, None], K))
    off = torch.stack([u, v], dim=-1) - matches.pixels
    agree = matches.valid & (depth > 0) & ((off.abs() / matches.scales).amax(dim=-1) < AGREE)
    error = off.norm(dim=-1).masked_fill(~agree, torch.nan).nanmedian(dim=1).values
    return matches.valid.sum(dim=1), agree.sum(dim=1), error


def _recorded(pixels: Tensor, inside: Tensor) -> Tensor:
    """(B, n) bool: which pixels (B, n, 2) lie where the recording reaches, inside (B, H, W). Elsewhere no loss was ever
    asked for, so that what is said there, and how surely, means nothing."""
    height, width = inside.shape[1:]
    u, v = (pixels + 0.5).floor().unbind(-1)
    within = (u >= 0) & (u < width) & (v >= 0) & (v < height)  # false for NaN
    place = torch.where(within, v * width + u, 0.0).long()
    return within & inside.flatten(1).gather(1, place)


def _problem(matches: FlowMatches, K: Tensor) -> Problem:
    weights = matches.valid[..., None] / matches.scales
    delta = torch.full((len(K),), DELTA, dtype=weights.dtype, device=weights.device)
    return Problem(matches.points, matches.pixels, weights, K, delta)


def _together(matches: FlowMatches) -> FlowMatches:
    """The matches of all pairs as those of one."""
    return FlowMatches(*(part.flatten(0, 1)[None] for part in (matches.points, matches.pixels, matches.scales,
                                                              matches.valid)))
