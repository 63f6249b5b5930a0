"""Markers for RViz: what the camera sees from where it was found, and the LiDAR's edges that speak for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from crossi2p_core.geometry import se3
from crossi2p_core.refine.config import RefineConfig
from crossi2p_core.refine.lidar_edges import balanced, find_edges, thin
from crossi2p_core.refine.prepare import MIN_POINTS
from crossi2p_core.refine.viewpoint import is_merged, viewpoint
from crossi2p_core.types import Camera

from .outcome import Outcome

FRUSTUM_M = 1.0
EDGE_M = 0.05
COLORS = ((1.0, 0.4, 0.2), (0.3, 0.8, 1.0), (1.0, 0.8, 0.2), (0.6, 0.6, 0.6), (0.5, 1.0, 0.4), (0.8, 0.5, 1.0))
"""Of the edges by kind: left, top, right and lower silhouettes, intensity across and along."""


def matches_message(outcome: Outcome, config: RefineConfig) -> MarkerArray:
    """The camera's frustum and the edges in its view, both in the LiDAR frame."""
    seconds, rest = divmod(outcome.stamp, 10**9)
    stamp = Stamp(sec=seconds, nanosec=rest)
    return MarkerArray(markers=[_frustum(outcome, stamp), _edges(outcome, config, stamp)])


def frustum_corners(camera: Camera, T_lidar_cam: np.ndarray) -> np.ndarray:
    """(5, 3) the camera's centre and the corners of its image at a depth of FRUSTUM_M, LiDAR frame."""
    right, bottom = camera.width - 1.0, camera.height - 1.0
    rays = camera.unproject(np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]))
    return se3.transform(T_lidar_cam, np.vstack([np.zeros(3), FRUSTUM_M * rays]))


def _frustum(outcome: Outcome, stamp: Any) -> Marker:
    centre, *corners = frustum_corners(outcome.sample.camera, se3.inverse(outcome.registration.T_cam_lidar))
    around = zip(corners, [*corners[1:], corners[0]], strict=True)
    lines = [end for corner in corners for end in (centre, corner)] + [end for side in around for end in side]
    marker = _marker("frustum", Marker.LINE_LIST, outcome, stamp, 0.02)
    marker.color = ColorRGBA(r=1.0, g=1.0, b=0.3, a=1.0)
    marker.points = _points(np.array(lines))
    return marker


def _edges(outcome: Outcome, config: RefineConfig, stamp: Any) -> Marker:
    """Edges of the cloud inside the image, coloured by kind."""
    T, camera = outcome.registration.T_cam_lidar, outcome.sample.camera
    marker = _marker("edges", Marker.POINTS, outcome, stamp, EDGE_M)
    marker.color = ColorRGBA(a=1.0)
    if len(outcome.sample.cloud) < MIN_POINTS:
        return marker
    cloud, spacing = thin(outcome.sample.cloud, config.lidar)
    cloud = cloud.select(camera.project(se3.transform(T, cloud.xyz))[1])
    found = find_edges(cloud, spacing, viewpoint(is_merged(cloud.xyz), T), config.lidar)
    shown, _ = balanced(found, np.ones(len(found), dtype=bool), config.lidar, config.seed)
    palette = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in COLORS]
    marker.points = _points(found.xyz[shown])
    marker.colors = [palette[kind] for kind in found.kind[shown].tolist()]
    return marker


def _marker(name: str, kind: int, outcome: Outcome, stamp: Any, size: float) -> Marker:
    marker = Marker(ns=name, id=0, type=kind, action=Marker.ADD, frame_locked=False)
    marker.header.frame_id, marker.header.stamp = outcome.lidar_frame, stamp
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = size
    return marker


def _points(xyz: np.ndarray) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in np.asarray(xyz, dtype=np.float64).tolist()]
