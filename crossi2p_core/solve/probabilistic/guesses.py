"""Poses worth a look: from a place where the camera may be, and the fewest matches that then decide its rotation.

Three matches decide a pose by themselves (`minimal.poses_of_three`), but where 19 of 20 drawn matches are wrong, one
set of three in 8000 is right. A place within the reach of the LiDAR costs nothing to draw, need not be exact (far
points look much the same from metres aside) and leaves the rotation to two matches, of which one in 400 pairs is
right; or, where gravity is known, the heading to one. What is over-determined by that throws out most wrong ones:
the angle between two rays, or the elevation of one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...geometry import se3
from ...types import Prior
from .evidence import Evidence
from .minimal import rays_of, upright

SHARPNESS = 1.5  # power of the odds by which matches are drawn: likely ones even more often
FLATNESS = 0.2  # height of the places drawn over their distance: vehicles and robots are wider than high
LEAST_LOG_ODDS = 0.7  # of a match that is drawn at all
POOL = 8192  # matches drawn, of which pairs are made: drawing from a million superpixels costs more than pairing
TOLERANCE_RAD = math.radians(4.0)  # of the over-determined angle
LEAST_APART_RAD = math.radians(8.0)  # two rays closer together say little of the rotation
FAR_M = 15.0  # from there on a point is as good as any; nearer, the place matters too much


def guess_by_two(evidence: Evidence, count: int, reach_m: float, generator: torch.Generator) -> Tensor:
    """(H, 4, 4) poses from `count` pairs of matches and places; those that fit together, so far fewer."""
    points, rays = draw_matches(evidence, POOL, generator)
    pair = torch.randint(POOL, (count, 2), generator=generator).to(points.device)
    place = draw_places(count, reach_m, generator).to(points)
    felt = normalize(points.index_select(0, pair.flatten()).view(count, 2, 3) - place[:, None], dim=-1)
    seen = rays.index_select(0, pair.flatten()).view(count, 2, 3)
    a, b = (_angle(x[:, 0], x[:, 1]) for x in (felt, seen))
    fits = ((a - b).abs() < TOLERANCE_RAD) & (torch.minimum(a, b) > LEAST_APART_RAD)
    R = _axes(seen[fits]) @ _axes(felt[fits]).mT
    return _posed(R, place[fits])


def guess_by_one(evidence: Evidence, count: int, reach_m: float, up: Tensor, sigma_rad: float,
                 generator: torch.Generator) -> Tensor:
    """(H, 4, 4) poses from `count` matches and places, `up` (3,) being the LiDAR's z axis in the camera frame."""
    points, rays = draw_matches(evidence, count, generator)
    place = draw_places(count, reach_m, generator).to(points)
    felt = normalize(points - place, dim=-1)
    level = upright(normalize(up.to(points), dim=-1)[None])[0]
    seen = rays @ level  # in a levelled frame
    fits = (seen[:, 2].clamp(-1, 1).asin() - felt[:, 2].clamp(-1, 1).asin()).abs() < TOLERANCE_RAD + sigma_rad
    felt, seen, place = felt[fits], seen[fits], place[fits]
    yaw = torch.atan2(seen[:, 1], seen[:, 0]) - torch.atan2(felt[:, 1], felt[:, 0])
    zero = torch.zeros_like(yaw)
    return _posed(level @ se3.exp_so3(torch.stack([zero, zero, yaw], dim=-1)), place)


def guess_around(prior: Prior, count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """(count + 1, 4, 4) the prior itself, and poses drawn evenly from the balls that its bounds describe."""
    guess = torch.as_tensor(prior.T_cam_lidar).to(like)
    axis, way = (normalize(torch.randn(count, 3, generator=generator), dim=-1) for _ in range(2))
    angle, length = (torch.rand(count, 1, generator=generator) ** (1 / 3) for _ in range(2))
    turn = se3.exp_so3(axis * angle * math.radians(prior.max_deg)).to(like)
    T = se3.make(turn @ guess[:3, :3], guess[:3, 3] + (way * length * prior.max_m).to(like))
    return torch.cat([guess[None], T])


def draw_matches(evidence: Evidence, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points (count, 3) and unit rays (count, 3) of matches of one pair, the likely ones more often."""
    w = evidence.inside.shape[-1]
    floor, xyz = evidence.floor[0], evidence.superpoints[0]
    log_odds = evidence.inside[0].flatten(1) - floor.log()[:, None]  # of a match, plus one; 0 is no more than chance
    point, cell = (log_odds > LEAST_LOG_ODDS).nonzero(as_tuple=True)
    if not len(point):
        return xyz[:1].expand(count, 3), xyz.new_tensor([0.0, 0.0, 1.0]).expand(count, 3)
    far = (xyz.norm(dim=-1) / FAR_M).clamp(max=1)
    total = (log_odds[point, cell].expm1() ** SHARPNESS * far[point]).cumsum(0, dtype=torch.float64)
    drawn = torch.rand(count, dtype=torch.float64, generator=generator).to(total.device) * total[-1]
    index = torch.searchsorted(total, drawn).clamp(max=len(total) - 1)
    point, cell = point[index], cell[index]
    pixels = evidence.stride * (torch.stack([cell % w, cell // w], dim=-1) + 0.5) - 0.5
    return xyz[point], normalize(rays_of(pixels[None].to(xyz), evidence.K)[0], dim=-1)


def draw_places(count: int, reach_m: float, generator: torch.Generator) -> Tensor:
    """(count, 3) places of the camera around the LiDAR: any distance as likely as any other, so mostly near it."""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    length = reach_m * torch.rand(count, generator=generator)
    height = FLATNESS * length * (2 * torch.rand(count, generator=generator) - 1)
    return torch.stack([length * angle.cos(), length * angle.sin(), height], dim=-1)


def _posed(R: Tensor, place: Tensor) -> Tensor:
    """T_cam_lidar (H, 4, 4) of cameras at `place` (H, 3)."""
    return se3.make(R, -(R * place[:, None]).sum(-1))


def _axes(pair: Tensor) -> Tensor:
    """Right-handed axes (H, 3, 3), as columns, of two directions (H, 2, 3): their mean, their difference, across."""
    middle = normalize(pair[:, 0] + pair[:, 1], dim=-1)
    along = normalize(pair[:, 0] - pair[:, 1], dim=-1)
    return torch.stack([middle, along, torch.linalg.cross(middle, along)], dim=-1)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Radians between unit vectors (H, 3)."""
    return 2 * torch.asin((0.5 * (a - b).norm(dim=-1)).clamp(max=1))
