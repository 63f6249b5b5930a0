"""Edges of a cloud that an image should show: silhouettes, skylines, and steps of reflectivity.

Works on bearings as seen from the scan's origin, with nearest neighbours instead of a range image, so that rings,
rosettes and thinned clouds are treated alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..geometry.voxels import voxel_downsample
from ..types import PointCloud
from .config import LidarEdgeConfig
from .skyline import open_above
from .spacing import Spacing, estimate_spacing

LEFT, UP, RIGHT, DOWN, INTENSITY_ACROSS, INTENSITY_ALONG = range(6)
CLASSES = 6
_DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # (azimuth, elevation) towards left, up, right, down
_CONE = np.float32(np.cos(np.radians(50.0)))
_TIP = np.float32(0.002)  # rad between an edge point and its tip
_WIDEST = np.radians(2.5)  # neighbours further away say nothing
_BELOW_TOP_ROW = np.radians(1.0)  # an empty sector this close under the top row is the sensor's end, not sky
_NEAREST_M = 0.5
_SHARP = np.radians(0.8)  # an edge between samples this far apart counts half


@dataclass(frozen=True)
class LidarEdges:
    """Edge points in the LiDAR frame.

    xyz: (N, 3) float32 m. tip: (N, 3) the point a little further across the edge, which gives the normal of the edge in
    any image. kind: (N,) int class (LEFT ...). strength: (N,) float32, how surely it is one.
    """

    xyz: np.ndarray
    tip: np.ndarray
    kind: np.ndarray
    strength: np.ndarray

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True)
class _Neighbourhood:
    """Thinned points on the sphere of bearings with their neighbours; all angles in radians."""

    xyz: np.ndarray  # (N, 3)
    range: np.ndarray  # (N,)
    azimuth: np.ndarray  # (N,)
    elevation: np.ndarray  # (N,)
    squeeze: tuple[np.float32, np.float32]  # factors (azimuth, elevation) from angles to the isotropic plane
    radius: np.ndarray  # (N,) how far a neighbour may be, in that plane
    index: np.ndarray  # (N, k)
    distance: np.ndarray  # (N, k)
    sectors: tuple[np.ndarray, ...]  # per direction (N, k) bool


def thin(cloud: PointCloud, config: LidarEdgeConfig) -> tuple[PointCloud, Spacing]:
    """One real point per small cube, and the spacing of the scan's samples afterwards."""
    ranges = np.linalg.norm(cloud.xyz, axis=1)
    cloud = cloud.select(ranges > _NEAREST_M)
    middle = float(np.median(ranges)) if len(ranges) else 0.0
    grain = float(np.clip(config.grain_of_range * middle, *config.grain_m))
    cloud = cloud.select(voxel_downsample(cloud.xyz, grain))
    azimuth, elevation, _ = _bearings(cloud.xyz)
    return cloud, estimate_spacing(azimuth, elevation, grain)


def find_edges(cloud: PointCloud, spacing: Spacing, viewpoint: np.ndarray, config: LidarEdgeConfig) -> LidarEdges:
    """Edges of a thinned cloud (or of the part of it that a camera may see) as seen from `viewpoint` (3,) m."""
    if len(cloud) <= config.neighbours:
        return _collect([], viewpoint)
    near = _neighbourhood(cloud.xyz - viewpoint, spacing, config)
    jump = np.maximum(np.float32(np.clip(0.028 * np.median(near.range), *config.jump_m)),
                      np.float32(config.jump_relative) * near.range)  # (N,)
    parts = _depth_edges(near, jump, spacing, config)
    if cloud.intensity is not None and cloud.intensity.any():
        parts += _intensity_edges(near, cloud.intensity, config)
    return _collect(parts, viewpoint)


def balanced(edges: LidarEdges, among: np.ndarray, config: LidarEdgeConfig, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,) of at most `per_class` edges of each class among some (N,) bool, and their weights (n,) float32.

    A class counts by its weight, not by its number.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(np.concatenate([rng.permutation(np.flatnonzero(among & (edges.kind == c)))[:config.per_class]
                                     for c in range(CLASSES)]))
    kind, strength = edges.kind[chosen], edges.strength[chosen]
    weight = np.zeros(len(chosen), np.float32)
    for group in ((LEFT, RIGHT), (UP,), (DOWN,), (INTENSITY_ACROSS,), (INTENSITY_ALONG,)):
        members = np.isin(kind, group)
        weight[members] = config.class_weight[group[0]] * strength[members] / (strength[members].sum() + config.damping)
    return chosen, weight


def _bearings(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth, elevation (rad) and range (m) of points (N, 3)."""
    ranges = np.linalg.norm(xyz, axis=1)
    return np.arctan2(xyz[:, 1], xyz[:, 0]), np.arcsin(np.clip(xyz[:, 2] / ranges, -1, 1)), ranges


def _from_bearings(azimuth: np.ndarray, elevation: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Points (N, 3) from bearings and ranges."""
    level = np.cos(elevation)
    unit = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)
    return (ranges[:, None] * unit).astype(np.float32)


