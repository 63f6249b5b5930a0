"""How far, in pixels, projected LiDAR edges lie from the image edges that they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..geometry import se3
from ..types import Camera
from .objective import FrameProblem

_REACH = 8  # working pixels to either side
_CLEAR = 1.0  # standard deviations of the edge map: weaker peaks are no image edge


@dataclass(frozen=True)
class Residuals:
    """edges: how many edges are seen in the images. found: how many have an image edge within reach.
    median_px: median distance of those, in pixels of the full image."""

    edges: int
    found: int
    median_px: float


def measure(frames: list[FrameProblem], T_cam_lidar: torch.Tensor, camera: Camera) -> Residuals:
    """Search each edge's normal, at the finest scale, for the strongest response. camera: of the full image."""
    distances, edges = [], 0
    for frame in frames:
        offset, peak = _along_normals(frame, T_cam_lidar)
        edges += len(peak)
        distances.append(offset[peak > _CLEAR].abs() * camera.K[0, 0] / frame.camera.K[0, 0])
    found = torch.cat(distances)
    return Residuals(edges, len(found), float(found.median()) if len(found) else float("nan"))


def _along_normals(frame: FrameProblem, T_cam_lidar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Offset (M,) in working pixels and strength (M,) of the best response along the normals of the M seen edges."""
    T = T_cam_lidar.to(frame.xyz)
    uv, valid = frame.camera.project(se3.transform(T, frame.xyz))
    ahead, _ = frame.camera.project(se3.transform(T, frame.tip))
    seen = valid & (frame.across.sum(-1) > 0)
    uv, normal = uv[seen], (ahead - uv)[seen]
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    share = normal**2  # (M, 2) of the response along u and along v
    level = frame.maps[0]
    offsets = torch.arange(-_REACH, _REACH + 1, device=uv.device, dtype=uv.dtype)
    pixel = (uv[:, None] + offsets[:, None] * normal[:, None]).round()  # (M, 2 reach + 1, 2)
    u = pixel[..., 0].clamp(0, level.camera.width - 1)
    v = pixel[..., 1].clamp(0, level.camera.height - 1)
    response = level.table[(v * level.camera.width + u).long()][..., 0].float()  # (M, 2 reach + 1, 2)
    strength, best = (response * share[:, None]).sum(-1).max(dim=1)
    return offsets[best], strength
