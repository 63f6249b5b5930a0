"""Made-up match likelihoods of a made-up street, the truth known: what a coarse stage of a given quality would say."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from crossi2p_core.geometry import se3

GRID, STRIDE = (20, 64), 8
K = torch.tensor([[360.0, 0, 255.5], [0, 360.0, 79.5], [0, 0, 1]])
LEAST_SEEN = 60
UPRIGHT = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # optical from x forward, z up


def street(rng: np.random.Generator, count: int = 910) -> Tensor:
    """(count, 3) superpoints around a LiDAR 1.7 m above the ground: ground, facades on both sides, poles and cars."""
    many = 4 * count
    x = rng.uniform(-45, 45, many)
    ground = np.stack([x, rng.uniform(-9, 9, many), np.full(many, -1.7)], axis=1)
    side = rng.choice([-1.0, 1.0], many)
    facade = np.stack([x, side * (9 + 2 * np.floor(np.abs(x) / 9) % 3), rng.uniform(-1.7, 5.5, many)], axis=1)
    poles = rng.uniform((-40, -8), (40, 8), (24, 2))
    things = np.concatenate([poles[rng.integers(24, size=many)] + rng.normal(0, 0.3, (many, 2)),
                             rng.uniform(-1.7, 2.5, (many, 1))], axis=1)
    every = np.concatenate([ground[: many // 2], facade, things[: many // 2]])
    far = np.linalg.norm(every, axis=1)
    every = every[(far > 4) & (far < 45)]
    chance = 1 / np.linalg.norm(every, axis=1)  # a scan is denser where it is near
    return torch.from_numpy(every[rng.choice(len(every), count, False, chance / chance.sum())]).float()


def camera(rng: np.random.Generator, points: Tensor, max_m: float = 3.0, max_tilt_deg: float = 8.0) -> np.ndarray:
    """(4, 4) T_cam_lidar of a camera anywhere within `max_m`, of any heading and a small tilt.

    It sees at least LEAST_SEEN superpoints: one that looks at a near wall has nothing to tell.
    """
    while True:
        yaw = se3.exp_so3(np.array([0, 0, rng.uniform(-math.pi, math.pi)]))
        tilt = se3.exp_so3(np.radians(max_tilt_deg) * rng.uniform(-1, 1, 3) * [1, 0, 1])
        R = tilt @ UPRIGHT @ yaw
        T = se3.make(R, -R @ (rng.uniform(-max_m, max_m, 3) * [1, 1, 0.3]))
        if projected(points, T)[1].sum() >= LEAST_SEEN:
            return T


def likelihood(rng: np.random.Generator, points: Tensor, T: np.ndarray, wrong: float, shared: bool = True,
               noise_cells: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log likelihoods (1, M, h, w) and logs of not being in view (1, M).

    wrong: share of superpoints in view whose highest peak is a wrong one. shared: every map has its true peak among
    wrong ones of equally drawn heights; otherwise a map has one peak, true or wrong. Peaks are one cell wide and lie
    `noise_cells` (a standard deviation along each axis) beside the truth.
    """
    h, w = GRID
    count = len(points)
    uv, seen = projected(points, T)
    cell = (uv + 0.5) / STRIDE - 0.5 + rng.normal(0, noise_cells, (count, 2))
    peaks = round(1 / (1 - wrong)) if shared else 1
    place = rng.uniform((-0.5, -0.5), (w - 0.5, h - 0.5), (count, peaks, 2))
    right = seen if shared else seen & (rng.uniform(size=count) > wrong)
    place[right, 0] = cell[right]
    height = rng.exponential(size=(count, peaks)) + 0.05
    across, down = (np.exp(-0.5 * (place[:, :, None, i] - np.arange(n)) ** 2) for i, n in ((0, w), (1, h)))
    density = np.einsum("mp,mpv,mpu->mvu", height, down, across, optimize=True) + 1e-3
    density /= density.sum((1, 2), keepdims=True)
    in_view = np.where(seen, rng.beta(4, 2, count), rng.beta(2, 4, count)).clip(0.02, 0.98)
    log_likelihood = np.log(density) + np.log(in_view)[:, None, None]
    return torch.from_numpy(log_likelihood).float()[None], torch.from_numpy(np.log1p(-in_view)).float()[None]


def projected(points: Tensor, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (M, 2) and whether they are in the image (M,)."""
    q = se3.transform(T, points.double().numpy())
    ahead = q[:, 2] > 0.5
    uv = (q @ K.double().numpy().T)[:, :2] / np.where(ahead, q[:, 2], 1.0)[:, None]
    size = STRIDE * np.array([GRID[1], GRID[0]])
    return uv, ahead & (uv > -0.5).all(1) & (uv < size - 0.5).all(1)
