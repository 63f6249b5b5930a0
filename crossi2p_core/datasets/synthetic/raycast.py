"""The first surface that rays meet, and whether the way to the sun is free: exact, for a whole ray image at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import intersect
from .bundles import Candidates, cull_from_point, cull_parallel, from_tiles, to_tiles
from .grouping import Groups, group_across
from .intersect import MISS, Vector
from .world import Material, Shape, World

_SLOTS = (4, 4, 8, 16, 32)  # candidates of a bundle that are tried before it is asked again whether it is done
_PAIRS_AT_ONCE = {"cpu": 1024}  # on a CPU working sets of this size stay in the cache
_ALL_PAIRS = 1 << 18
_TILTED = 8

PairRays = Callable[[Tensor, Tensor], tuple[Vector, Vector]]  # (bundle, primitive) -> start and direction of the rays


@dataclass(frozen=True)
class Hits:
    """What the rays of an image (B, H, W) met.

    distance: (B, H, W) m along the unit ray, MISS where it met nothing. primitive: (B, H, W) int64 index into the
    flattened (B * P) primitives, -1 where nothing.
    """

    distance: Tensor
    primitive: Tensor


def cast(world: World, origin: Tensor, rays: Tensor, tile: tuple[int, int], max_range: float = 300.0) -> Hits:
    """First hits of `rays` (B, H, W, 3), unit vectors of the world frame that start at `origin` (B, 3).

    tile: rows and columns of rays that are culled together; neighbours in the image should be neighbours in direction.
    """
    shape = (rays.shape[0], rays.shape[1], rays.shape[2])
    d = torch.stack([to_tiles(rays[..., i], tile) for i in range(3)])  # (3, B * T, R)
    candidates = cull_from_point(world, origin, d, max_range)
    scaled = _Scaled(world)
    primitives = world.shape.shape[1]
    o = origin.repeat_interleave(primitives, 0).t()[:, :, None]  # (3, B * P, 1): one per primitive's world

    def pair_rays(bundle: Tensor, primitive: Tensor) -> tuple[Vector, Vector]:
        start, way = o.index_select(1, primitive), d.index_select(1, bundle)
        return (start[0], start[1], start[2]), (way[0], way[1], way[2])

    best, found = _search(scaled, candidates, (d.shape[1], d.shape[2]), pair_rays)
    distance, primitive = from_tiles(best, shape, tile), from_tiles(found, shape, tile)
    miss = distance > max_range
    return Hits(distance.masked_fill(miss, MISS), primitive.long().masked_fill(miss, -1))


def is_blocked(world: World, points: Tensor, of_world: Tensor, direction: Tensor, max_range: float | Tensor = 1e4,
               groups: Groups | None = None) -> Tensor:
    """(n,) bool: something lies within `max_range` of `points` (n, 3) of the worlds `of_world` (n,), along `direction`
    (B, 3), one per world; max_range: m, one for all or (B,).

    groups: neighbours that are culled together, from `group_across` (the default) or `group_nearby`.
    """
    if len(points) == 0:
        return torch.zeros(0, dtype=torch.bool, device=points.device)
    groups = group_across(points, of_world, direction) if groups is None else groups
    start = points.t()[:, groups.member]  # (3, B * T, R)
    reach = torch.as_tensor(max_range, dtype=points.dtype, device=points.device).expand(len(world))
    candidates = cull_parallel(world, start, direction, reach)
    way = direction.repeat_interleave(world.shape.shape[1], 0).t()[:, :, None]

    def pair_rays(bundle: Tensor, primitive: Tensor) -> tuple[Vector, Vector]:
        o, d = start.index_select(1, bundle), way.index_select(1, primitive)
        return (o[0], o[1], o[2]), (d[0], d[1], d[2])

    enough = reach.repeat_interleave(start.shape[1] // len(world))
    best, _ = _search(_Scaled(world), candidates, (start.shape[1], start.shape[2]), pair_rays, enough)
    blocked = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    blocked[groups.member.view(-1)] = best.view(-1) < reach[of_world[groups.member.view(-1)]]
    return blocked


class _Scaled:
    """The flattened primitives with the linear map that takes the world into each one's own, scaled frame."""

    def __init__(self, world: World) -> None:
        self.kind = world.shape.view(-1)
        half = world.half.view(-1, 3)
        unit = torch.ones_like(half)
        round_xy = (self.kind == Shape.CYLINDER) | (self.kind == Shape.ELLIPSOID)
        unit[round_xy, :2] = half[round_xy, :2]
        ball = self.kind == Shape.ELLIPSOID
        unit[ball, 2] = half[ball, 2]
        self.map = world.rotation.view(-1, 3, 3).transpose(1, 2) / unit[..., None]
        self.center, self.half, self.taper = world.center.view(-1, 3), half, world.taper.view(-1, 4)
        self.holes = world.holes.view(-1)
        material = world.material.view(-1)
        leaning = (self.taper != 0).any(1)
        holed = self.holes > 0
        is_box = self.kind == Shape.BOX
        self.group = torch.full_like(self.kind, -1)  # case of `_distances`, and _TILTED more where not upright
        self.group[is_box & ~leaning] = 0
        self.group[is_box & leaning] = 1
        self.group[self.kind == Shape.CYLINDER] = 2
        self.group[ball & ~holed] = 3
        self.group[ball & holed] = 4
        self.group[is_box & holed & (material == Material.FENCE)] = 5
        self.group += _TILTED * (self.map[:, [0, 1, 2, 2], [2, 2, 0, 1]] != 0).any(1)


