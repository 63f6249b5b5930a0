"""What a ray found: point, normal, texture coordinates and the size of the pixel there, for hits of any sensor."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from . import facade
from .noise import value_noise
from .world import Material, Shape, World


@dataclass(frozen=True)
class Surface:
    """n hits, all tensors with a leading axis of n.

    index: into the list of rays that `surfaces` was given. distance: m along the ray. ray, point, normal: (n, 3) world
    frame, the normal towards the sensor. origin: (n, 3) a point on the solid's outside, from which shadow rays start
    (other than `point` inside a window's recess). world, material: (n,). face: 0-5 for +x -x +y -y +z -z of a box, 4
    and 5 for the caps of a cylinder, 6 for round sides. u, v: m on the face, v upwards from the primitive's foot.
    local: (n, 3) in the primitive's frame, m. footprint_u, footprint_v: m that one pixel covers along u and v.
    half: (n, 3). color, color2: (n, 3). params: (n, 8). part: what of a facade was hit, see `facade`.
    """

    index: Tensor
    distance: Tensor
    ray: Tensor
    point: Tensor
    normal: Tensor
    origin: Tensor
    world: Tensor
    material: Tensor
    face: Tensor
    u: Tensor
    v: Tensor
    local: Tensor
    footprint_u: Tensor
    footprint_v: Tensor
    half: Tensor
    color: Tensor
    color2: Tensor
    params: Tensor
    part: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def cosine(self) -> Tensor:
        """(n,) cosine of the angle between ray and normal, 0.01 at least."""
        return -(self.ray * self.normal).sum(-1).clamp(max=-0.01)

    @property
    def footprint(self) -> Tensor:
        """(n,) m, the geometric mean of the pixel's two extents: what isotropic textures are filtered by."""
        return (self.footprint_u * self.footprint_v).sqrt()

    def select(self, chosen: Tensor) -> Surface:
        """The hits of an index tensor."""
        return Surface(**{f.name: getattr(self, f.name).index_select(0, chosen) for f in fields(self)})


def surfaces(world: World, origin: Tensor, rays: Tensor, distance: Tensor, primitive: Tensor,
             pixel_angle: float) -> Surface:
    """Surfaces of all rays that hit something.

    origin: (B, 3). rays: (N, 3), distance, primitive: (N,) as in `raycast.Hits`. pixel_angle: rad between neighbours.
    """
    index = (primitive >= 0).nonzero().view(-1)
    primitive, distance, ray = (values.index_select(0, index) for values in (primitive, distance, rays))
    of_world = primitive // world.shape.shape[1]

    def gather(values: Tensor) -> Tensor:
        return values.flatten(0, 1).index_select(0, primitive)

    rotation, half, kind = gather(world.rotation), gather(world.half), gather(world.shape)
    point = origin.index_select(0, of_world) + distance[:, None] * ray
    offset = point - gather(world.center)
    local = (rotation * offset[:, :, None]).sum(1)
    local_ray = (rotation * ray[:, :, None]).sum(1)
    face, local_normal = _face_and_normal(kind, local, half, gather(world.taper))
    normal = (rotation * local_normal[:, None, :]).sum(2)
    cosine = (ray * normal).sum(-1).abs().clamp(min=0.02)
    axis_u, axis_v = (face < 2).long(), 2 - (face // 2 == 2).long()
    u, v = _coordinates(kind, face, local, half, axis_u, axis_v)
    size = distance * pixel_angle

    def footprint(axis: Tensor) -> Tensor:
        along = local_ray.gather(1, axis[:, None])[:, 0]
        return size * (1 + (along / cosine).square()).sqrt()

    flip = -(ray * normal).sum(-1, keepdim=True).sign()  # the far side of a leaf cluster is seen from inside
    normal = normal * flip
    surface = Surface(index, distance, ray, point, normal, point, of_world, gather(world.material), face, u, v, local,
                      footprint(axis_u), footprint(axis_v), half, gather(world.color), gather(world.color2),
                      gather(world.params), torch.zeros_like(face))
    surface = _ruffled(surface)
    walls = ((surface.material == Material.FACADE) & (face < 4)).nonzero().view(-1)
    return _recessed(surface, walls, rotation, local_ray) if len(walls) else surface


def _ruffled(surface: Surface) -> Surface:
    """The surface with the normals of foliage turned this way and that, as leaves are."""
    leaves = (surface.material == Material.LEAVES).nonzero().view(-1)
    if len(leaves) == 0:
        return surface
    x, y, z = surface.point.index_select(0, leaves).unbind(-1)
    f = surface.footprint_u.index_select(0, leaves)
    turn = torch.stack([value_noise(a + b, c, 0.14, f) for a, b, c in ((x, z, y), (y, x, z), (z, y, x))], 1)
    normals = surface.normal.clone()
    normals[leaves] = F.normalize(normals[leaves] + 0.9 * turn, dim=1)
    return replace(surface, normal=normals)


def _recessed(surface: Surface, walls: Tensor, rotation: Tensor, local_ray: Tensor) -> Surface:
    """The surface with rays through window openings moved on to the pane or the reveal behind."""
    deeper, part, normal = facade.recess(surface.select(walls), local_ray.index_select(0, walls))
    distance, point, all_normals = surface.distance.clone(), surface.point.clone(), surface.normal.clone()
    all_parts = surface.part.clone()
    distance[walls] += deeper
    point[walls] += deeper[:, None] * surface.ray.index_select(0, walls)
    turned = (rotation.index_select(0, walls) * normal[:, None, :]).sum(2)
    all_normals[walls] = turned
    all_parts[walls] = part
    return replace(surface, distance=distance, point=point, normal=all_normals, part=all_parts)


def _face_and_normal(kind: Tensor, local: Tensor, half: Tensor, taper: Tensor) -> tuple[Tensor, Tensor]:
    """Face number (n,) and outward unit normal (n, 3) in the primitive's frame."""
    x, y, z = local.unbind(-1)
    height = z + half[:, 2]
    slope = (1 + taper.square()).rsqrt()
    rest = torch.stack([
        (half[:, 0] - x - taper[:, 0] * height) * slope[:, 0], (half[:, 0] + x - taper[:, 1] * height) * slope[:, 1],
        (half[:, 1] - y - taper[:, 2] * height) * slope[:, 2], (half[:, 1] + y - taper[:, 3] * height) * slope[:, 3],
        half[:, 2] - z, half[:, 2] + z], -1)
    face = rest.abs().argmin(-1)
    sign = 1.0 - 2.0 * (face % 2)
    normal = torch.zeros_like(local).scatter_(1, (face // 2)[:, None], sign[:, None])
    leaning = taper.gather(1, face.clamp(max=3)[:, None])[:, 0] * (face < 4)
    normal[:, 2] += leaning
    round_normal = local / half.square()
    cylinder, ball = kind == Shape.CYLINDER, kind == Shape.ELLIPSOID
    outside = 1 - (local[:, :2] / half[:, :2]).norm(dim=-1)
    cap = (half[:, 2] - z.abs()) < outside * half[:, 0]
    round_side = ball | (cylinder & ~cap)
    round_normal[:, 2] *= ball
    normal = torch.where(round_side[:, None], round_normal, normal)
    cap_normal = torch.stack([torch.zeros_like(z), torch.zeros_like(z), z.sign()], -1)
    normal = torch.where((cylinder & cap)[:, None], cap_normal, normal)
    face = torch.where(round_side, 6, torch.where(cylinder, 4 + (z < 0).long(), face))
    return face, normal / normal.norm(dim=-1, keepdim=True).clamp(min=1e-9)


def _coordinates(kind: Tensor, face: Tensor, local: Tensor, half: Tensor, axis_u: Tensor,
                 axis_v: Tensor) -> tuple[Tensor, Tensor]:
    """Texture coordinates u, v (n,) in m."""
    u = local.gather(1, axis_u[:, None])[:, 0]
    v = local.gather(1, axis_v[:, None])[:, 0] + half[:, 2] * (axis_v == 2)
    around = torch.atan2(local[:, 1], local[:, 0]) * half[:, 0]
    u = torch.where((face == 6) & (kind == Shape.CYLINDER), around, u)
    ball = kind == Shape.ELLIPSOID
    return torch.where(ball, local[:, 0] + 0.7 * local[:, 2], u), torch.where(ball, local[:, 1] - 0.7 * local[:, 2], v)
