"""From a sample and a prior to a problem that can be scored: edges near the field of view, maps of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from ..errors import InputError
from ..geometry import se3
from ..types import Camera, PointCloud, Prior, Sample
from .config import RefineConfig
from .focus import near_view
from .image_edges import EdgeMap, edge_maps, why_blind
from .lidar_edges import find_edges, thin
from .objective import FrameProblem, make_problem
from .spacing import Spacing
from .viewpoint import is_merged, viewpoint
from .working_view import working_view

MIN_POINTS = 200
MIN_EDGES = 60

_DENSE_ROWS_DEG = 0.5  # as those of 64 beams: edges are as sharp as the image's
_PER_ROW_GAP = 0.36  # measured with 16 and 32 beams, whose rows lie 2.0 and 1.3 deg apart
_MERGED = 0.4


Made = TypeVar("Made")


class Unusable(Exception):
    """A frame that says nothing about the extrinsic; the message is the reason in words."""


@dataclass(frozen=True)
class Sight:
    """What a frame shows wherever its camera may be: its cloud, thinned, and the maps of its image. merged: the cloud
    was not scanned from its origin."""

    name: str
    cloud: PointCloud
    merged: bool
    spacing: Spacing
    maps: list[EdgeMap]


class Prepared:
    """Frames that are aligned several times, from one prior or from several: prepared once each."""

    def __init__(self, prior: Prior, sights: dict[int, tuple[Sample, Sight | str]] | None = None) -> None:
        """sights: what another one has seen of the same frames already."""
        self.prior = prior
        self._sights = {} if sights is None else sights  # by the id of a sample; kept, so that it stays the sample's
        self._done: dict[int, FrameProblem | str] = {}

    def elsewhere(self, prior: Prior) -> Prepared:
        """The same frames for another prior; what does not depend on it is shared."""
        return Prepared(prior, self._sights)

    def frame(self, sample: Sample, config: RefineConfig, device: torch.device) -> FrameProblem | str:
        """The problem, or in words why it is none."""
        if id(sample) not in self._done:
            self._done[id(sample)] = self._problem(sample, config, device)
        return self._done[id(sample)]

    def _problem(self, sample: Sample, config: RefineConfig, device: torch.device) -> FrameProblem | str:
        if id(sample) not in self._sights:
            self._sights[id(sample)] = sample, _or_why_not(lambda: sight_of(sample, config, device))
        sight = self._sights[id(sample)][1]
        return sight if isinstance(sight, str) else _or_why_not(lambda: problem_at(sight, self.prior, config, device))


def prepare_frame(sample: Sample, prior: Prior, config: RefineConfig, device: torch.device) -> FrameProblem:
    """Edges and maps of one frame. Raises Unusable, with the reason in words, where it holds nothing to align."""
    return problem_at(sight_of(sample, config, device), prior, config, device)


def sight_of(sample: Sample, config: RefineConfig, device: torch.device) -> Sight:
    """What does not depend on the prior. Raises Unusable for an image or a cloud that shows nothing."""
    if nothing := shows_nothing(sample, config):
        raise Unusable(f"{sample.name}: {nothing}")
    try:
        cloud, spacing = thin(sample.cloud, config.lidar)
    except InputError as error:
        raise Unusable(f"{sample.name}: {error}") from error
    view = working_view(sample.image, sample.camera, config.image.focal_px)
    return Sight(sample.name, cloud, is_merged(cloud.xyz), spacing, edge_maps(view, config.image, device))


def shows_nothing(sample: Sample, config: RefineConfig) -> str:
    """Why an image or a cloud shows nothing, wherever its camera may be; empty where both may show something."""
    if blind := why_blind(sample.image, config.image):
        return blind
    if len(sample.cloud) < MIN_POINTS:
        return f"the cloud has {len(sample.cloud)} usable points; {MIN_POINTS} are the least"
    return ""


def problem_at(sight: Sight, prior: Prior, config: RefineConfig, device: torch.device) -> FrameProblem:
    """Edges near the prior's field of view. Raises Unusable where there are too few."""
    origin = viewpoint(sight.merged, np.asarray(prior.T_cam_lidar))
    camera = sight.maps[0].camera
    cloud = sight.cloud.select(near_view(sight.cloud.xyz, camera, prior.T_cam_lidar, prior.max_deg, prior.max_m))
    edges = find_edges(cloud, sight.spacing, origin, config.lidar)
    if len(edges) < MIN_EDGES:
        raise Unusable(f"{sight.name}: {len(edges)} LiDAR edges lie near the camera's view ({MIN_EDGES} are the "
                       f"least, {len(cloud)} points); is the guess right, does the LiDAR look where the camera does?")
    forward = prior.T_cam_lidar[2, :3]  # the optical axis: most cameras look where the vehicle drives
    raster = _raster(sight.spacing, sight.merged)
    return make_problem(edges, config.lidar, sight.maps, cloud, np.asarray(forward), raster, config.seed, device)


def _or_why_not(make: Callable[[], Made]) -> Made | str:
    """What is made, or in words why it cannot be."""
    try:
        return make()
    except Unusable as reason:
        return str(reason)


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
