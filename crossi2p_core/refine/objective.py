"""How well a pose lays a cloud's edges onto an image's, for many poses at once.

Poses are moved by steps of (rotation vector, translation): R' = exp(w) R, t' = t + d, so that turning the camera does
not drag the cloud along. Steps are in units of (1 deg, 1 dm), about equally visible in an image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..geometry import se3
from ..geometry.visibility import visible_mask
from ..types import Camera, PointCloud
from .config import LidarEdgeConfig
from .drive import displacement, scan_phase
from .image_edges import EdgeMap
from .lidar_edges import LidarEdges, balanced

UNIT = (math.radians(1.0),) * 3 + (0.1,) * 3  # of a step: rad, m
FRONT_M = 0.3  # points nearer to the camera's plane are behind it for us
_CHUNK = 1 << 21  # edges x poses scored at once: memory stays below 200 MB


@dataclass(frozen=True)
class FrameProblem:
    """One frame ready to be aligned. Tensors on one device.

    xyz, tip: (N, 3) float32 edge points, LiDAR frame. weight: (N,). kind: (N,) class. maps: finest first.
    across: (N, 2) weight times how much of the edge's normal lies along u and along v, as seen from a pose.
    shuffled: (N,) indices of the edges in random order: the first few stand for all. phase: (N,) s, when each edge was
    scanned. forward: (3,) the way the vehicle drives, LiDAR frame. raster: UNIT, what the scan's raster leaves unknown.
    found: all edges, of which these are the chosen.
    """

    camera: Camera
    xyz: torch.Tensor
    tip: torch.Tensor
    weight: torch.Tensor
    kind: torch.Tensor
    across: torch.Tensor
    shuffled: torch.Tensor
    phase: torch.Tensor
    forward: torch.Tensor
    raster: float
    maps: list[EdgeMap]
    cloud: PointCloud
    found: LidarEdges

    def level(self, sigma: float) -> EdgeMap:
        """The map of one scale."""
        return next(m for m in self.maps if m.sigma == sigma)


def make_problem(found: LidarEdges, config: LidarEdgeConfig, maps: list[EdgeMap], cloud: PointCloud,
                 forward: np.ndarray, raster: float, seed: int, device: torch.device) -> FrameProblem:
    """Choose from one frame's edges; `seen_from` must follow before it is scored. forward: (3,)."""
    nothing, no_kind = torch.zeros(0, 3, device=device), torch.zeros(0, dtype=torch.int64, device=device)
    ahead = torch.from_numpy(forward.astype(np.float32)).to(device)
    frame = FrameProblem(maps[0].camera, nothing, nothing, nothing[:, 0], no_kind, nothing[:, :2], no_kind,
                         nothing[:, 0], ahead, raster, maps, cloud, found)
    return chosen(frame, np.ones(len(found), dtype=bool), config, seed)


