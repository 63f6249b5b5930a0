"""Light: the sky and its clouds, the sun and its shadows, skylight that corners and undersides lack, reflections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .coat import Coat
from .domain import Look
from .grouping import group_nearby
from .noise import octaves, value_noise
from .raycast import is_blocked
from .surface import Surface
from .world import World

_SKYLIGHT = (0.86, 0.96, 1.12)  # linear, of a clear sky on a horizontal surface
_SUNLIGHT = (1.0, 0.93, 0.80)
_LAMPLIGHT = (1.0, 0.97, 0.90)  # indoors, from above
_LAMP_REACH = 4.0  # m; what is nearer than that above a point in a hall keeps the lamps' light away
_SKY_REACH = 5.0  # m; what is nearer than that in some direction of the sky darkens
_SKY_DISTANCE = 45.0  # m from the camera beyond which nobody sees that
_SKY_DIRECTIONS = ((0.80, 0.1, 0.59), (-0.4, 0.70, 0.59), (-0.35, -0.68, 0.64))


@dataclass(frozen=True)
class Lights:
    """The light of B frames. sun: (B, 3) direction. strength, clouds, haze: (B,). indoors: (B,) bool."""

    sun: Tensor
    strength: Tensor
    clouds: Tensor
    haze: Tensor
    indoors: Tensor


def lights(world: World, looks: list[Look]) -> Lights:
    """The light of each world of the batch under its own look."""
    device = world.device
    sun = torch.from_numpy(np.stack([look.sun_direction() for look in looks])).to(device, torch.float32)
    above = F.normalize(torch.tensor([0.12, 0.16, 1.0], device=device), dim=0)
    sun = torch.where(world.indoors[:, None], above, sun)
    strength, clouds, haze = torch.tensor([[k.sun_strength, k.clouds, k.haze_m] for k in looks], dtype=torch.float32,
                                          device=device).unbind(1)
    return Lights(sun, torch.where(world.indoors, 0.7, strength), clouds, haze, world.indoors)


def sky(light: Lights, of_world: Tensor, ray: Tensor) -> Tensor:
    """(n, 3) radiance of the sky along `ray` (n, 3) of frames `of_world` (n,): gradient, clouds, glow about the sun."""
    up = ray[:, 2].clamp(min=0.0)
    haze = (1 - up).pow(5)[:, None]
    zenith, horizon = ray.new_tensor([0.30, 0.52, 0.98]), ray.new_tensor([1.25, 1.32, 1.40])
    color = zenith + haze * (horizon - zenith)
    far = 1 / (up + 0.12)
    field = octaves(ray[:, 0] * far * 3 + 7, ray[:, 1] * far * 3, 2.0, torch.zeros_like(up), 4)
    cloudy = ((field * 0.6 + light.clouds[of_world] * 2.2 - 1.1) * 1.8).clamp(0, 1)[:, None]
    bright = (1.5 + 0.35 * value_noise(ray[:, 0] * far * 4, ray[:, 1] * far * 4, 1.0))[:, None]
    color = color + 0.92 * cloudy * (bright * ray.new_tensor([1.0, 1.0, 1.02]) - color)
    near_sun = (ray * light.sun[of_world]).sum(-1).clamp(min=0)
    glow = (near_sun.pow(60) * 0.8 + near_sun.pow(900) * 12) * (light.strength[of_world] / 3)
    color = color * 1.7 + glow[:, None] * ray.new_tensor([1.0, 0.95, 0.85]) * (1 - 0.8 * cloudy)
    return torch.where(light.indoors[of_world][:, None], ray.new_tensor([0.2, 0.2, 0.2]), color)


def sunlit(world: World, light: Lights, surface: Surface) -> Tensor:
    """(n,) cosine of the sun's incidence, 0 in shadow; lamps above take the sun's place indoors."""
    cosine = (surface.normal * light.sun[surface.world]).sum(-1).clamp(min=0)
    reach = torch.where(light.indoors, _LAMP_REACH, 1e4)
    facing = (cosine > 0).nonzero().view(-1)
    start = (surface.origin + 0.012 * surface.normal).index_select(0, facing)
    blocked = is_blocked(world, start, surface.world.index_select(0, facing), light.sun, reach)
    cosine[facing] *= ~blocked
    return cosine


def openness(world: World, surface: Surface, pixel: Tensor, shape: tuple[int, int, int], coarse: int = 4) -> Tensor:
    """(n,) share of the skylight that nearby things leave, from a few directions at every `coarse`-th pixel.

    pixel: (n,) index into the flattened image of `shape` (B, H, W).
    """
    B, H, W = shape
    row, column = (pixel // W) % H, pixel % W
    rows, columns = -(-H // coarse), -(-W // coarse)
    probe = ((row % coarse == coarse // 2) & (column % coarse == coarse // 2)
             & (surface.distance < _SKY_DISTANCE)).nonzero().view(-1)
    start = (surface.origin + 0.02 * surface.normal)[probe]
    normal, of_world = surface.normal[probe], surface.world[probe]
    groups = group_nearby(start, of_world, B) if len(probe) else None
    taken, total = torch.zeros(len(probe), device=start.device), torch.full((len(probe),), 1e-3, device=start.device)
    for direction in _SKY_DIRECTIONS:
        way = F.normalize(start.new_tensor(direction), dim=0)
        weight = (normal @ way).clamp(min=0)
        taken = taken + weight * is_blocked(world, start, of_world, way.expand(B, 3), _SKY_REACH, groups)
        total = total + weight
    free = torch.ones(B, 1, rows, columns, device=start.device)
    free[of_world, 0, (row // coarse)[probe], (column // coarse)[probe]] = 1 - taken / total
    free = F.avg_pool2d(F.pad(free, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    free = F.interpolate(free, size=(rows * coarse, columns * coarse), mode="bilinear", align_corners=False)
    return free[surface.world, 0, row, column]


def shade(light: Lights, surface: Surface, coat: Coat, sun_cosine: Tensor, free: Tensor) -> Tensor:
    """(n, 3) radiance towards the camera."""
    of_world, normal = surface.world, surface.normal
    inside = light.indoors[of_world][:, None]
    rgb = normal.new_tensor
    clouds = light.clouds[of_world][:, None]
    skylight = torch.where(inside, rgb(_LAMPLIGHT) * 0.55, rgb(_SKYLIGHT) * (0.55 + 0.5 * clouds))
    sunlight = torch.where(inside, rgb(_LAMPLIGHT), rgb(_SUNLIGHT)) * light.strength[of_world][:, None]
    leaf_free = 0.08 + 0.92 * free[:, None].square()
    from_above = (0.5 + 0.5 * normal[:, 2:3]) * skylight * leaf_free
    from_below = (0.5 - 0.5 * normal[:, 2:3]) * 0.13 * (skylight + 0.5 * sunlight) * (0.3 + 0.7 * leaf_free)
    color = coat.color * (sun_cosine[:, None] * sunlight + from_above + from_below + coat.glow[:, None])
    color = color + _reflection(light, surface, coat, sun_cosine) * leaf_free
    clear = torch.exp(-surface.distance / light.haze[of_world])[:, None]
    haze = torch.where(inside, rgb([0.3, 0.3, 0.3]), rgb([0.95, 1.02, 1.12]) * 0.9)
    return color * clear + haze * (1 - clear)


def _reflection(light: Lights, surface: Surface, coat: Coat, sun_cosine: Tensor) -> Tensor:
    """(n, 3) what glossy surfaces mirror: sky above, a dark street below, the sun where it shines on them."""
    result = torch.zeros_like(surface.ray)
    chosen = (coat.mirror > 0.005).nonzero().view(-1)
    if len(chosen) == 0:
        return result
    ray, normal = surface.ray[chosen], surface.normal[chosen]
    of_world = surface.world[chosen]
    cosine = -(ray * normal).sum(-1).clamp(max=0)
    mirrored = ray + 2 * cosine[:, None] * normal
    base = coat.mirror[chosen]
    fresnel = base + (1 - base) * 0.7 * (1 - cosine).pow(5)
    bumpy = 0.06 * value_noise(surface.u[chosen], surface.v[chosen], 0.9)
    above = ((mirrored[:, 2] + bumpy - 0.12) * 5).clamp(0, 1)[:, None]  # houses and trees stand below that
    seen = 0.10 + above * (sky(light, of_world, mirrored) - 0.10)
    spark = (mirrored * light.sun[of_world]).sum(-1).clamp(min=0).pow(250) * (sun_cosine[chosen] > 0)
    seen = seen + (spark * 25 * light.strength[of_world] / 3)[:, None]
    result[chosen] = fresnel[:, None] * seen
    return result
