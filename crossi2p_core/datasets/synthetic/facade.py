"""Facades: a grid of storeys and window columns on a wall, its recessed openings, and its paint.

Parameters of Material.FACADE: 0 storey height m, 1 column pitch m, 2 window width m, 3 window height m, 4 seed,
5 brickwork 0/1, 6 shop on the ground floor 0/1, 7 depth of the recess m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .coat import Coat, coat_of
from .noise import coverage, hashed, octaves, stripes, value_noise

if TYPE_CHECKING:
    from .surface import Surface

WALL, PANE, REVEAL, DOOR = 0, 1, 2, 3  # values of Surface.part
_MARGIN = 0.45  # m of wall without windows at both ends
_SILL = 0.9  # m from the floor to a window


@dataclass(frozen=True)
class _Cell:
    """The opening of the grid cell around each point: centre-relative u, bounds in m, and random numbers in 0..1."""

    across: Tensor  # u from the middle of the column
    reach: Tensor  # half width of the opening, negative where there is none
    low: Tensor  # v of sill
    high: Tensor  # v of lintel
    door: Tensor  # bool
    chance: Tensor  # (n,)
    floor_v: Tensor  # v above the storey's floor


def _cell(s: Surface) -> _Cell:
    storey, pitch, width, tall, seed, _, shop, _ = s.params.unbind(-1)
    half_u = torch.where(s.face < 2, s.half[:, 1], s.half[:, 0])
    usable = 2 * (half_u - _MARGIN)
    columns = (usable / pitch).round().clamp(min=1)
    pitch = usable / columns
    along = s.u + half_u - _MARGIN
    column, floor = (along / pitch).floor(), (s.v / storey).floor()
    chance = hashed(seed, column + 50, floor + 50, s.face)
    ground = floor == 0
    door = ground & (hashed(seed, column, s.face + 9) < 0.22)
    shop = ground & (shop > 0) & ~door
    reach = torch.minimum(width / 2, 0.42 * pitch)
    reach = torch.where(shop, 0.45 * pitch, torch.where(door, torch.minimum(0.55 + 0 * pitch, 0.4 * pitch), reach))
    sill = torch.where(door, 0.02, torch.where(shop, 0.4, _SILL))
    high = torch.minimum(torch.where(door, 2.2, torch.where(shop, storey - 0.55, sill + tall)), storey - 0.3)
    party = s.face < 2  # the ends of a house have few windows
    absent = (chance < torch.where(party, 0.45, 0.04)) & ~door
    outside = (column < 0) | (column >= columns) | ((floor + 1) * storey > 2 * s.half[:, 2] + 0.3) | (floor < 0)
    reach = torch.where(absent | outside | (door & party), -1.0, reach)
    base = floor * storey
    return _Cell(along - (column + 0.5) * pitch, reach, base + sill, base + high, door, chance, s.v - base)


def recess(s: Surface, local_ray: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays that enter an opening end: on the pane, or on the reveal around it.

    s: hits on the walls (faces 0-3); local_ray: (n, 3) in the house's frame. Returns how much farther (n,) m, the part
    that was hit (n,), and the normal (n, 3) in the house's frame.
    """
    cell = _cell(s)
    inside = (cell.across.abs() < cell.reach) & (s.v > cell.low) & (s.v < cell.high)
    axis_n, axis_u = s.face // 2, (s.face < 2).long()
    into = local_ray.gather(1, axis_n[:, None])[:, 0].abs().clamp(min=1e-3)
    du, dv = local_ray.gather(1, axis_u[:, None])[:, 0], local_ray[:, 2]
    to_pane = s.params[:, 7] / into
    to_side = (cell.reach - cell.across * du.sign()) / du.abs().clamp(min=1e-6)
    to_edge = torch.where(dv > 0, cell.high - s.v, s.v - cell.low) / dv.abs().clamp(min=1e-6)
    deeper = torch.minimum(to_pane, torch.minimum(to_side, to_edge)).clamp(min=0) * inside
    on_pane = inside & (to_pane <= to_side) & (to_pane <= to_edge)
    on_side = inside & ~on_pane & (to_side <= to_edge)
    part = torch.where(on_pane, torch.where(cell.door, DOOR, PANE), torch.where(inside, REVEAL, WALL))

    def unit(axis: Tensor, sign: Tensor) -> Tensor:
        return torch.zeros_like(local_ray).scatter_(1, axis[:, None], sign[:, None])

    outward = unit(axis_n, 1.0 - 2.0 * (s.face % 2))
    across, upright = unit(axis_u, -du.sign()), unit(torch.full_like(axis_u, 2), -dv.sign())
    on_edge = inside & ~on_pane & ~on_side
    normal = torch.where(on_side[:, None], across, torch.where(on_edge[:, None], upright, outward))
    return deeper, part, normal


