"""Where a ray enters and leaves a primitive, in the primitive's own frame, for many (ray, primitive) pairs at once.

Coordinates come as three separate tensors that broadcast against each other: (K, R) where they differ from ray to ray,
(K, 1) where the K pairs share them. `torch.where` is avoided: on CPUs it is many times slower than arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .noise import foam

MISS = 1e9  # "distance" of what is not hit
NEAR = 1e-3  # m; closer hits are the surface the ray starts from
LEAF_CLUSTER = 15.0  # rad per m: gaps in a crown are about 0.2 m
FENCE_PITCH = 0.16  # m between the slats of a fence
_TINY = 1e-9  # keeps divisions finite for rays parallel to a plane

Vector = tuple[Tensor, Tensor, Tensor]


def box(o: Vector, d: Vector, half: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit distances of boxes |x| <= half (K, 3); the exit is before the entry where the ray misses."""
    enter, leave = _slab(o[0], d[0], half[:, 0:1])
    for axis in (1, 2):
        a, b = _slab(o[axis], d[axis], half[:, axis:axis + 1])
        enter, leave = torch.maximum(enter, a), torch.minimum(leave, b)
    return enter, leave


def leaning_box(o: Vector, d: Vector, half: Tensor, taper: Tensor) -> tuple[Tensor, Tensor]:
    """As `box` for boxes whose sides lean: side +x is x + taper * (z + hz) <= hx, and so on for -x, +y, -y."""
    enter, leave = _slab(o[2], d[2], half[:, 2:3])
    height = o[2] + half[:, 2:3]
    for side in range(4):
        axis, sign, lean = side // 2, 1 - 2 * (side % 2), taper[:, side:side + 1]
        rest = half[:, axis:axis + 1] - sign * o[axis] - lean * height
        speed = sign * d[axis] + lean * d[2] + _TINY
        t = rest / speed
        outward = (speed * 1e20).clamp(0, 1)
        leave = torch.minimum(leave, t + (1 - outward) * MISS)
        enter = torch.maximum(enter, t - outward * MISS)
    return enter, leave


def cylinder(o: Vector, d: Vector, half_height: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit of capped cylinders of radius 1 about z (x and y scaled so), |z| <= half_height (K, 1)."""
    a = d[0] * d[0] + d[1] * d[1] + _TINY**2
    middle = -(o[0] * d[0] + o[1] * d[1]) / a
    x, y = o[0] + middle * d[0], o[1] + middle * d[1]
    enter, leave = _round(middle, 1 - x * x - y * y, a)
    low, high = _slab(o[2], d[2], half_height)
    return torch.maximum(enter, low), torch.minimum(leave, high)


def ellipsoid(o: Vector, d: Vector) -> tuple[Tensor, Tensor]:
    """Entry and exit of the unit sphere (all axes scaled so). The closest approach is formed first, which keeps float32
    exact for small things far away."""
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    middle = -(o[0] * d[0] + o[1] * d[1] + o[2] * d[2]) / a
    x, y, z = (o[i] + middle * d[i] for i in range(3))
    return _round(middle, 1 - x * x - y * y - z * z, a)


def first_hit(enter: Tensor, leave: Tensor) -> Tensor:
    """Distance of the entry, MISS where there is none ahead of the ray's start."""
    missed = (leave < enter) | (enter < NEAR)
    return enter.clamp(min=0) + missed.to(enter.dtype) * MISS


def crown_hit(enter: Tensor, leave: Tensor, o: Vector, d: Vector, holes: Tensor) -> Tensor:
    """First opaque surface of a crown with gaps: the near or the far side, seen where the foliage is dense.

    o, d: world frame, so that the gaps stay where they are for every sensor. holes: (K, 1), share that is open.
    """
    t = torch.full_like(enter, MISS)
    candidate = (leave >= enter) & (leave > NEAR)
    pair, ray = candidate.nonzero(as_tuple=True)
    ox, oy, oz, dx, dy, dz = (c.expand_as(enter)[pair, ray] for c in (*o, *d))
    limit = (holes.view(-1)[pair] - 0.5) * 2.6
    found = torch.full_like(ox, MISS)
    for side in (leave, enter):  # the nearer side last, so that it wins
        s = side[pair, ray]
        k = LEAF_CLUSTER
        dense = foam(k * (ox + s * dx), k * (oy + s * dy), k * (oz + s * dz)) > limit
        found = torch.where(dense & (s > NEAR), s, found)
    t[pair, ray] = found
    return t


def fence_hit(t: Tensor, o: Vector, d: Vector, half: Tensor, holes: Tensor) -> Tensor:
    """Hits `t` of a fence's box, MISS between its slats; two rails run through."""
    x = o[0] + t.clamp(max=1e4) * d[0]
    z = (o[2] + t.clamp(max=1e4) * d[2]) / half[:, 2:3]
    gap = (x / FENCE_PITCH - (x / FENCE_PITCH).floor()) < holes
    rail = ((z.abs() - 0.72).abs() < 0.07)
    return t + (gap & ~rail).to(t.dtype) * MISS


def _slab(o: Tensor, d: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Distances at which |o + t d| <= half begins and ends."""
    inverse = (d + _TINY).reciprocal()
    a, b = (-half - o) * inverse, (half - o) * inverse
    return torch.minimum(a, b), torch.maximum(a, b)


def _round(middle: Tensor, inside: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Entry and exit about the closest approach `middle`; inside: 1 - squared distance there, negative for a miss."""
    reach = (inside.clamp(min=0) / a).sqrt()
    missed = (inside < 0).to(middle.dtype) * MISS
    return middle - reach + missed, middle + reach - missed
