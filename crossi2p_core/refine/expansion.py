"""The score's second-order picture at many poses: gradient and Hessian by pose and by the vehicle's motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..types import Camera
from .drive import derivatives, displacement
from .image_edges import EdgeMap
from .objective import FRONT_M, UNIT, FrameProblem, nearest_pixel


@dataclass(frozen=True)
class Expansion:
    """Second-order picture of the score at S poses, in units, by the step of the pose and, where the vehicle's motion
    is unknown too, by delay and speed: value (S,), gradient (S, D), hessian (S, D, D), D from 6 to 8.

    pull: (S, N, D) each edge's own gradient.
    """

    value: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor
    pull: torch.Tensor


def expand(frame: FrameProblem, T_cam_lidar: torch.Tensor, sigmas: tuple[float, ...],
           motion: Motion | None = None) -> Expansion:
    """Value and derivatives of the mean score over the scales `sigmas`, at poses (S, 4, 4)."""
    uv, valid, jacobian = linearise(frame, T_cam_lidar, motion)
    parts = [_expand_level(frame, uv, valid, jacobian, frame.level(sigma)) for sigma in sigmas]
    value, pull, hessian = (torch.stack(part).mean(0) for part in zip(*parts, strict=True))
    return Expansion(value, pull.sum(1), hessian, pull)


@dataclass(frozen=True)
class Motion:
    """What S candidates assume of one frame: speed (S,) m/s and delay (S,) s. timed: the delay is an unknown."""

    speed: torch.Tensor
    delay: torch.Tensor
    timed: bool


def linearise(frame: FrameProblem, T_cam_lidar: torch.Tensor,
              motion: Motion | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels uv (S, N, 2) of the edges, valid (S, N), and d uv / d unknowns (S, N, 2, D), for any camera model.

    """
    T = T_cam_lidar.to(frame.xyz)
    xyz = frame.xyz if motion is None else frame.xyz + displacement(
        frame.phase, frame.forward, motion.speed.to(T), motion.delay.to(T))
    turned = torch.matmul(xyz, T[:, :3, :3].transpose(1, 2))  # (S, N, 3)
    points = turned + T[:, None, :3, 3]
    uv, valid = frame.camera.project(points)
    du_dx, du_dy, du_dz = _by_point(frame.camera, points)  # (S, N, 2) each
    qx, qy, qz = (turned[..., None, i] for i in range(3))
    jacobian = torch.stack([
        (du_dz * qy - du_dy * qz) * UNIT[0], (du_dx * qz - du_dz * qx) * UNIT[1], (du_dy * qx - du_dx * qy) * UNIT[2],
        du_dx * UNIT[3], du_dy * UNIT[4], du_dz * UNIT[5]], -1)
    if motion is not None:
        by_motion = derivatives(frame.phase, frame.forward, motion.speed.to(T), motion.delay.to(T), motion.timed)
        in_camera = torch.matmul(T[:, None, :3, :3], by_motion)  # (S, N, 3, 1 or 2)
        jacobian = torch.cat([jacobian, torch.stack([du_dx, du_dy, du_dz], -1) @ in_camera], -1)
    return uv, valid & (points[..., 2] > FRONT_M), jacobian


def _by_point(camera: Camera, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Derivatives (S, N, 2) of the pixels of points (S, N, 3) by x, y and z, for any camera model.

    A pixel depends on a point's direction only, so that its derivative along the point itself vanishes; the other two
    are plain for a pinhole, and differences for a lens.
    """
    z = points[..., 2].clamp_min(FRONT_M)
    if camera.model == "none":
        across, none = 1 / z, torch.zeros_like(z)
        du_dx = torch.stack([float(camera.K[0, 0]) * across, none], -1)
        du_dy = torch.stack([float(camera.K[0, 1]) * across, float(camera.K[1, 1]) * across], -1)
    else:
        du_dx, du_dy = (_difference(camera, points, axis, 0.01 * z) for axis in (0, 1))
    return du_dx, du_dy, -(du_dx * points[..., :1] + du_dy * points[..., 1:2]) / z[..., None]


def _difference(camera: Camera, points: torch.Tensor, axis: int, h: torch.Tensor) -> torch.Tensor:
    """Central difference (S, N, 2) of the projection along one axis, h (S, N) m."""
    shift = torch.zeros_like(points)
    shift[..., axis] = h
    return (camera.project(points + shift)[0] - camera.project(points - shift)[0]) / (2 * h[..., None])


def _expand_level(frame: FrameProblem, uv: torch.Tensor, valid: torch.Tensor, jacobian: torch.Tensor,
                  level: EdgeMap) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Value (S,), pulls (S, N, D) and Hessian (S, D, D) at one scale, by the maps' own second-order expansion."""
    factor = torch.tensor([level.camera.width / frame.camera.width, level.camera.height / frame.camera.height],
                          dtype=uv.dtype, device=uv.device)
    row, rest = nearest_pixel(uv * factor + 0.5 * factor - 0.5, valid, level)
    table = level.table.index_select(0, row.reshape(-1)).view(*row.shape, *level.table.shape[1:]).float()
    m, mu, mv, muu, muv, mvv = (table * frame.across[None, :, :, None]).sum(2).unbind(-1)  # (S, N) each
    a, b = rest[..., 0], rest[..., 1]
    value = (m + mu * a + mv * b).sum(1)
    slope = torch.stack([mu + muu * a + muv * b, mv + muv * a + mvv * b], -1) * factor  # (S, N, 2) per working pixel
    J = jacobian
    pull = (slope[..., None] * J).sum(2)  # (S, N, D)
    bend_u = (factor[0] ** 2 * muu)[..., None] * J[:, :, 0] + (factor[0] * factor[1] * muv)[..., None] * J[:, :, 1]
    bend_v = (factor[0] * factor[1] * muv)[..., None] * J[:, :, 0] + (factor[1] ** 2 * mvv)[..., None] * J[:, :, 1]
    hessian = J[:, :, 0].transpose(1, 2) @ bend_u + J[:, :, 1].transpose(1, 2) @ bend_v
    return value, pull, hessian
