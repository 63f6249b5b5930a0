"""Paint of things that stand anywhere: metal, signs, clothes, fences, concrete, cargo, floors, ceilings, lamps."""

from __future__ import annotations

import torch
from torch import Tensor

from .coat import Coat, coat_of
from .noise import coverage, hashed, octaves, stripes, value_noise
from .surface import Surface


def metal_coat(s: Surface) -> Coat:
    """Painted or galvanised steel."""
    tone = 1 + 0.08 * octaves(s.u * 4, s.v, 0.5, s.footprint, 2)
    return coat_of(s.color * tone[:, None], 0.15 + 0.6 * s.color.mean(-1), mirror=torch.full_like(tone, 0.02),
                loss=torch.full_like(tone, 0.1))


def sign_coat(s: Surface) -> Coat:
    """Traffic signs, retroreflecting. Parameters: 0 style (red ring, blue disc, warning, stop, blue square)."""
    style = s.params[:, 0].long()
    size = s.half.amax(-1)
    disc = style < 4
    a = torch.where(disc, s.local[:, 0], s.local[:, 2]) / size  # up or down
    b = s.local[:, 1] / size
    r = torch.hypot(a, b)
    f = s.footprint / size
    white, red, blue, black = (s.color.new_tensor(c) for c in
                               ([0.75, 0.75, 0.73], [0.45, 0.02, 0.03], [0.02, 0.09, 0.40], [0.02, 0.02, 0.02]))
    bar = coverage(a, -0.13, 0.13, f) * coverage(b, -0.6, 0.6, f)
    arrow = torch.maximum(coverage(b, -0.1, 0.1, f) * coverage(a.abs(), -1.0, 0.62, f), bar)
    ground = torch.stack([white, blue, white, red, blue])[style]
    figure = torch.stack([black, white, black, white, white])[style]
    ring = coverage(r, 0.72, 0.97, f) * ((style == 0) | (style == 2))
    shape = torch.where((style == 1) | (style == 4), arrow, torch.where(style == 2, 1 - coverage(r, 0.3, 9.0, f), bar))
    color = ground + shape[:, None] * (figure - ground)
    color = color + ring[:, None] * (red - color)
    border = torch.where(style == 4, torch.maximum(a.abs(), b.abs()) + 0.03, r)
    rim = coverage(border, 0.93, 9.0, f) * ((style == 1) | (style == 4))
    color = color + rim[:, None] * (white - color)
    front = torch.where(disc, s.local[:, 2] < 0, s.face == 1).float()  # the back is bare metal
    color = 0.3 + front[:, None] * (color - 0.3)
    return coat_of(color, 0.3 + 0.5 * front, retro=0.95 * front)


def cloth_coat(s: Surface) -> Coat:
    """Clothes and skin."""
    tone = 1 + 0.15 * octaves(s.u, s.v, 0.15, s.footprint, 2)
    return coat_of(s.color * tone[:, None], 0.25 + 0.5 * s.color.mean(-1))


def fence_coat(s: Surface) -> Coat:
    """Weathered boards."""
    tone = 1 + 0.12 * value_noise(s.u * 3, s.v, 0.4, s.footprint)
    return coat_of(s.color * tone[:, None], 0.2 + 0.6 * s.color.mean(-1))


def concrete_coat(s: Surface) -> Coat:
    """Cast concrete or natural stone with stains and pores."""
    f = s.footprint
    tone = 1 + 0.12 * octaves(s.u + s.half[:, 0] * 7, s.v, 1.2, f, 4) + 0.06 * value_noise(s.u, s.v, 0.07, f)
    joints = stripes(s.v, 0.5, 0.02, s.footprint_v) * (s.half[:, 0] > 1.5)
    tone = tone * (1 - 0.3 * joints)
    return coat_of(s.color * tone[:, None], 0.18 + 0.55 * s.color.mean(-1) * tone)


def plaster_coat(s: Surface) -> Coat:
    """Plain painted wall."""
    tone = 1 + 0.05 * octaves(s.u, s.v, 1.5, s.footprint)
    return coat_of(s.color * tone[:, None], 0.15 + 0.65 * s.color.mean(-1))


def cargo_coat(s: Surface) -> Coat:
    """Boxes, pallets and the bodies of lorries: a tint per face, edges, a label. Parameters: 0 seed."""
    seed = s.params[:, 0]
    f = s.footprint
    half_u = torch.where(s.face < 2, s.half[:, 1], s.half[:, 0])
    height = 2 * s.half[:, 2]
    tape = coverage(s.u, -0.03, 0.03, f)
    edge = torch.minimum(half_u - s.u.abs(), torch.minimum(s.v, height - s.v))
    tone = 1 + 0.06 * octaves(s.u + seed, s.v, 0.8, f) - 0.25 * coverage(edge, -9.0, 0.025, f) + 0.15 * tape
    across, up = (hashed(seed) - 0.5) * half_u, (0.35 + 0.3 * hashed(seed, seed)) * height
    label = coverage((s.u - across).abs(), -1.0, 0.28 * half_u, f) * coverage((s.v - up).abs(), -1.0, 0.16 * height, f)
    label = label * (s.face < 4)
    color = s.color * tone[:, None]
    color = color + 0.85 * label[:, None] * (s.color2 - color)
    return coat_of(color, 0.15 + 0.6 * color.mean(-1))


def floor_coat(s: Surface) -> Coat:
    """A hall's floor: sealed concrete, joints, yellow lanes. Parameters: 0 lane spacing m, 1 seed."""
    f = s.footprint
    spacing = s.params[:, 0]
    x, y = s.point[:, 0], s.point[:, 1]
    joints = torch.maximum(stripes(x, 6.0, 0.03, s.footprint_u), stripes(y, 6.0, 0.03, s.footprint_v))
    tone = (1 + 0.07 * octaves(x + s.params[:, 1], y, 3.0, f, 4)) * (1 - 0.35 * joints)
    tyre = 0.18 * value_noise(x * 0.15, y * 2, 0.5, f).clamp(min=0)
    lane = stripes(y - spacing / 2 + 1.6, spacing, 0.12, s.footprint_v)
    lane = torch.maximum(lane, stripes(y - spacing / 2 - 1.6, spacing, 0.12, s.footprint_v))
    color = s.color * (tone - tyre)[:, None]
    color = color + 0.85 * lane[:, None] * (s.color.new_tensor([0.55, 0.40, 0.03]) - color)
    return coat_of(color, 0.2 + 0.4 * color.mean(-1), mirror=torch.full_like(tone, 0.03), retro=0.1 * lane)


def ceiling_coat(s: Surface) -> Coat:
    """Trapezoidal sheet."""
    tone = 1 - 0.3 * stripes(s.u, 0.35, 0.12, s.footprint_u)
    return coat_of(s.color * tone[:, None], 0.2 + 0.5 * s.color.mean(-1))


def lamp_coat(s: Surface) -> Coat:
    """A light source."""
    glow: Tensor = torch.full_like(s.u, 6.0)
    return coat_of(s.color, 0.5 + 0 * s.u, glow=glow)