def chosen(frame: FrameProblem, among: np.ndarray, config: LidarEdgeConfig, seed: int) -> FrameProblem:
    """The frame with edges from among some of those found, (N,) bool, weighed as if there were no others."""
    def on(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(frame.xyz.device)

    edges = frame.found
    index, weight = balanced(edges, among, config, seed)
    order = np.random.default_rng(seed).permutation(len(index))
    xyz, tip, kind = edges.xyz[index], edges.tip[index], edges.kind[index]
    phase = scan_phase(xyz, frame.forward.cpu().numpy())
    return replace(frame, xyz=on(xyz), tip=on(tip), weight=on(weight), kind=on(kind), shuffled=on(order),
                   phase=on(phase), across=torch.zeros(len(index), 2, dtype=frame.xyz.dtype, device=frame.xyz.device))


def driven(frame: FrameProblem, speed: torch.Tensor, delay: torch.Tensor) -> FrameProblem:
    """The frame as it would have been measured from a vehicle that stood still; speed () m/s, delay () s."""
    if float(speed) == 0:
        return frame
    shift = displacement(frame.phase, frame.forward, speed[None].to(frame.xyz), delay[None].to(frame.xyz))[0]
    forward = frame.forward.cpu().numpy()
    moved = float(speed) * (scan_phase(frame.cloud.xyz, forward) - float(delay))
    cloud = replace(frame.cloud, xyz=frame.cloud.xyz + (moved[:, None] * forward).astype(np.float32))
    return replace(frame, xyz=frame.xyz + shift, tip=frame.tip + shift, cloud=cloud)


def seen_from(frame: FrameProblem, T_cam_lidar: torch.Tensor) -> FrameProblem:
    """The frame with normals and occlusion as seen from a pose (4, 4)."""
    T = T_cam_lidar.to(frame.xyz)
    uv, _ = frame.camera.project(se3.transform(T, frame.xyz))  # (N, 2)
    ahead, _ = frame.camera.project(se3.transform(T, frame.tip))
    normal2 = (ahead - uv) ** 2
    across = frame.weight[:, None] * normal2 / (normal2.sum(-1, keepdim=True) + 1e-12)
    across[torch.from_numpy(_hidden(frame, T_cam_lidar.cpu().numpy())).to(across.device)] = 0
    return replace(frame, across=across)


def _hidden(frame: FrameProblem, T_cam_lidar: np.ndarray) -> np.ndarray:
    """(N,) bool: edges inside the image that the cloud's other points hide from the camera."""
    edges = frame.xyz.cpu().numpy()
    points = se3.transform(T_cam_lidar, np.concatenate([frame.cloud.xyz, edges]))
    uv, valid = frame.camera.project(points)
    visible = visible_mask(uv, points[:, 2], valid, frame.camera.width, frame.camera.height)
    return (valid & ~visible)[len(frame.cloud):]


def move(T: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Poses (S, 4, 4) float64 moved by steps (S, 6) in units of UNIT."""
    step = step.to(T) * torch.tensor(UNIT, dtype=T.dtype, device=T.device)
    R = se3.exp_so3(step[:, :3]) @ T[..., :3, :3]
    return se3.make(R, T[..., :3, 3] + step[:, 3:])


def step_between(T_from: torch.Tensor, T_to: torch.Tensor) -> torch.Tensor:
    """The steps (S, 6) that `move` poses T_from (4, 4) or (S, 4, 4) to T_to (S, 4, 4)."""
    w = se3.log_so3(T_to[..., :3, :3] @ T_from[..., :3, :3].swapaxes(-1, -2))
    step = torch.cat([w, T_to[..., :3, 3] - T_from[..., :3, 3]], -1)
    return step / torch.tensor(UNIT, dtype=step.dtype, device=step.device)


def score(frame: FrameProblem, T_cam_lidar: torch.Tensor, sigma: float) -> torch.Tensor:
    """Mean edge strength (S,) under the projected edges, for poses (S, 4, 4); outside the image counts 0."""
    level = frame.level(sigma)
    values = level.table[:, :, 0]  # (H W + 1, 2)
    if len(T_cam_lidar) * len(frame.xyz) > len(values):
        values = values.float()  # worth it where most of the map is read
    out = []
    for T in T_cam_lidar.to(frame.xyz).split(max(1, _CHUNK // max(1, len(frame.xyz)))):
        points = torch.matmul(frame.xyz, T[:, :3, :3].transpose(1, 2)) + T[:, None, :3, 3]  # (S, N, 3)
        uv, valid = level.camera.project(points)
        index, _ = nearest_pixel(uv, valid & (points[..., 2] > FRONT_M), level)
        strength = values.index_select(0, index.reshape(-1)).view(*index.shape, 2).float()
        out.append(torch.einsum("snc,nc->s", strength, frame.across))
    return torch.cat(out)


def sparse(frame: FrameProblem, most: int) -> FrameProblem:
    """The frame with at most so many random edges that stand for all of them."""
    count = len(frame.xyz)
    if count <= most:
        return frame
    few = frame.shuffled[:most]
    scale = count / most
    return replace(frame, xyz=frame.xyz[few], tip=frame.tip[few], weight=frame.weight[few] * scale,
                   kind=frame.kind[few], across=frame.across[few] * scale, phase=frame.phase[few],
                   shuffled=torch.arange(most, device=few.device))


def weighed(frame: FrameProblem, by_kind: Sequence[float]) -> FrameProblem:
    """The frame with the edges of each class weighed by its factor, one per class of `lidar_edges`."""
    factor = torch.tensor(by_kind, dtype=frame.across.dtype, device=frame.kind.device)[frame.kind]
    return replace(frame, across=frame.across * factor[:, None])


def weight_in_view(frame: FrameProblem, T_cam_lidar: torch.Tensor) -> float:
    """Total weight of the visible edges inside the image at a pose (4, 4)."""
    _, valid = frame.camera.project(se3.transform(T_cam_lidar.to(frame.xyz), frame.xyz))
    return float((frame.across.sum(-1) * valid).sum())


def nearest_pixel(uv: torch.Tensor, valid: torch.Tensor, level: EdgeMap) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (...) of the level's table and what rounding left of uv (..., 2); outside the image the last row, zeros."""
    width, height = level.camera.width, level.camera.height
    pixel = uv.round()
    inside = valid & (pixel[..., 0] >= 0) & (pixel[..., 1] >= 0) & (pixel[..., 0] < width) & (pixel[..., 1] < height)
    row = torch.where(inside, pixel[..., 1] * width + pixel[..., 0], torch.full_like(pixel[..., 0], width * height))
    return row.long(), uv - pixel