def facade_coat(s: Surface) -> Coat:
    """Plaster or brick with plinth, string courses and surrounds; panes with frames, blinds and curtains; doors."""
    cell = _cell(s)
    wall = _wall(s, cell)
    f = s.footprint
    chance2 = hashed((cell.chance * 1e6).long(), s.params[:, 4])
    edge = torch.minimum(cell.reach - cell.across.abs(), torch.minimum(s.v - cell.low, cell.high - s.v))
    frame = torch.maximum(coverage(edge, -9.0, 0.07, f), coverage(cell.across, -0.035, 0.035, s.footprint_u))
    shut = (chance2 < 0.2).float()
    curtain = ((chance2 > 0.6) & (cell.across.abs() > cell.reach * 0.45)).float()
    slats = 0.75 + 0.25 * stripes(s.v, 0.09, 0.05, s.footprint_v)
    glass = 0.025 + 0.05 * cell.chance + 0.28 * curtain
    pane = glass[:, None] * (1 - shut[:, None]) + shut[:, None] * (0.5 * s.color2 + 0.12) * slats[:, None]
    pane = pane + frame[:, None] * (0.55 - pane)
    panel = 0.7 + 0.3 * coverage(edge, 0.14, 9.0, f)
    door = (0.25 * s.color2 + 0.03) * panel[:, None]
    part = s.part[:, None]
    color = torch.where(part == PANE, pane, torch.where(part == DOOR, door, wall))
    color = torch.where(part == REVEAL, s.color * 0.9, color)
    is_glass = ((s.part == PANE) & (shut < 0.5)).float() * (1 - frame)
    infrared = color.mean(-1) * 0.75 + 0.12
    return coat_of(color, infrared * (1 - 0.7 * is_glass), mirror=0.10 * is_glass, loss=0.75 * is_glass * (1 - curtain))


def _wall(s: Surface, cell: _Cell) -> Tensor:
    seed = s.params[:, 4]
    f = s.footprint
    shift = hashed(seed) * 100
    stain = 1 + 0.13 * octaves(s.u + shift, s.v * 0.6, 1.6, f, 5) + 0.07 * value_noise(s.u * 6 + shift, s.v, 1.3, f)
    row = (s.v / 0.085).floor()
    mortar = torch.maximum(stripes(s.v, 0.085, 0.016, s.footprint_v),
                           stripes(s.u + 0.12 * (row % 2), 0.24, 0.014, s.footprint_u))
    tone = 1 + 0.3 * (hashed(((s.u + 0.12 * (row % 2)) / 0.24).floor() + 999, row, seed) - 0.5) * (f < 0.12)
    brick = s.params[:, 5]
    stain = stain * (1 + brick * (tone - 1)) * (1 + brick * 0.5 * mortar)
    color = s.color * stain[:, None]
    plinth = coverage(s.v, -1.0, 0.55, s.footprint_v) * (hashed(seed, seed + 1) < 0.7)
    course = coverage(cell.floor_v, -0.2, 0.09, s.footprint_v) * (hashed(seed, seed + 2) < 0.5) * (s.v > 1)
    top = 2 * s.half[:, 2]
    cornice = coverage(s.v, top - 0.28, top + 1, s.footprint_v)
    ring = torch.maximum(cell.across.abs() - cell.reach, torch.maximum(cell.low - s.v, s.v - cell.high))
    surround = coverage(ring, -1.0, 0.13, f) * (cell.reach > 0) * (hashed(seed, seed + 3) < 0.6)
    color = color + (plinth * 0.85)[:, None] * (0.45 * s.color - color)
    for band in (course, cornice, surround):
        color = color + (band * 0.8)[:, None] * (s.color2 - color)
    streak = value_noise(s.u * 3 + shift, s.v * 0.3, 1.0, f).clamp(min=0) * (s.v / top).clamp(0, 1)
    return color * (1 - 0.15 * streak)[:, None]
