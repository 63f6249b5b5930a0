"""Paint of what is outdoors: roads with marks, pavements, grass, roofs, vehicles, plants, signs, containers.

Each function takes hits of one material and returns their Coat. Parameters are those of `World.params`, named in each.
All stripes are box-filtered by the pixel's footprint, all noise fades below it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .coat import Coat, coat_of
from .noise import coverage, hashed, octaves, stripes, value_noise
from .surface import Surface


def road_coat(s: Surface) -> Coat:
    """Asphalt with patches, cracks and lane marks; grass beyond the pavement.

    Parameters: 0 curvature 1/m, 1 half width m, 2 s of the side street, 3 its half width, 4 width of the parking
    lane, 5 marks (0 none, 1 middle line, 2 edge lines too, 3 yard: bays), 6 seed, 7 where grass begins.
    """
    k, half, cross, cross_half, parking, marks, seed, edge = s.params.unbind(-1)
    along, left = street_coordinates(s.point[:, 0], s.point[:, 1], k)
    heading = k * along
    f_long, f_side = _turned_footprints(s, heading)
    f = s.footprint
    shift = hashed(seed) * 50
    grain = 0.22 * value_noise(s.u, s.v, 0.06, f) + 0.14 * value_noise(s.u, s.v, 0.22, f)
    patches = octaves(along * 0.25 + shift, left, 1.1, f_side, 3)
    tone = 1 + grain + 0.12 * patches - 0.10 * coverage((left.abs() - half / 2).abs(), 0.5, 1.0, f_side)
    tone = tone - 0.25 * _cracks(along, left, shift, f)
    asphalt = s.color * tone.clamp(min=0.3)[:, None]
    paint = _lane_marks(along, left, half, cross, cross_half, parking, marks, f_long, f_side)
    worn = (0.8 + 0.35 * value_noise(s.u, s.v, 0.25, f)).clamp(0, 1)
    paint = paint * worn
    color = asphalt + paint[:, None] * (0.62 - asphalt)
    away = (along - cross).abs() - cross_half
    green = coverage(left.abs() - edge, 0.0, 1e4, f_side) * coverage(away, 0.0, 1e6, f_long) * (marks < 2.5)
    lawn = _grass(s, s.color2)
    color = color + green[:, None] * (lawn - color)
    infrared = 0.16 + 1.1 * s.color.mean(-1) * tone + 0.45 * paint
    return coat_of(color, infrared * (1 - green) + 0.42 * green, retro=0.25 * paint * (1 - green))


def street_coordinates(x: Tensor, y: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Metres along a curve that starts at the origin along x, and metres to the left of it."""
    radius = 1 / curvature
    side = radius.sign()
    angle = torch.atan2(x * side, (radius - y) * side)
    return angle * radius, radius - side * torch.hypot(x, radius - y)