def _distances(scaled: _Scaled, group: int, primitive: Tensor, o: Vector, d: Vector) -> Tensor:
    """(K, R) distances of K pairs, all of one group; o and d in the world frame."""
    m = scaled.map[primitive][..., None]  # (K, 3, 3, 1)
    c = scaled.center[primitive][..., None]
    local = _turned if group >= _TILTED else _turned_upright
    start, way = local(m, (o[0] - c[:, 0], o[1] - c[:, 1], o[2] - c[:, 2])), local(m, d)
    half, group = scaled.half[primitive], group % _TILTED
    if group == 1:
        return intersect.first_hit(*intersect.leaning_box(start, way, half, scaled.taper[primitive]))
    if group == 2:
        return intersect.first_hit(*intersect.cylinder(start, way, half[:, 2:3]))
    if group == 3:
        return intersect.first_hit(*intersect.ellipsoid(start, way))
    if group == 4:
        enter, leave = intersect.ellipsoid(start, way)
        return intersect.crown_hit(enter, leave, o, d, scaled.holes[primitive][:, None])
    t = intersect.first_hit(*intersect.box(start, way, half))
    return intersect.fence_hit(t, start, way, half, scaled.holes[primitive][:, None]) if group == 5 else t


def _turned(m: Tensor, p: Vector) -> Vector:
    """Vectors in the primitives' own frames; m: (K, 3, 3, 1)."""
    x, y, z = (m[:, i, 0] * p[0] + m[:, i, 1] * p[1] + m[:, i, 2] * p[2] for i in range(3))
    return x, y, z


def _turned_upright(m: Tensor, p: Vector) -> Vector:
    """As `_turned` for primitives that are turned about the vertical only, which is nearly all."""
    return m[:, 0, 0] * p[0] + m[:, 0, 1] * p[1], m[:, 1, 0] * p[0] + m[:, 1, 1] * p[1], m[:, 2, 2] * p[2]


def _search(scaled: _Scaled, candidates: Candidates, size: tuple[int, int], pair_rays: PairRays,
            enough: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Nearest distance and primitive (as a float, -1 for none) for bundles of `size` (T, R), nearest candidates first.

    A bundle is done when its next candidate begins behind everything found; with `enough` (T,) m as soon as all its
    rays met something nearer than that.
    """
    device = candidates.near.device
    best = torch.full(size, MISS, device=device)
    found = torch.full(size, -1.0, device=device)
    slot, turn = 0, 0
    active = candidates.count.nonzero().view(-1)
    while len(active):
        here, slots = active[:, None], _SLOTS[min(turn, len(_SLOTS) - 1)]
        index = candidates.start[here] + slot + torch.arange(slots, device=device)
        valid = index < (candidates.start + candidates.count)[here]
        _try_slots(scaled, candidates, active, index, valid, pair_rays, best, found)
        slot, turn = slot + slots, turn + 1
        active = active[candidates.count[active] > slot]
        farthest = best.amax(1)[active]
        upcoming = candidates.near[candidates.start[active] + slot]
        active = active[farthest >= (upcoming if enough is None else enough[active])]
    return best, found


def _try_slots(scaled: _Scaled, candidates: Candidates, active: Tensor, index: Tensor, valid: Tensor,
               pair_rays: PairRays, best: Tensor, found: Tensor) -> None:
    """Intersect the next candidates of the active bundles and keep what is nearer, in place."""
    row, column = valid.nonzero(as_tuple=True)
    primitive = candidates.primitive[index[row, column]]
    t = torch.full((*index.shape, best.shape[1]), MISS, device=best.device)
    group = scaled.group[primitive]
    at_once = _PAIRS_AT_ONCE.get(best.device.type, _ALL_PAIRS)
    for g in group.unique().tolist():
        for part in (group == g).nonzero().view(-1).split(at_once):
            p = primitive[part]
            o, d = pair_rays(active[row[part]], p)
            t[row[part], column[part]] = _distances(scaled, g, p, o, d)
    name = torch.zeros(index.shape, device=best.device)
    name[row, column] = primitive.to(name.dtype)
    nearest, what = best[active], found[active]
    for k in range(index.shape[1]):
        nearer = (t[:, k] < nearest).to(t.dtype)
        what = what + nearer * (name[:, k, None] - what)
        nearest = torch.minimum(nearest, t[:, k])
    best[active], found[active] = nearest, what

