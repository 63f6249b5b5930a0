"""What a LiDAR sees of a world: points with intensity, ring and time, and what it misses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...types import PointCloud
from .lidar_models import Lidar
from .materials import coat
from .raycast import cast
from .surface import Surface, surfaces
from .world import World

_BEAM = 2e-3  # rad; the divergence over which a pulse averages a texture
_TILES = {"spinning": (8, 16), "raster": (8, 16), "rosette": (1, 64)}
_WEAKEST = 0.004  # echo, as a fraction of a white wall's at 40 m, that an ordinary sensor sees half of the time


@dataclass(frozen=True)
class Scan:
    """All pulses of B scans, (B, H, W) each.

    distance: m, inf where nothing came back. exact: m, without noise, of every pulse that hit something in range, else
    inf. intensity: 0..1. primitive: int64 index in its world, -1 where nothing. rays: (H, W, 3) unit, LiDAR frame.
    """

    distance: Tensor
    exact: Tensor
    intensity: Tensor
    primitive: Tensor
    rays: Tensor


def scan(world: World, lidar: Lidar, T_world_lidar: Tensor, generator: torch.Generator, number: int = 0) -> Scan:
    """One scan per world, taken at one instant (motion within it is compensated, as in the data sets).

    T_world_lidar: (B, 4, 4). generator: of noise and dropouts, on the world's device. number: which scan of a drive,
    for rosettes, that never repeat.
    """
    device = world.device
    T = T_world_lidar.to(device, torch.float32)
    rays = torch.from_numpy(lidar.directions(number)).to(device, torch.float32)
    turned = torch.einsum("bij,hwj->bhwi", T[:, :3, :3], rays).contiguous()
    origin = T[:, :3, 3].contiguous()
    hits = cast(world, origin, turned, _TILES[lidar.pattern], lidar.range_m[1])
    shape, primitive = hits.distance.shape, hits.primitive.reshape(-1)
    surface = surfaces(world, origin, turned.view(-1, 3), hits.distance.reshape(-1), primitive, _BEAM)
    seen, distance, intensity = _echo(surface, lidar, generator)

    def spread(values: Tensor, nothing: float) -> Tensor:
        whole = torch.full((len(primitive),), nothing, device=device)
        whole[surface.index] = values
        return whole.view(shape)

    own = torch.where(primitive < 0, -1, primitive % world.shape.shape[1]).view(shape)
    far = torch.full_like(distance, float("inf"))
    return Scan(spread(torch.where(seen, distance, far), float("inf")), spread(surface.distance, float("inf")),
                spread(intensity, 0.0), own, rays)


def point_cloud(scan: Scan, lidar: Lidar, world: int = 0) -> PointCloud:
    """The points that came back, in the LiDAR frame, in the order of firing."""
    back = scan.distance[world].isfinite()
    points = (scan.rays * scan.distance[world][..., None].nan_to_num(0, 0, 0))[back]
    ring = torch.arange(back.shape[0], device=back.device)[:, None].expand_as(back)[back]
    time = torch.tensor(lidar.times().copy(), device=back.device)[back]
    return PointCloud.from_arrays(*(v.cpu().numpy() for v in (points, scan.intensity[world][back], ring, time)))


def _echo(surface: Surface, lidar: Lidar, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Whether a pulse comes back (n,) bool, its measured distance (n,) m and its intensity (n,) in 0..1.

    The echo of a diffuse surface falls with the cosine of incidence and the square of the distance. Reported intensity
    is compensated for distance, as drivers do; a retroreflector answers however it is turned.
    """
    paint = coat(surface)
    n, device = len(surface), surface.u.device
    normal, uniform = (f(2, n, generator=generator, device=device) for f in (torch.randn, torch.rand))
    cosine = surface.cosine
    diffuse = paint.infrared * (0.25 + 0.75 * cosine)
    strength = (diffuse * (1 - paint.retro) + paint.retro) * (40.0 / surface.distance.clamp(min=5.0)).square()
    reached = strength * cosine.clamp(min=0.03).sqrt() * lidar.sensitivity
    chance = (1 - _WEAKEST / (reached + _WEAKEST)).square() * (1 - paint.loss) * (1 - lidar.dropout)
    distance = surface.distance + lidar.sigma_m * normal[0]
    low, high = lidar.range_m
    seen = (uniform[0] < chance) & (surface.distance > low) & (surface.distance < high) & (distance > 0.05)
    speckle = 1 + 0.10 * normal[1]
    intensity = (diffuse * 1.15 + paint.retro * (0.6 + 0.4 * uniform[1])) * speckle
    return seen, distance, intensity.clamp(0, 1)
