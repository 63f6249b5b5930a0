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
from .inputs import network_picture, on_canvas
from .point_features import point_features

MARGIN_PX = 64.0  # around the image: what may come into it while the pose gets better
LEAST_POINTS = 50


def make_flow_batch(sample: Sample, config: FlowConfig, T_rough: np.ndarray | None = None,
                    rng: np.random.Generator | None = None, tight: bool = False,
                    off: tuple[float, float] | None = None) -> Batch:
    """A batch of one: image without lens distortion inside config.size, and the points in or near it, as one level.

    T_rough: (4, 4) by which points are chosen; None: the sample's own T_cam_lidar, which is the batch's in any case.
    rng: which points are kept where there are too many; None: the same every time. tight: the canvas is no larger than
    the picture needs, else config.size, so that batches of several cameras can be joined. off: rad and m by which the
    scan will be drawn away from T_rough: all that can then come onto the canvas is chosen too, since an edge of the
    chosen would tell T_rough. Raises InputError, naming the sample, for what the network cannot take.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    rough = sample.T_cam_lidar if T_rough is None else T_rough
    try:
        if rough is None:
            raise InputError("nobody knows a rough extrinsic; the flow network starts from one")
        picture, camera, recorded = network_picture(sample.image, sample.camera, config)
        size = _around(recorded.shape) if tight else config.size
        cloud = sample.cloud.select(np.flatnonzero(np.isfinite(sample.cloud.xyz).all(axis=1)))
        seen = se3.transform(se3.check_transform(rough, "the rough extrinsic"), cloud.xyz.astype(np.float64))
        chosen = _near_the_picture(seen, camera.K, recorded)
        if off is not None:
            chosen |= _within_reach(seen, camera.K, size, off)
        points = _as_level(cloud.select(np.flatnonzero(chosen)), config.points, rng)
        image, camera, inside = on_canvas(picture, camera, recorded, size)
        truth = sample.T_cam_lidar
        T = None if truth is None else torch.from_numpy(se3.check_transform(truth, "T_cam_lidar")).float()[None]
    except InputError as error:
        raise InputError(f"{sample.name}: {error}") from error
    pixels = torch.from_numpy(image).permute(2, 0, 1).float().div_(255.0)
    return Batch(pixels[None].contiguous(), torch.from_numpy(camera.K).float()[None], torch.from_numpy(inside)[None],
                 points, T)


def _around(picture: tuple[int, ...]) -> tuple[int, int]:
    """The smallest canvas around a picture (h, w) that the encoders can halve five times."""
    return -(-picture[0] // 32) * 32, -(-picture[1] // 32) * 32


def _near_the_picture(seen: np.ndarray, K: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """(N,) bool: which points, seen (N, 3) m in the camera's frame, lie in the picture or beside it; recorded (h, w).

    Raises InputError where next to none lie in what was recorded: from there flow has nothing to go by.
    """
    height, width = recorded.shape
    x, y, z = seen.T
    ahead = np.maximum(z, NEAREST_M)
    u, v = (K[0, 0] * x + K[0, 1] * y) / ahead + K[0, 2], K[1, 1] * y / ahead + K[1, 2]
    keep = (z > NEAREST_M / 2) & (z < FARTHEST_M + 1) & (np.abs(u - width / 2) < width / 2 + MARGIN_PX)
    keep &= np.abs(v - height / 2) < height / 2 + MARGIN_PX
    column, row = (np.rint(each[keep]).astype(int) for each in (u, v))
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    count = np.count_nonzero(recorded[row[within], column[within]])
    if count < LEAST_POINTS:
        raise InputError(f"{count} points of the scan lie in the image by the extrinsic to start from; "
                         f"{LEAST_POINTS} are needed")
    return keep


def _within_reach(seen: np.ndarray, K: np.ndarray, size: tuple[int, int], off: tuple[float, float]) -> np.ndarray:
    """(N,) bool: which points, seen (N, 3) m in the camera's frame, may be drawn on a canvas of `size` (H, W) once the
    camera is turned by up to off[0] rad and moved by up to off[1] m. More than just these: no point moves farther than
    off[0] times its range and off[1], whichever way."""
    (fx, skew, cx), (_, fy, cy), _ = K
    sides = np.array([[fx, skew, cx + 0.5], [-fx, -skew, size[1] - 0.5 - cx],  # normals, which point inwards
                      [0, fy, cy + 0.5], [0, -fy, size[0] - 0.5 - cy]])
    reach = off[0] * np.linalg.norm(seen, axis=1) + off[1]
    depth = seen[:, 2]
    inside = (seen @ (sides / np.linalg.norm(sides, axis=1, keepdims=True)).T > -reach[:, None]).all(axis=1)
    return inside & (depth > NEAREST_M - reach) & (depth < FARTHEST_M + reach)


def _as_level(cloud: PointCloud, count: int, rng: np.random.Generator) -> PointPyramid:
    """`count` points of a cloud as the only level of a pyramid, repeated where there are fewer."""
    n = len(cloud)
    index = rng.choice(n, count, replace=False) if n > count else np.arange(count) % n
    xyz, features = torch.from_numpy(cloud.xyz[index]), torch.from_numpy(point_features(cloud)[index])
    return PointPyramid((xyz[None],), (torch.arange(count)[None] < n,), (), (), (), features[None])
