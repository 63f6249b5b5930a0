"""From a sample and a prior to a problem that can be scored: edges near the field of view, maps of the image."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import se3
from ..types import Camera, PointCloud, Prior, Sample
from .config import RefineConfig
from .focus import near_view
from .image_edges import edge_maps, why_blind
from .lidar_edges import find_edges, thin
from .objective import FrameProblem, make_problem
from .spacing import Spacing
from .viewpoint import viewpoint
from .working_view import working_view

MIN_POINTS = 200
MIN_EDGES = 60

_DENSE_ROWS_DEG = 0.5  # as those of 64 beams: edges are as sharp as the image's
_PER_ROW_GAP = 0.36  # measured with 16 and 32 beams, whose rows lie 2.0 and 1.3 deg apart
_MERGED = 0.4


class Unusable(Exception):
    """A frame that says nothing about the extrinsic; the message is the reason in words."""


class Prepared:
    """Frames that are aligned several times from one prior, such as with some of them left out: prepared once each."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self._done: dict[int, tuple[Sample, FrameProblem | str]] = {}  # the sample keeps its id from being another's

    def frame(self, sample: Sample, config: RefineConfig, device: torch.device) -> FrameProblem | str:
        """The problem, or in words why it is none."""
        if id(sample) not in self._done:
            try:
                self._done[id(sample)] = sample, prepare_frame(sample, self.prior, config, device)
            except Unusable as reason:
                self._done[id(sample)] = sample, str(reason)
        return self._done[id(sample)][1]


def prepare_frame(sample: Sample, prior: Prior, config: RefineConfig, device: torch.device) -> FrameProblem:
    """Edges and maps of one frame. Raises Unusable, with the reason in words, where it holds nothing to align."""
    blind = why_blind(sample.image, config.image)
    if blind:
        raise Unusable(f"{sample.name}: {blind}")
    if len(sample.cloud) < MIN_POINTS:
        raise Unusable(f"{sample.name}: the cloud has {len(sample.cloud)} usable points; {MIN_POINTS} are the least")
    cloud, spacing = thin(sample.cloud, config.lidar)
    origin = viewpoint(cloud.xyz, se3.inverse(prior.T_cam_lidar)[:3, 3])
    view = working_view(sample.image, sample.camera, config.image.focal_px)
    cloud = cloud.select(near_view(cloud.xyz, view.camera, prior.T_cam_lidar, prior.max_deg, prior.max_m))
    edges = find_edges(cloud, spacing, origin, config.lidar)
    if len(edges) < MIN_EDGES:
        raise Unusable(f"{sample.name}: {len(edges)} LiDAR edges lie near the camera's view ({MIN_EDGES} are the "
                       f"least, {len(cloud)} points); is the guess right, does the LiDAR look where the camera does?")
    maps = edge_maps(view, config.image, device)
    forward = prior.T_cam_lidar[2, :3]  # the optical axis: most cameras look where the vehicle drives
    return make_problem(edges, config.lidar, maps, cloud, np.asarray(forward), _raster(spacing, bool(origin.any())),
                        config.seed, device)


def _raster(spacing: Spacing, merged: bool) -> float:
    """What the scan's own raster leaves unknown of a pose, in units of (1 deg, 1 dm).

    Where an edge lies between two rows nobody knows, and rows far apart err alike all over the image. Clouds merged
    from several LiDARs have no raster that could be told.
    """
    wide = max(0.0, float(np.degrees(spacing.row)) - _DENSE_ROWS_DEG)
    return _PER_ROW_GAP * wide + (_MERGED if merged else 0.0)


def overlap(cloud: PointCloud, camera: Camera, T_cam_lidar: np.ndarray) -> float:
    """Share of a cloud's points that fall into the image."""
    if len(cloud) == 0:
        return 0.0
    return float(camera.project(se3.transform(T_cam_lidar, cloud.xyz))[1].mean())
