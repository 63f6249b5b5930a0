"""How sure an alignment is: the covariance of the pose, from how its edges pull in different directions."""

from __future__ import annotations

import numpy as np
import torch

from .climb import Bounds, Candidates, frame_motion, unknowns
from .config import DriveConfig
from .drive import penalty
from .expansion import expand, linearise
from .objective import UNIT, FrameProblem

_INFLATION = 1.6  # measured on KITTI: errors over their sandwich sigmas; edges of one object repeat each other's error
_FLOOR = (0.04,) * 3 + (0.08,) * 3  # UNIT: what the maps' pixels and the reference calibration leave
_BLOCKS = (8, 3)  # of an image, columns by rows: edges of one block belong together and are not counted as independent
_FEW_BLOCKS = 6.0  # that edges are spread over, by the inverse of the sum of their squared shares; KITTI's are over 9
_MOST = (0.02, 0.98)  # of the edges: a few strays would make their box the whole image again


def pose_covariance(frames: list[FrameProblem], at: Candidates, sigmas: tuple[float, ...],
                    prior_information: torch.Tensor, drive: DriveConfig | None) -> np.ndarray:
    """(6, 6) of steps (rotation vector, translation) at an optimum (one candidate), in units of UNIT.

    The sandwich of an M-estimator, H^-1 M H^-1 (Huber 1967): H the curvature of the score and of the priors, M the
    scatter of the gradients that independent blocks of the images contribute. Unknown speeds and delay are among the
    unknowns, so that the pose's share of the inverse knows of them.
    """
    n = len(frames)
    information = prior_information.double().cpu()
    if drive is not None:
        information = torch.cat([information, drive.weight / n * penalty(at.drive, drive)[2][0].double().cpu()])
    curvature = torch.diag(information)
    scatter = torch.zeros_like(curvature)
    for index, frame in enumerate(frames):
        part = expand(frame, at.T, sigmas, frame_motion(at.drive, index, drive))
        columns = unknowns(index, n, part.gradient.shape[1])
        hessian = part.hessian[0].double().cpu()
        if drive is not None:
            hessian[-1, -1] = hessian[-1, -1].clamp_max(0)  # a speed on a saddle is held by its prior alone
        curvature[columns[:, None], columns] -= hessian / n
        pulls = _block_sums(frame, at.T[0], part.pull[0]).double().cpu() / n  # (blocks, D)
        scatter[columns[:, None], columns] += pulls.T @ pulls
    values, axes = torch.linalg.eigh(0.5 * (curvature + curvature.T))
    inverse = axes @ torch.diag(1 / values.abs().clamp_min(1e-3)) @ axes.T
    raster = sum(frame.raster**2 for frame in frames) / n
    floor = (torch.tensor(_FLOOR, dtype=torch.float64) ** 2 + raster) / n
    return (_INFLATION**2 * (inverse @ scatter @ inverse)[:6, :6] + torch.diag(floor)).numpy()


def combine_with_prior(step: np.ndarray, covariance: np.ndarray, bounds: Bounds) -> tuple[np.ndarray, np.ndarray]:
    """Step (6,) and covariance (6, 6) after the prior has had its say: a product of two Gaussians.

    A length uniform in 0..b in a random direction has variance b^2 / 9 along each axis. A direction that the images do
    not determine stays where the start had it.
    """
    prior = np.diag([(bounds.deg / 3) ** 2] * 3 + [(bounds.dm / 3) ** 2] * 3) + 1e-9 * np.eye(6)
    gain = prior @ np.linalg.inv(prior + covariance)
    return gain @ step, gain @ covariance


def _block_sums(frame: FrameProblem, T_cam_lidar: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    """Gradients (N, D) summed per block of the image: (blocks, D).

    At an optimum all of them together sum up to nothing. Where edges fill few blocks each of these does so nearly by
    itself, and says nothing of the scatter: then the blocks are laid over what the edges fill.
    """
    uv, valid, _ = linearise(frame, T_cam_lidar[None])
    uv, pull = uv[0][valid[0]], pull[valid[0]]
    whole = torch.tensor([[0.0, 0.0], [frame.camera.width, frame.camera.height]], device=uv.device, dtype=uv.dtype)
    block = _block_of(uv, *whole)
    share = torch.bincount(block, minlength=_BLOCKS[0] * _BLOCKS[1]).double() / max(1, len(block))
    if len(block) and 1 / share.square().sum() < _FEW_BLOCKS:
        block = _block_of(uv, *torch.quantile(uv, torch.tensor(_MOST).to(uv), dim=0))
    sums = torch.zeros(_BLOCKS[0] * _BLOCKS[1], pull.shape[1], dtype=pull.dtype, device=pull.device)
    return sums.index_add_(0, block, pull)


def _block_of(uv: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """(N,) number of the block of pixels (N, 2), blocks laid over a box."""
    place = (uv - low) / (high - low).clamp(min=1e-6)
    column, row = ((place[:, axis] * count).long().clamp(0, count - 1) for axis, count in enumerate(_BLOCKS))
    return row * _BLOCKS[0] + column


def left_covariance(covariance: np.ndarray, T_cam_lidar: np.ndarray) -> np.ndarray:
    """From steps in units of UNIT to the left perturbation exp(xi) T, xi = (rotation rad, translation m).

    exp(xi) T turns the translation along; to first order rho = d - w x t.
    """
    t = T_cam_lidar[:3, 3]
    A = np.eye(6)
    A[3:, :3] = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    A = A @ np.diag(UNIT)
    return A @ covariance @ A.T
