"""Which primitives a bundle of neighbouring rays can meet at all: the culling that makes ray casting fast.

A ray image (H, W) is cut into tiles; the rays of one tile are a bundle. A bundle from one point is bounded by four
planes, a bundle of parallel rays (towards the sun) by a rectangle across them. Both tests are conservative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .world import Shape, World


@dataclass(frozen=True)
class Candidates:
    """Pairs of bundle and primitive, sorted by bundle and then by the least distance at which they can meet.

    primitive: (K,) index into the flattened (B * P) primitives. near: (K,) m. start, count: (T,) where a bundle's
    pairs begin and how many they are.
    """

    primitive: Tensor
    near: Tensor
    start: Tensor
    count: Tensor


def to_tiles(image: Tensor, tile: tuple[int, int]) -> Tensor:
    """(B, H, W) -> (B * T, R): tiles of `tile` rows and columns, the image's last row and column repeated to fit."""
    B, H, W = image.shape
    h, w = tile
    down, right = -H % h, -W % w
    padded = F.pad(image.view(B, 1, H, W), (0, right, 0, down), mode="replicate").view(B, H + down, W + right)
    blocks = padded.view(B, (H + down) // h, h, (W + right) // w, w)
    return blocks.permute(0, 1, 3, 2, 4).reshape(-1, h * w)


def from_tiles(tiles: Tensor, shape: tuple[int, int, int], tile: tuple[int, int]) -> Tensor:
    """The inverse of `to_tiles` for an image of `shape` (B, H, W)."""
    B, H, W = shape
    h, w = tile
    rows, columns = -(-H // h), -(-W // w)
    blocks = tiles.view(B, rows, columns, h, w).permute(0, 1, 3, 2, 4)
    return blocks.reshape(B, rows * h, columns * w)[:, :H, :W]


def cull_from_point(world: World, origin: Tensor, rays: Tensor, max_range: float) -> Candidates:
    """Candidates of bundles that start at one point per world.

    origin: (B, 3). rays: (3, B * T, R) unit directions. First a cone against the primitive's sphere, for all pairs;
    then the bundle's four planes and its far half space against the primitive's box, for those that are left.
    """
    B = len(world)
    axis, planes, cosine = _frustums(rays)
    toward = (world.center - origin[:, None]).contiguous()  # (B, P, 3)
    radius = _radius(world)
    distance = toward.norm(dim=-1)
    along = torch.bmm(axis.view(B, -1, 3), toward.transpose(1, 2))  # (B, T, P)
    across = (distance[:, None].square() - along.square()).clamp(min=0).sqrt()
    c = cosine.view(B, -1, 1)
    reach = across * c - along * (1 - c * c).clamp(min=0).sqrt()
    hit = (reach <= radius[:, None]) & (along > -radius[:, None]) & ((distance - radius) < max_range)[:, None]
    b, t, p = hit.nonzero(as_tuple=True)
    bundle, primitive = b * along.shape[1] + t, b * toward.shape[1] + p
    toward, radius, distance = toward.view(-1, 3), radius.view(-1), distance.view(-1)
    axes = (world.rotation * world.half[..., None, :]).view(-1, 3, 3)  # columns: half axes

    center, box = toward[primitive], axes[primitive]
    normals = planes[bundle]  # (K, 5, 3)
    extent = _support(normals @ box, world.shape.view(-1)[primitive][:, None])
    keep = (torch.einsum("kij,kj->ki", normals, center) + extent >= 0).all(1)
    depth = along[b, t, p] - extent[:, 4]  # the fifth normal is the axis
    near = torch.maximum(depth, distance[primitive] - radius[primitive]).clamp(min=0)
    return _sorted(bundle[keep], primitive[keep], near[keep], rays.shape[1])


def cull_parallel(world: World, points: Tensor, direction: Tensor, max_range: Tensor) -> Candidates:
    """Candidates of bundles of parallel rays that start at `points` (3, B * T, R) and run along `direction` (B, 3) for
    `max_range` (B,) m."""
    B = len(world)
    side, up = perpendicular(direction)
    frame = torch.stack([side, up, direction], 1)  # (B, 3, 3), rows
    local = torch.einsum("bij,jbn->bin", frame, points.view(3, B, -1)).view(B, 3, -1, points.shape[2])
    low, high = local.amin(-1)[..., None], local.amax(-1)[..., None]  # (B, 3, T, 1)
    center = torch.einsum("bij,bpj->bip", frame, world.center)[:, :, None]  # (B, 3, 1, P)
    extent = _support(frame[:, None] @ world.rotation * world.half[..., None, :], world.shape[..., None])
    extent = extent.permute(0, 2, 1)[:, :, None]
    end = high[:, 2] + max_range[:, None, None]
    hit = ((center + extent)[:, 2] >= low[:, 2]) & ((center - extent)[:, 2] <= end)
    hit &= (world.shape != Shape.ABSENT)[:, None]
    for i in (0, 1):
        hit &= (center + extent)[:, i] >= low[:, i]
        hit &= (center - extent)[:, i] <= high[:, i]
    b, t, p = hit.nonzero(as_tuple=True)
    near = ((center - extent)[:, 2][b, 0, p] - high[b, 2, t, 0]).clamp(min=0)
    return _sorted(b * hit.shape[1] + t, b * hit.shape[2] + p, near, points.shape[1])


def _radius(world: World) -> Tensor:
    """(B, P) radii of the bounding spheres; so negative that nothing meets it where a primitive is absent."""
    return world.half.norm(dim=-1) - (world.shape == Shape.ABSENT).float() * 1e6


def _support(along: Tensor, shape: Tensor) -> Tensor:
    """How far primitives reach from their centre along directions: (..., n), from the directions' products with their
    half axes (..., n, 3)."""
    x, y, z = along.abs().unbind(-1)
    flat = torch.where(shape == Shape.BOX, x + y, torch.hypot(x, y))
    return torch.where(shape == Shape.ELLIPSOID, torch.hypot(flat, z), flat + z)


def _frustums(rays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of bundles (3, T, R): mean direction (T, 3), inward normals of five planes (T, 5, 3), cosine of the cone (T,).

    A bundle wider than a half space gets zero vectors and the cosine of the full sphere, so that every test passes.
    """
    axis = F.normalize(rays.mean(-1), dim=0)  # (3, T)
    forward = (axis[..., None] * rays).sum(0)
    side, up = perpendicular(axis.t())
    planes = []
    for across in (side, up):
        slope = (across.t()[..., None] * rays).sum(0) / forward.clamp(min=1e-3)
        margin = 1e-4
        planes.append(across - (slope.amin(-1) - margin)[:, None] * axis.t())
        planes.append((slope.amax(-1) + margin)[:, None] * axis.t() - across)
    wide = forward.amin(-1) < 0.05
    normals = F.normalize(torch.stack([*planes, axis.t()], 1), dim=-1) * (~wide)[:, None, None]
    cosine = (forward.amin(-1) - 1e-5) * (~wide) - wide.float()
    return (axis * ~wide).t().contiguous(), normals, cosine


def perpendicular(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors (T, 3) across `direction` (T, 3) and across each other."""
    helper = torch.zeros_like(direction)
    helper.scatter_(1, direction.abs().argmin(1, keepdim=True), 1.0)
    side = F.normalize(torch.cross(helper, direction, dim=1), dim=1)
    return side, torch.cross(direction, side, dim=1)


def _sorted(bundle: Tensor, primitive: Tensor, near: Tensor, bundles: int) -> Candidates:
    by_distance = near.argsort(stable=True)
    order = by_distance[bundle[by_distance].argsort(stable=True)]
    count = torch.bincount(bundle, minlength=bundles)
    return Candidates(primitive[order], near[order], count.cumsum(0) - count, count)