def _neighbourhood(xyz: np.ndarray, spacing: Spacing, config: LidarEdgeConfig) -> _Neighbourhood:
    """Neighbours in a plane of bearings in which rows and columns are equally far apart."""
    azimuth, elevation, ranges = _bearings(xyz)
    centre = np.arctan2(np.sin(azimuth).mean(), np.cos(azimuth).mean())  # the seam goes behind what is looked at
    azimuth = (azimuth - centre + np.pi) % (2 * np.pi) - np.pi + centre
    squeeze = (np.float32(np.cos(elevation.mean())), np.float32(spacing.elevation_scale))
    plane = np.stack([azimuth * squeeze[0], elevation * squeeze[1]], axis=1).astype(np.float32)
    distance, index = cKDTree(plane, balanced_tree=False, compact_nodes=False).query(
        plane, k=config.neighbours + 1, workers=-1)
    distance, index = distance[:, 1:].astype(np.float32), index[:, 1:]
    sparse_rows = 1.6 if spacing.elevation_scale < 0.99 else 1.0
    base = 1.3 * max(spacing.row * spacing.elevation_scale, spacing.column) * sparse_rows
    radius = np.clip(1.6 * spacing.grain / ranges, base, _WIDEST).astype(np.float32)
    offset = plane[index] - plane[:, None]  # (N, k, 2)
    close = distance < radius[:, None]
    cone = _CONE * distance
    sectors = tuple(close & (ax * offset[..., 0] + ay * offset[..., 1] > cone) for ax, ay in _DIRECTIONS)
    return _Neighbourhood(xyz, ranges, azimuth, elevation, squeeze, radius, index, distance, sectors)


def _depth_edges(near: _Neighbourhood, jump: np.ndarray, spacing: Spacing, config: LidarEdgeConfig) -> list[np.ndarray]:
    """Silhouettes towards the four directions, and skylines."""
    rise = near.range[near.index] - near.range[:, None]  # (N, k)
    smooth = np.abs(rise) < jump[:, None]
    gap_to_sky = 1.1 * spacing.row * spacing.elevation_scale
    skyline = open_above(near.azimuth, near.elevation, spacing)
    skyline &= near.elevation < np.percentile(near.elevation, 99.5) - _BELOW_TOP_ROW
    parts = []
    for side, sector in enumerate(near.sectors):
        slope, supported = _slope(near, near.sectors[(side + 2) % 4] & smooth)
        step = np.where(sector, rise, np.inf).min(axis=1)  # the nearest surface behind, inf where the sector is empty
        reach = np.minimum(np.where(sector, near.distance, np.inf).min(axis=1), near.radius)
        with np.errstate(invalid="ignore"):
            bend = 1 - near.range / (near.range + step) - slope * reach * 1.5
            found = np.flatnonzero(np.isfinite(step) & (step > jump) & supported & (bend > config.curvature))
        strength = np.sqrt(np.clip(step[found] / near.range[found], 0.05, 1))
        parts.append(_edges(near, found, side, side, reach[found], strength, 0.0 if side == UP else config.beam_rad))
        if side == UP:
            found = np.flatnonzero(~sector.any(axis=1) & supported & skyline)
            parts.append(_edges(near, found, side, side, np.full(len(found), gap_to_sky),
                                np.full(len(found), config.sky_weight)))
    return parts


def _slope(near: _Neighbourhood, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How fast inverse range falls along the surface (per rad, relative), and where there is a surface to tell.

    On a plane inverse range is linear in the bearing's tangent, so that a gap larger than this predicts is an edge.
    """
    distance = np.where(support, near.distance, np.inf)
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(near.range))
    distance, ranges = distance[rows, nearest], near.range[near.index[rows, nearest]]
    supported = np.isfinite(distance)
    slope = np.where(supported, np.maximum(0, near.range / ranges - 1) / np.maximum(distance, 1e-4), 0)
    return slope.astype(np.float32), supported


def _intensity_edges(near: _Neighbourhood, intensity: np.ndarray, config: LidarEdgeConfig) -> list[np.ndarray]:
    """Steps of reflectivity on smooth surfaces: lane marks, signs, plates."""
    scale = float(np.percentile(intensity, 95))
    if scale <= 0:
        return []
    level = np.minimum(intensity * np.float32(0.5 / scale), 1)
    parts = []
    for side, kind in ((LEFT, INTENSITY_ACROSS), (UP, INTENSITY_ALONG)):
        distance = np.where(near.sectors[side], near.distance, np.inf)
        nearest = distance.argmin(axis=1)
        rows = np.arange(len(level))
        other, distance = near.index[rows, nearest], distance[rows, nearest]
        step = np.abs(level[other] - level)
        same = np.abs(near.range[other] - near.range) < np.maximum(0.3, 0.03 * near.range)
        found = np.flatnonzero(np.isfinite(distance) & same & (step > config.intensity_step))
        parts.append(_edges(near, found, side, kind, distance[found], 0.5 * np.sqrt(np.minimum(2.5 * step[found], 1))))
    return parts


def _edges(near: _Neighbourhood, found: np.ndarray, side: int, kind: int, gap: np.ndarray,
           strength: np.ndarray, beam: float = 0.0) -> np.ndarray:
    """Rows (n, 8): point, tip, class, strength; the edge lies half the gap outward at the foreground's range, less
    `beam` (rad), by which a beam that hits an edge with its rim reports it too far out.

    Where exactly in the gap nobody knows, so that edges across wide gaps count less.
    """
    ax, ay = _DIRECTIONS[side]
    strength = strength / (1 + (gap / near.squeeze[1 if ay else 0] / _SHARP) ** 2)
    azimuth = near.azimuth[found] + ax * (0.5 * gap - beam) / near.squeeze[0]
    elevation = near.elevation[found] + ay * (0.5 * gap / near.squeeze[1] - beam)
    point = _from_bearings(azimuth, elevation, near.range[found])
    tip = _from_bearings(azimuth + ax * _TIP, elevation + ay * _TIP, near.range[found])
    return np.column_stack([point, tip, np.full(len(found), kind), strength]).astype(np.float32)


def _collect(parts: list[np.ndarray], viewpoint: np.ndarray) -> LidarEdges:
    rows = np.concatenate(parts) if parts else np.zeros((0, 8), np.float32)
    return LidarEdges(rows[:, :3] + viewpoint, rows[:, 3:6] + viewpoint, rows[:, 6].astype(np.int64), rows[:, 7])
