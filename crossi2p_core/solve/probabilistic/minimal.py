"""Poses through the fewest matches that decide them, in batches: three, or two where the vertical is known.

float64 inside: thousands of small systems, some of them nearly degenerate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...geometry import se3

TINY = 1e-12


def poses_of_three(points: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """T_cam_lidar (N, 4, 4, 4) float64, up to four of each set, and which exist (N, 4) bool.

    points: (N, 3, 3) m, rays: (N, 3, 3) of any length. The depths along the three rays lie on two conics through
    which goes a pair of lines: one root of a cubic finds the pair, a quadratic the crossings on each (Persson and
    Nordberg, "Lambda Twist", ECCV 2018; the lines as in Richter-Gebert, "Perspectives on Projective Geometry", 11.4).
    """
    points, rays = points.double(), torch.nn.functional.normalize(rays.double(), dim=-1)
    C1, C2, span = _conics(points, rays)
    lines = _line_pair(C1 + _cubic_root(C1, C2)[:, None, None] * C2)  # (N, 2, 3)
    depths, exists = _crossings(lines, C1, C2)  # (N, 4, 3), (N, 4)
    # the depths up to their common length; the distance between the last two points gives that
    y = depths[..., None] * rays[:, None]  # (N, 4, 3, 3)
    length = (y[:, :, 1] - y[:, :, 2]).norm(dim=-1).clamp(min=TINY)
    scale = span[:, None] / length * torch.sign(depths.sum(-1))
    depths = depths * scale[..., None]
    y = y * scale[..., None, None]
    exists = exists & (depths > 0).all(dim=-1) & (span > 1e-3)[:, None]
    R = _frame(y) @ _frame(points)[:, None].mT
    t = y.mean(dim=2) - (R @ points.mean(dim=1)[:, None, :, None])[..., 0]
    return se3.make(R, t), exists & R.isfinite().flatten(2).all(-1) & t.isfinite().all(-1)


def poses_of_two(points: Tensor, rays: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """T_cam_lidar (N, 2, 4, 4) float64 and which exist (N, 2) bool, where `up` (N, 3) is the LiDAR's z axis.

    points: (N, 2, 3) m, rays: (N, 2, 3). In a levelled frame the difference in height of the two points is linear in
    their depths, and their horizontal distance quadratic (Kukelova et al., "Closed-form solutions to minimal absolute
    pose problems with known vertical direction", ACCV 2010).
    """
    points, rays = points.double(), rays.double()
    level = upright(torch.nn.functional.normalize(up.double(), dim=-1))  # (N, 3, 3) camera from levelled
    a, b = (rays @ level).unbind(1)  # (N, 3) rays in the levelled frame: level^T ray
    gap = points[:, 0] - points[:, 1]
    # depths (s0 + k s1): along the line that gives the right difference in height
    square = (a[:, 2] ** 2 + b[:, 2] ** 2).clamp(min=TINY)
    start = torch.stack([a[:, 2], -b[:, 2]], dim=-1) * (gap[:, 2] / square)[:, None]
    along = torch.stack([b[:, 2], a[:, 2]], dim=-1) / square.sqrt()[:, None]
    h0 = start[:, :1] * a[:, :2] - start[:, 1:] * b[:, :2]
    h1 = along[:, :1] * a[:, :2] - along[:, 1:] * b[:, :2]
    k, exists = _quadratic(h1.square().sum(-1), (h0 * h1).sum(-1), h0.square().sum(-1) - gap[:, :2].square().sum(-1))
    depths = start[:, None] + k[..., None] * along[:, None]  # (N, 2, 2)
    seen = h0[:, None] + k[..., None] * h1[:, None]  # (N, 2, 2) horizontal gap as seen
    yaw = torch.atan2(seen[..., 1], seen[..., 0]) - torch.atan2(gap[:, 1], gap[:, 0])[:, None]
    turn = se3.exp_so3(torch.stack([torch.zeros_like(yaw), torch.zeros_like(yaw), yaw], dim=-1))
    t = depths[..., :1] * a[:, None] - (turn * points[:, :1, None]).sum(-1)
    R = level[:, None] @ turn
    exists = exists & (depths > 0).all(-1) & t.isfinite().all(-1) & (gap[:, :2].norm(dim=-1) > 1e-3)[:, None]
    return se3.make(R, (level[:, None] @ t[..., None])[..., 0]), exists


def rays_of(pixels: Tensor, K: Tensor) -> Tensor:
    """Rays (N, m, 3) = (x / z, y / z, 1) through pixels (N, m, 2); K (N, 3, 3)."""
    y = (pixels[..., 1] - K[:, None, 1, 2]) / K[:, None, 1, 1]
    x = (pixels[..., 0] - K[:, None, 0, 2] - K[:, None, 0, 1] * y) / K[:, None, 0, 0]
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def upright(up: Tensor) -> Tensor:
    """Rotations (N, 3, 3) that take the z axis to the unit vectors `up` (N, 3), by the shortest way."""
    z = torch.zeros_like(up)
    z[:, 2] = 1
    axis = torch.linalg.cross(z, up)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, up[:, 2:])
    fallback = torch.zeros_like(up)
    fallback[:, 0] = 1
    axis = torch.where(sine > 1e-9, axis / sine.clamp(min=1e-9), fallback)
    return se3.exp_so3(axis * angle)


def _conics(points: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two conics (N, 3, 3) on which the three depths lie, and the distance (N,) of the last two points."""
    squares, forms = [], []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        squares.append((points[:, i] - points[:, j]).square().sum(-1)[:, None, None])
        form = torch.zeros(len(points), 3, 3, dtype=points.dtype, device=points.device)
        form[:, i, i] = form[:, j, j] = 1
        form[:, i, j] = form[:, j, i] = -(rays[:, i] * rays[:, j]).sum(-1)
        forms.append(form)
    whole = squares[2].clamp(min=TINY)
    return (forms[0] - forms[2] * (squares[0] / whole), forms[1] - forms[2] * (squares[1] / whole),
            squares[2][:, 0, 0].sqrt())


def _cubic_root(C1: Tensor, C2: Tensor) -> Tensor:
    """(N,) a real g with det(C1 + g C2) = 0, closed form, then two Newton steps."""
    d = torch.linalg.det(C1)
    c = (_adjugate(C1) * C2.mT).sum((-2, -1))
    b = (_adjugate(C2) * C1.mT).sum((-2, -1))
    a = torch.linalg.det(C2)
    a = torch.where(a.abs() < TINY, TINY, a)
    b, c, d = b / a, c / a, d / a
    p, q = c - b * b / 3, (2 * b**3 - 9 * b * c) / 27 + d
    wave = (-p / 3).clamp(min=TINY).sqrt()
    three = 2 * wave * torch.cos(torch.arccos((-q / (2 * wave**3)).clamp(-1, 1)) / 3)
    root = ((q / 2) ** 2 + (p / 3) ** 3).clamp(min=0).sqrt()
    one = _cube_root(-q / 2 + root) + _cube_root(-q / 2 - root)
    g = torch.where((q / 2) ** 2 + (p / 3) ** 3 < 0, three, one) - b / 3
    for _ in range(2):
        slope = (3 * g + 2 * b) * g + c
        g = g - (((g + b) * g + c) * g + d) / torch.where(slope.abs() < TINY, math.inf, slope)
    return g


def _line_pair(conic: Tensor) -> Tensor:
    """(N, 2, 3) the lines of singular symmetric conics (N, 3, 3); NaN where they are not real."""
    scale = conic.abs().amax((-2, -1), keepdim=True).clamp(min=TINY)
    conic = conic / scale
    minus = -_adjugate(conic)
    diagonal = minus.diagonal(dim1=-2, dim2=-1)
    value, which = diagonal.max(dim=-1)
    p = torch.take_along_dim(minus, which[:, None, None], dim=2)[..., 0] / value.sqrt()[:, None]  # where they cross
    x, y, z = p.unbind(-1)
    zero = torch.zeros_like(x)
    both = conic + torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    largest = both.abs().flatten(1).argmax(dim=1)
    row = torch.take_along_dim(both, (largest // 3)[:, None, None], dim=1)[:, 0]
    column = torch.take_along_dim(both, (largest % 3)[:, None, None], dim=2)[..., 0]
    return torch.stack([row, column], dim=1)


def _crossings(lines: Tensor, C1: Tensor, C2: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, 4, 3) on lines (N, 2, 3) and both conics, up to scale, and which exist (N, 4)."""
    line = torch.nn.functional.normalize(lines, dim=-1)
    axis = torch.nn.functional.one_hot(line.nan_to_num().abs().argmin(-1), 3).to(line.dtype)
    u = torch.nn.functional.normalize(torch.linalg.cross(line, axis), dim=-1)
    v = torch.linalg.cross(line, u)
    # both conics meet the line in the same points; their mix of largest coefficients is the better told
    conic = torch.where((C1.abs().amax((-2, -1)) > C2.abs().amax((-2, -1)))[:, None, None], C1, C2)[:, None]
    uu, uv, vv = ((a[..., None, :] @ conic @ b[..., None])[..., 0, 0] for a, b in ((u, u), (u, v), (v, v)))
    k, exists = _quadratic(vv, uv, uu)  # (N, 2, 2)
    found = u[:, :, None] + k[..., None] * v[:, :, None]
    return found.flatten(1, 2), exists.flatten(1)


def _quadratic(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Both roots (..., 2) of a x^2 + 2 b x + c = 0 without cancellation, and whether they are real (..., 2)."""
    inner = b * b - a * c
    q = -(b + torch.where(b < 0, -1.0, 1.0) * inner.clamp(min=0).sqrt())
    roots = torch.stack([q / torch.where(a.abs() < TINY, TINY, a), c / torch.where(q.abs() < TINY, TINY, q)], dim=-1)
    return roots, (inner >= 0)[..., None] & roots.isfinite()


def _adjugate(A: Tensor) -> Tensor:
    """(N, 3, 3) with A adj(A) = det(A) I."""
    rows = A.unbind(-2)
    return torch.stack([torch.linalg.cross(rows[i], rows[j]) for i, j in ((1, 2), (2, 0), (0, 1))], dim=-1)


def _cube_root(x: Tensor) -> Tensor:
    return x.sign() * x.abs() ** (1 / 3)


def _frame(corners: Tensor) -> Tensor:
    """Right-handed axes (..., 3, 3), as columns, of triangles (..., 3, 3) by their corners."""
    first = torch.nn.functional.normalize(corners[..., 1, :] - corners[..., 0, :], dim=-1)
    across = torch.nn.functional.normalize(
        torch.linalg.cross(first, corners[..., 2, :] - corners[..., 0, :]), dim=-1)
    return torch.stack([first, torch.linalg.cross(across, first), across], dim=-1)
