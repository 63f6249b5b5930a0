"""What a camera sees of a world: an image, and the exact depth and primitive behind every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...types import Camera
from .domain import Look
from .lens import develop
from .light import lights, openness, shade, sky, sunlit
from .materials import coat
from .raycast import Hits, cast
from .surface import surfaces
from .world import World

_TILE = (8, 8)
# Where the rays of a pixel pass, in pixels from its centre, by how many there are.
_PATTERNS = {1: ((0.0, 0.0),), 2: ((-0.25, -0.25), (0.25, 0.25)),
             4: ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))}


@dataclass(frozen=True)
class DepthImage:
    """Exact truth at pixel centres, (B, H, W) each.

    distance: m along the ray; depth: m along the optical axis; both inf for sky. primitive: int64 index in its world,
    -1 for sky. point: (B, H, W, 3) m, world frame.
    """

    distance: Tensor
    depth: Tensor
    primitive: Tensor
    point: Tensor


def camera_rays(camera: Camera, device: torch.device, samples: int = 1) -> Tensor:
    """(H, W * samples, 3) unit rays of the camera frame through the pixels, `samples` (1, 2, 4) of one side by side."""
    v, u = torch.meshgrid(torch.arange(camera.height, dtype=torch.float64), torch.arange(camera.width,
                          dtype=torch.float64), indexing="ij")
    offsets = torch.tensor(_PATTERNS[samples], dtype=torch.float64)
    uv = torch.stack([u, v], -1)[:, :, None] + offsets
    return camera.unproject(uv.reshape(camera.height, -1, 2)).to(device, torch.float32)


def render_depth(world: World, camera: Camera, T_world_cam: Tensor) -> DepthImage:
    """Exact depth and primitive per pixel; T_world_cam: (B, 4, 4)."""
    rays = camera_rays(camera, world.device)
    turned, origin = _in_world(rays, T_world_cam, world.device)
    hits = cast(world, origin, turned, _TILE)
    shape, primitive = hits.distance.shape, hits.primitive.reshape(-1)
    surface = surfaces(world, origin, turned.view(-1, 3), hits.distance.reshape(-1), primitive, _pixel_angle(camera))
    distance = torch.full((len(primitive),), float("inf"), device=world.device)
    point = torch.full((len(primitive), 3), float("inf"), device=world.device)
    distance[surface.index], point[surface.index] = surface.distance, surface.point
    distance = distance.view(shape)
    own = torch.where(primitive < 0, -1, primitive % world.shape.shape[1])
    return DepthImage(distance, distance * rays[..., 2], own.view(shape), point.view(*shape, 3))


def render(world: World, camera: Camera, T_world_cam: Tensor, looks: list[Look], generator: torch.Generator,
           samples: int = 2) -> Tensor:
    """(B, H, W, 3) uint8 RGB images of the B worlds.

    T_world_cam: (B, 4, 4). looks: B. samples: rays per pixel, 1, 2 or 4. generator: of the sensor's noise, on the
    world's device.
    """
    shape = (len(world), camera.height, camera.width)
    rays, origin = _in_world(camera_rays(camera, world.device, samples), T_world_cam, world.device)
    hits = cast(world, origin, rays, (_TILE[0], _TILE[1] * samples) if samples < 4 else (_TILE[0] // 2, 32))
    pixel, ray, distance, primitive, weight = _fragments(rays, hits, samples)
    surface = surfaces(world, origin, ray, distance, primitive, _pixel_angle(camera))
    light = lights(world, looks)
    radiance = torch.zeros(len(ray), 3, device=world.device)
    empty = (primitive < 0).nonzero().view(-1)
    radiance[empty] = sky(light, pixel[empty] // (shape[1] * shape[2]), ray[empty])
    free = openness(world, surface, pixel[surface.index], shape)
    radiance[surface.index] = shade(light, surface, coat(surface), sunlit(world, light, surface), free)
    total = torch.zeros(shape[0] * shape[1] * shape[2], 4, device=world.device)
    solid = (primitive >= 0).float()
    total.index_add_(0, pixel, torch.cat([radiance.clamp(max=12.0), solid[:, None]], 1) * weight[:, None])
    return develop(total[:, :3].view(*shape, 3), total[:, 3].view(shape), looks, generator)


def _fragments(rays: Tensor, hits: Hits, samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What has to be shaded: one fragment for a pixel whose rays all met one primitive, else one per ray.

    Textures are filtered over the pixel anyway, so only edges need several. Returns per fragment its pixel, ray,
    distance, primitive and weight in the pixel.
    """
    ray = rays.reshape(-1, samples, 3)
    t, found = hits.distance.reshape(-1, samples), hits.primitive.reshape(-1, samples)
    uniform = (found == found[:, :1]).all(1)
    whole, mixed = uniform.nonzero().view(-1), (~uniform).nonzero().view(-1)
    middle = torch.nn.functional.normalize(ray[whole].sum(1), dim=-1)
    between = samples / t[whole].reciprocal().sum(1)  # exact on a plane: 1 / depth is linear in the pixel
    pixel = torch.cat([whole, mixed.repeat_interleave(samples)])
    weight = torch.cat([torch.ones_like(between), t.new_full((len(mixed) * samples,), 1 / samples)])
    return (pixel, torch.cat([middle, ray[mixed].view(-1, 3)]), torch.cat([between, t[mixed].view(-1)]),
            torch.cat([found[whole, 0], found[mixed].view(-1)]), weight)


def _pixel_angle(camera: Camera) -> float:
    """rad that a pixel in the middle of the image covers."""
    return 1 / float(camera.K[0, 0])


def _in_world(rays: Tensor, T_world_cam: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rays (B, H, W, 3) and origins (B, 3) of the world frame."""
    T = T_world_cam.to(device, torch.float32)
    turned = torch.einsum("bij,hwj->bhwi", T[:, :3, :3], rays)
    return turned.contiguous(), T[:, :3, 3].contiguous()
