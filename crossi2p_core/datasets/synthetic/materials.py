"""Which texture belongs to which material, and all of them evaluated at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from . import textures_objects as objects
from . import textures_outdoor as outdoor
from .coat import Coat
from .facade import facade_coat
from .surface import Surface
from .world import Material

COATS: dict[Material, Callable[[Surface], Coat]] = {
    Material.ROAD: outdoor.road_coat,
    Material.PAVING: outdoor.paving_coat,
    Material.GRASS: outdoor.grass_coat,
    Material.FACADE: facade_coat,
    Material.ROOF: outdoor.roof_coat,
    Material.PAINT: outdoor.paint_coat,
    Material.GLASS: outdoor.glass_coat,
    Material.RUBBER: outdoor.rubber_coat,
    Material.BARK: outdoor.bark_coat,
    Material.LEAVES: outdoor.leaves_coat,
    Material.METAL: objects.metal_coat,
    Material.SIGN: objects.sign_coat,
    Material.CLOTH: objects.cloth_coat,
    Material.FENCE: objects.fence_coat,
    Material.CONCRETE: objects.concrete_coat,
    Material.CARGO: objects.cargo_coat,
    Material.CONTAINER: outdoor.container_coat,
    Material.FLOOR: objects.floor_coat,
    Material.CEILING: objects.ceiling_coat,
    Material.LAMP: objects.lamp_coat,
    Material.PLASTER: objects.plaster_coat,
}


def coat(surface: Surface) -> Coat:
    """Colour, infrared reflectance and the rest of every hit, each by its material's texture."""
    n, device = len(surface), surface.u.device
    color = torch.zeros(n, 3, device=device)
    rest = torch.zeros(5, n, device=device)  # infrared, mirror, glow, retro, loss
    for material, texture in COATS.items():
        chosen = (surface.material == material).nonzero().view(-1)
        if len(chosen):
            part = texture(surface.select(chosen))
            color[chosen] = part.color
            rest[:, chosen] = torch.stack([part.infrared, part.mirror, part.glow, part.retro, part.loss])
    return Coat(color.clamp(0, 1), rest[0].clamp(0, 1), *rest[1:].clamp(min=0))