def _turned_footprints(s: Surface, heading: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel's extent along and across the street's direction."""
    c, w = heading.cos().abs(), heading.sin().abs()
    return c * s.footprint_u + w * s.footprint_v, w * s.footprint_u + c * s.footprint_v


def _cracks(along: Tensor, left: Tensor, shift: Tensor, f: Tensor) -> Tensor:
    """Tar seams: one that wanders along the street, and one across it every 20 to 30 m."""
    wander = 0.15 * value_noise(along + shift, shift, 2.0)
    seam = coverage(left + wander - 0.3, -0.03, 0.03, f)
    joint = coverage((along + shift) % 23.0 + wander, 2.97, 3.03, f)
    return torch.maximum(seam, joint)


def _lane_marks(along: Tensor, left: Tensor, half: Tensor, cross: Tensor, cross_half: Tensor, parking: Tensor,
                marks: Tensor, f_long: Tensor, f_side: Tensor) -> Tensor:
    """Share of the pixel that is painted."""
    middle = coverage(left, -0.06, 0.06, f_side) * stripes(along, 9.0, 4.0, f_long) * (marks >= 1)
    rim = half - parking - 0.25
    borders = coverage(left.abs() - rim, -0.06, 0.06, f_side) * (marks >= 2)
    bays = (stripes(along, 5.6, 0.1, f_long) * coverage(left.abs(), rim + 0.25, half, f_side)
            + coverage(left.abs() - rim, 0.2, 0.3, f_side)) * (parking > 0) * (marks == 1)
    away = (along - cross).abs() - cross_half
    open_road = coverage(away, 1.0, 1e6, f_long)
    stop = coverage(away, 5.2, 5.6, f_long) * coverage(left * (along - cross).sign(), 0.1, 1e3, f_side)
    zebra = coverage(away, 1.5, 4.5, f_long) * stripes(left, 1.0, 0.5, f_side)
    crossing = torch.maximum(zebra, stop) * coverage(left.abs(), -1.0, half - 0.3, f_side) * (marks >= 1)
    plain = coverage(away, 5.6, 1e6, f_long)
    street = torch.maximum(torch.maximum(middle, borders) * plain, torch.maximum(bays * open_road, crossing))
    yard = (stripes(left, 2.6, 0.1, f_side) * coverage(along % 18.0, 0.0, 5.0, f_long)) * (marks == 3)
    return torch.maximum(street * (marks < 3), yard)


def paving_coat(s: Surface) -> Coat:
    """Slabs with joints. Parameters: 0 size of a slab m."""
    size = s.params[:, 0]
    f = s.footprint
    joint = torch.maximum(stripes(s.point[:, 0], size, 0.025, s.footprint_u),
                          stripes(s.point[:, 1], size, 0.025, s.footprint_v))
    slab = hashed((s.point[:, 0] / size).floor() + 5000, (s.point[:, 1] / size).floor() + 5000)
    tone = 1 + 0.12 * (slab - 0.5) * (1.2 - f / size).clamp(0, 1) + 0.14 * octaves(s.point[:, 0], s.point[:, 1], 1.5, f)
    tone = (tone + 0.15 * value_noise(s.u, s.v, 0.06, f)) * (1 - 0.35 * joint)
    return coat_of(s.color * tone[:, None], 0.26 + 0.45 * s.color.mean(-1) * tone)


def grass_coat(s: Surface) -> Coat:
    """Lawn."""
    return coat_of(_grass(s, s.color), torch.full_like(s.u, 0.42) + 0.05 * value_noise(s.u, s.v, 0.5, s.footprint))


def _grass(s: Surface, base: Tensor) -> Tensor:
    x, y, f = s.point[:, 0], s.point[:, 1], s.footprint
    tone = 1 + 0.6 * value_noise(x, y, 0.10, f) + 0.35 * octaves(x, y, 1.4, f) + 0.2 * value_noise(x, y, 7.0, f)
    dry = (0.5 + 0.6 * value_noise(x + 40, y, 3.0, f)).clamp(0, 1)[:, None]
    return base * tone.clamp(min=0.2)[:, None] * (1 + dry * base.new_tensor([0.5, 0.1, 0.2]))


def roof_coat(s: Surface) -> Coat:
    """Rows of tiles on the slopes, plaster on the gables. Parameters: 0 seed."""
    rows = stripes(s.v, 0.24, 0.07, s.footprint_v)
    columns = stripes(s.u, 0.22, 0.05, s.footprint_u)
    tone = (1 - 0.35 * rows) * (1 - 0.15 * columns) * (1 + 0.12 * octaves(s.u + s.params[:, 0], s.v, 1.0, s.footprint))
    return coat_of(s.color * tone[:, None], 0.2 + 0.8 * s.color.mean(-1))


def paint_coat(s: Surface) -> Coat:
    """A vehicle's body: bumper, wheel arches, door gaps, lights, number plates.

    Parameters: 0 half wheel base m, 1 wheel radius, 2 seed, 3 height of the sill above ground, 4 lorry 0/1.
    """
    base, radius, _, low, lorry = s.params[:, :5].unbind(-1)
    x, y, h = s.local[:, 0], s.local[:, 1], s.v + low  # h: above ground
    side, end, top = (s.face // 2 == 1).float(), (s.face < 2).float(), (s.face == 4).float()
    f = s.footprint
    arch = torch.hypot(x.abs() - base, h - radius)
    dark = coverage(arch, -9.0, 1.22 * radius, f) * side
    dark = torch.maximum(dark, coverage(h, -1.0, low + 0.09, f) * (1 - top))
    gaps = torch.maximum(coverage(x - 0.05, -0.012, 0.012, f), coverage(x.abs() - base * 0.72, -0.012, 0.012, f))
    tone = 1 - 0.6 * gaps * side - 0.3 * coverage(h, low + 0.28, low + 0.33, f) * (1 - top)
    color = s.color * tone[:, None]
    color = color + dark[:, None] * (0.018 - color)
    width = s.half[:, 1]
    lamp = coverage(y.abs(), width * 0.66, width * 0.97, f) * coverage(h, low + 0.34, low + 0.53, f) * end
    back = (s.face == 1).float()
    shine = lamp[:, None] * torch.stack([0.55 - 0.1 * back, 0.55 - 0.52 * back, 0.52 - 0.50 * back], -1)
    color = color * (1 - lamp[:, None]) + shine
    plate = coverage(y.abs(), -1.0, 0.26, f) * coverage(h, low + 0.17, low + 0.29, f) * end
    color = color + plate[:, None] * (0.62 - color)
    grille = coverage(y.abs(), -1.0, width * 0.5, f) * coverage(h, low + 0.33, low + 0.47, f) * (s.face == 0)
    color = color * (1 - 0.8 * grille[:, None])
    plain = 1 - (dark + lamp + grille).clamp(0, 1)
    infrared = 0.06 + 0.55 * s.color.mean(-1) * plain + 0.05 * lorry
    return coat_of(color, infrared, mirror=0.05 * plain + 0.04 * lamp, retro=(0.9 * plate + 0.35 * lamp * back),
                loss=0.25 * (1 - s.color.mean(-1)) * plain)


def glass_coat(s: Surface) -> Coat:
    """A vehicle's cabin: glazing between painted pillars, painted roof. Parameters: 0 seed, 1 van 0/1."""
    f = s.footprint
    height = 2 * s.half[:, 2]
    rim = torch.maximum(coverage(s.v, -1.0, 0.05, f), coverage(s.v, height - 0.07, height + 1, f))
    half_u = torch.where(s.face < 2, s.half[:, 1], s.half[:, 0])
    pillar = coverage((s.u.abs() - half_u + 0.28 * s.v * (s.face < 2)), -0.07, 9.0, f) * (s.face < 2)
    middle = coverage((s.u + 0.05).abs(), -1.0, 0.05, f) + coverage(s.u + 0.62 * half_u, -0.04, 0.04, f)
    closed = (s.params[:, 1] > 0) * coverage(-s.u, -0.2 * half_u, 99.0, f)
    pillar = pillar + (middle + closed) * (s.face // 2 == 1)
    painted = torch.maximum(torch.maximum(rim, pillar.clamp(0, 1)), (s.face >= 4).float())
    inside = 0.012 + 0.05 * coverage(s.v, 0.05, 0.35 * height, f) * hashed((s.u * 2).floor() + 90, s.params[:, 0])
    color = inside[:, None] + painted[:, None] * (s.color - inside[:, None])
    infrared = 0.04 + painted * (0.02 + 0.55 * s.color.mean(-1))
    return coat_of(color, infrared, mirror=0.09 - 0.04 * painted, loss=0.8 * (1 - painted))


def rubber_coat(s: Surface) -> Coat:
    """Tyre and rim of a wheel."""
    r = (s.local[:, :2] / s.half[:, :2]).norm(dim=-1)
    angle = torch.atan2(s.local[:, 1], s.local[:, 0])
    f = s.footprint / s.half[:, 0]
    rim = coverage(r, -1.0, 0.66, f) * (s.face != 6)
    spokes = 0.55 + 0.45 * (5 * angle).cos() * coverage(r, 0.2, 0.6, f)
    color = s.color + rim[:, None] * (s.color2 * spokes[:, None] - s.color)
    return coat_of(color, 0.05 + 0.3 * rim)


def bark_coat(s: Surface) -> Coat:
    """Furrows along a trunk. Parameters: 0 seed."""
    tone = 1 + 0.30 * value_noise(s.u * 3 + s.params[:, 0], s.v * 0.5, 0.18, s.footprint)
    tone = tone + 0.2 * octaves(s.u, s.v, 0.9, s.footprint, 2)
    return coat_of(s.color * tone.clamp(0.3, 2)[:, None], 0.28 + 0.1 * tone)


def leaves_coat(s: Surface) -> Coat:
    """Foliage: light and dark leaf clusters, bright in the infrared. Parameters: 0 seed."""
    f, shift = s.footprint, s.params[:, 0]
    a, b = s.u + s.local[:, 2] * 0.31 + shift, s.v + s.local[:, 0] * 0.27
    tone = 0.9 + 0.9 * value_noise(a, b, 0.13, f) + 0.7 * value_noise(b, a, 0.35, f)
    tone = tone + 0.3 * value_noise(a, b, 1.2, f)
    tone = tone * (0.8 + 0.25 * (s.local[:, 2] / s.half[:, 2]).clamp(-1, 1))  # darker within and below
    return coat_of(s.color * tone.clamp(0.06, 2.6)[:, None], 0.34 + 0.13 * tone, loss=torch.full_like(tone, 0.08))


def container_coat(s: Surface) -> Coat:
    """Corrugated steel with a frame and a block of lettering. Parameters: 0 seed."""
    seed = s.params[:, 0]
    half_u = torch.where(s.face < 2, s.half[:, 1], s.half[:, 0])
    ribs = stripes(s.u, 0.28, 0.10, s.footprint_u) + 0.6 * stripes(s.u + 0.07, 0.28, 0.04, s.footprint_u)
    height = 2 * s.half[:, 2]
    f = s.footprint
    frame = torch.maximum(coverage(half_u - s.u.abs(), -1.0, 0.12, f), torch.maximum(
        coverage(s.v, -1.0, 0.14, f), coverage(s.v, height - 0.12, height + 1, f))) * (s.face < 4)
    tone = (1 - 0.28 * ribs * (1 - frame)) * (1 + 0.08 * octaves(s.u + seed, s.v, 1.3, f))
    rust = (value_noise(s.u * 2 + seed, s.v * 0.6, 0.8, f) - 0.55).clamp(min=0) * 1.5
    letters = coverage(s.u.abs() - 0.4 * hashed(seed), 0.1, half_u * 0.55, f)
    letters = letters * coverage(s.v, height * 0.52, height * 0.8, f)
    letters = letters * (hashed((s.u / 0.32).floor() + 99, (s.v / 0.2).floor(), seed) < 0.62) * (s.face < 4)
    color = s.color * tone[:, None]
    color = color + 0.8 * letters[:, None] * (s.color2 - color)
    color = color + rust[:, None] * (s.color.new_tensor([0.16, 0.07, 0.03]) - color)
    return coat_of(color, 0.12 + 0.6 * color.mean(-1), mirror=torch.full_like(tone, 0.015))
