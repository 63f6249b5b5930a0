"""From a cloud to a PointPyramid: thinned evenly, at three levels, with the neighbours of every point.

One scan on the CPU (`build_pyramid`: a k-d tree, no GPU needed) or a batch on any device (`build_pyramid_on_device`:
all distances, no compiled extension, no host-device sync). Both thin with the same code and find the same neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .batch import PointPyramid
from .config import PointEncoderConfig
from .gather import rows
from .nearest import nearest_by_distances, nearest_of_one
from .point_features import describe_points
from .thinning import thin_evenly

Nearest = Callable[[Tensor, Tensor, int, Tensor, Tensor | None], Tensor]
"""points (B, n, 3), queries (B, m, 3), k, count (B,), first (B, m) or None -> (B, m, k), as `nearest_by_distances`."""


def build_pyramid(xyz: np.ndarray, features: np.ndarray, config: PointEncoderConfig,
                  rng: np.random.Generator) -> PointPyramid:
    """The pyramid of one cloud, B = 1, on the CPU; the same for the same cloud and state of `rng`.

    xyz: (n, 3) m, LiDAR frame, as `select_points` leaves it. features: (n, 2), see `point_features`. Raises InputError
    for a cloud that is too small or not finite.
    """
    _check(xyz, features, config)
    points, sensor = (torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32))[None] for v in (xyz, features))
    noise = torch.from_numpy(rng.random((1, 2)))
    with torch.no_grad():
        index, count = thin_evenly(points, torch.ones(1, len(xyz), dtype=torch.bool), config.points, noise)
        return levels_of(rows(points, index), rows(sensor, index), count, config, nearest_of_one)


@torch.no_grad()
def build_pyramid_on_device(xyz: Tensor, features: Tensor, config: PointEncoderConfig, valid: Tensor | None = None,
                            generator: torch.Generator | None = None) -> PointPyramid:
    """The pyramids of a batch on its own device.

    xyz: (B, n, 3) m, LiDAR frame, finite. features: (B, n, 2). valid: (B, n) bool, None: all. Each cloud needs as many
    valid points as for `build_pyramid`; that is not checked, since the host would have to wait for it. generator: of
    xyz's device.
    """
    valid = torch.ones_like(xyz[..., 0], dtype=torch.bool) if valid is None else valid
    noise = torch.rand(len(xyz), 2, dtype=torch.float64, device=xyz.device, generator=generator)
    index, count = thin_evenly(xyz, valid, config.points, noise)
    return levels_of(rows(xyz, index), rows(features, index), count, config, nearest_by_distances)


def _check(xyz: np.ndarray, features: np.ndarray, config: PointEncoderConfig) -> None:
    """Raises InputError for what cannot become a pyramid."""
    if xyz.ndim != 2 or xyz.shape[1] != 3 or len(features) != len(xyz):
        raise InputError(f"a pyramid needs points (n, 3) and as many features; these are {xyz.shape} and "
                         f"{features.shape}")
    need = max(config.neighbours + 1, config.ratio**2)
    if len(xyz) < need:
        raise InputError(f"a cloud with {len(xyz)} usable points is too small for the network; it needs {need} between "
                         f"{config.min_range_m:g} m and {config.max_range_m:g} m from the LiDAR")
    if not (np.isfinite(xyz).all() and np.isfinite(features).all()):
        raise InputError("the cloud has NaN or infinite values; drop those points first (PointCloud.from_arrays does)")


def levels_of(xyz: Tensor, sensor: Tensor, count: Tensor, config: PointEncoderConfig, nearest: Nearest) -> PointPyramid:
    """The pyramid of thinned points (B, N_0, 3) in z-order, of which `count` (B,) are there and the rest repeat.

    Each level keeps every ratio-th point: in z-order these cover evenly what the level before covered.
    """
    points, counts, kept = [xyz], [count], []
    for size in config.level_sizes[1:]:
        counts.append((counts[-1] // config.ratio).clamp(min=1))
        kept.append(_repeating(size, counts[-1]) * config.ratio)  # (B, N_{l+1}) rows of the level before
        points.append(rows(points[-1], kept[-1]))
    valid = [torch.arange(p.shape[1], device=p.device) < n[:, None] for p, n in zip(points, counts, strict=True)]
    around = [_neighbours(p, n, config.neighbours, nearest) for p, n in zip(points, counts, strict=True)]
    up = [nearest(coarse, fine, 1, n, None)[..., 0]
          for fine, coarse, n in zip(points[:-1], points[1:], counts[1:], strict=True)]
    down = [rows(index, chosen) for index, chosen in zip(around[:-1], kept, strict=True)]
    return PointPyramid(tuple(points), tuple(valid), tuple(around), tuple(down), tuple(up),
                        describe_points(sensor, xyz, around[0]))


def _repeating(size: int, count: Tensor) -> Tensor:
    """(B, size) 0, 1, ... count - 1, 0, 1, ... for each count (B,)."""
    return torch.arange(size, device=count.device) % count[:, None]


def _neighbours(points: Tensor, count: Tensor, k: int, nearest: Nearest) -> Tensor:
    """(B, N, k) nearest points of the same level, itself first; rows that repeat another have that one's."""
    own = _repeating(points.shape[1], count)
    return nearest(points, points, k, count, own)
