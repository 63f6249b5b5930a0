"""Scans of lesser sensors, and scans from elsewhere. Pure functions with a numpy Generator.

What is lost is lost in the sensor's own frame: these functions come before the scan is moved.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..geometry import se3
from ..types import PointCloud, Sample

Array = np.ndarray
BEAM_DEG = 0.4  # height of a beam where the recording does not tell its rings


def without_vehicle(cloud: PointCloud, range_m: float) -> PointCloud:
    """The points at least so far away horizontally: the vehicle's shape and shadow tell the heading of the scan."""
    return cloud.select(np.hypot(cloud.xyz[:, 0], cloud.xyz[:, 1]) >= range_m)


def drop_beams(cloud: PointCloud, rng: np.random.Generator, share: float) -> PointCloud:
    """Without up to `share` of the beams: of the rings where they are known, else of thin slices of elevation."""
    beam = cloud.ring if cloud.ring is not None else np.floor(np.degrees(_elevation(cloud.xyz)) / BEAM_DEG)
    beams, index = np.unique(beam, return_inverse=True)
    kept = rng.random(len(beams)) >= rng.uniform(0, share)
    return cloud.select(kept[index.reshape(-1)])


def drop_sector(cloud: PointCloud, rng: np.random.Generator, most_deg: float) -> PointCloud:
    """Without a sector of azimuth of up to most_deg, wherever it lies."""
    width, start = math.radians(rng.uniform(0, most_deg)), rng.uniform(0, 2 * math.pi)
    azimuth = np.arctan2(cloud.xyz[:, 1], cloud.xyz[:, 0])
    return cloud.select(np.mod(azimuth - start, 2 * math.pi) >= width)


def drop_floor(cloud: PointCloud, rng: np.random.Generator, most_deg: float) -> PointCloud:
    """Without what lies lowest: everything up to most_deg of elevation above the lowest point."""
    elevation = _elevation(cloud.xyz)
    lowest = elevation.min() if len(elevation) else 0.0
    return cloud.select(elevation >= lowest + math.radians(rng.uniform(0, most_deg)))


def drop_points(cloud: PointCloud, rng: np.random.Generator, share: float) -> PointCloud:
    """Without up to `share` of the points, any of them."""
    return cloud.select(rng.random(len(cloud)) >= rng.uniform(0, share))


def add_range_noise(cloud: PointCloud, rng: np.random.Generator, sigma_m: float) -> PointCloud:
    """Points moved along their rays, normally, with a sigma of up to sigma_m."""
    distance = np.linalg.norm(cloud.xyz, axis=1, keepdims=True)
    error = rng.uniform(0, sigma_m) * rng.standard_normal((len(cloud), 1))
    factor = np.maximum(1 + error / np.maximum(distance, 1e-3), 0.1)  # never through the sensor
    return replace(cloud, xyz=(cloud.xyz * factor).astype(np.float32))


def move_scan(sample: Sample, T_new_lidar: Array) -> Sample:
    """The scan in another frame: points moved by T_new_lidar (4, 4), T_cam_lidar against it. Pixels stay the same."""
    xyz = se3.transform(T_new_lidar, sample.cloud.xyz.astype(np.float64))  # float32 would lose millimetres
    back = se3.inverse(T_new_lidar)
    T_cam, T_world = (None if T is None else T @ back for T in (sample.T_cam_lidar, sample.T_world_lidar))
    cloud = replace(sample.cloud, xyz=xyz.astype(np.float32))
    return replace(sample, cloud=cloud, T_cam_lidar=T_cam, T_world_lidar=T_world)


def draw_plane_motion(rng: np.random.Generator, yaw_deg: float, shift_m: float) -> Array:
    """T_new_lidar (4, 4) of protocol A: about z by up to +-yaw_deg, along x and y by up to +-shift_m each."""
    yaw = math.radians(yaw_deg) * rng.uniform(-1, 1)
    x, y = shift_m * rng.uniform(-1, 1, 2)
    return se3.make(se3.exp_so3(np.array([0.0, 0.0, yaw])), np.array([x, y, 0.0]))


def draw_decalibration(rng: np.random.Generator, tilt_deg: float, offset_m: float) -> Array:
    """T_new_lidar (4, 4): a small turn about any axis and a small shift in any direction."""
    return se3.perturb(np.eye(4), rng, tilt_deg, offset_m)


def _elevation(xyz: Array) -> Array:
    """(N,) radians above the sensor's horizon."""
    return np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1]))
