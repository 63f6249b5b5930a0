"""From a Sample and a rough extrinsic to what the flow network takes."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import InputError
from ..geometry import se3
from ..geometry.raster import FARTHEST_M, NEAREST_M
from ..types import PointCloud, Sample
from .batch import Batch, PointPyramid
from .config import FlowConfig
from .inputs import network_image
from .point_features import point_features

MARGIN_PX = 64.0  # around the image: what may come into it while the pose gets better
LEAST_POINTS = 50


def make_flow_batch(sample: Sample, config: FlowConfig, T_rough: np.ndarray | None = None,
                    rng: np.random.Generator | None = None) -> Batch:
    """A batch of one: image without lens distortion inside config.size, and the points in or near it, as one level.

    T_rough: (4, 4) by which points are chosen; None: the sample's own T_cam_lidar, which is the batch's in any case.
    rng: which points are kept where there are too many; None: the same every time. Raises InputError, naming the
    sample, for what the network cannot take.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    rough = sample.T_cam_lidar if T_rough is None else T_rough
    try:
        if rough is None:
            raise InputError("nobody knows a rough extrinsic; the flow network starts from one")
        image, camera, inside = network_image(sample.image, sample.camera, config)
        cloud = _near_the_image(sample.cloud, camera.K, config.size, se3.check_transform(rough, "the rough extrinsic"))
        points = _as_level(cloud, config.points, rng)
        truth = sample.T_cam_lidar
        T = None if truth is None else torch.from_numpy(se3.check_transform(truth, "T_cam_lidar")).float()[None]
    except InputError as error:
        raise InputError(f"{sample.name}: {error}") from error
    pixels = torch.from_numpy(image).permute(2, 0, 1).float().div_(255.0)
    return Batch(pixels[None].contiguous(), torch.from_numpy(camera.K).float()[None], torch.from_numpy(inside)[None],
                 points, T)


def _near_the_image(cloud: PointCloud, K: np.ndarray, size: tuple[int, int], T: np.ndarray) -> PointCloud:
    """The points that T (4, 4) sees in the image or beside it. Raises InputError where there are next to none."""
    x, y, z = se3.transform(T, cloud.xyz.astype(np.float64)).T
    with np.errstate(invalid="ignore", over="ignore"):  # NaN compares as false
        ahead = np.maximum(z, NEAREST_M)
        u, v = (K[0, 0] * x + K[0, 1] * y) / ahead + K[0, 2], K[1, 1] * y / ahead + K[1, 2]
        keep = (z > NEAREST_M / 2) & (z < FARTHEST_M + 1) & (np.abs(u - size[1] / 2) < size[1] / 2 + MARGIN_PX)
        keep &= np.abs(v - size[0] / 2) < size[0] / 2 + MARGIN_PX
    if np.count_nonzero(keep) < LEAST_POINTS:
        raise InputError(f"{np.count_nonzero(keep)} points of the scan lie in or near the image by the extrinsic to "
                         f"start from; {LEAST_POINTS} are needed")
    return cloud.select(np.flatnonzero(keep))


def _as_level(cloud: PointCloud, count: int, rng: np.random.Generator) -> PointPyramid:
    """`count` points of a cloud as the only level of a pyramid, repeated where there are fewer."""
    n = len(cloud)
    index = rng.choice(n, count, replace=False) if n > count else np.arange(count) % n
    xyz, features = torch.from_numpy(cloud.xyz[index]), torch.from_numpy(point_features(cloud)[index])
    return PointPyramid((xyz[None],), (torch.arange(count)[None] < n,), (), (), (), features[None])
