"""A scan takes a tenth of a second, and the vehicle drives on meanwhile: how that bends a cloud, and how to undo it.

A spinning LiDAR passes the camera's left side some milliseconds before its right side. Seen from a vehicle that drives
ahead, things on the left are then measured too far away and things on the right too near, which an extrinsic can only
imitate by moving sideways: 1 to 4 cm at town speeds. Speeds are therefore unknowns of the alignment beside the pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .config import DriveConfig

SPEED_UNIT = 6.0  # m/s, and ...
DELAY_UNIT = 0.004  # s: about as visible in an image as 0.5 deg or 0.5 dm
_REVOLUTION = 0.1  # s, the usual; another rate makes the speed another number and the cloud as straight
_DELAY_FRAMES = 3  # from so many frames on a delay can be told from a move along the axis: speeds differ


@dataclass(frozen=True)
class Drive:
    """What S candidates assume of the vehicle.

    speed: (S, F) m/s along the optical axis in each of F frames. delay: (S,) s from when the beam passes the optical
    axis until the image is exposed, the same in all frames.
    """

    speed: torch.Tensor
    delay: torch.Tensor

    def __getitem__(self, index: torch.Tensor | slice | list[int]) -> Drive:
        return Drive(self.speed[index], self.delay[index])


def parked(candidates: int, frames: int, like: torch.Tensor) -> Drive:
    """No motion, for S candidates and F frames."""
    return Drive(torch.zeros(candidates, frames).to(like), torch.zeros(candidates).to(like))


def scan_phase(xyz: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """(N,) float32 s: when each point of (N, 3) was measured, 0 where the beam passes `forward` (3,).

    Automotive LiDARs turn clockwise as seen from above (Velodyne's, Ouster's and Hesai's manuals agree): left is early.
    """
    azimuth = np.arctan2(xyz[:, 1], xyz[:, 0]) - np.arctan2(forward[1], forward[0])
    azimuth = (azimuth + np.pi) % (2 * np.pi) - np.pi
    return (-azimuth / (2 * np.pi) * _REVOLUTION).astype(np.float32)


def displacement(phase: torch.Tensor, forward: torch.Tensor, speed: torch.Tensor, delay: torch.Tensor) -> torch.Tensor:
    """(S, N, 3) m: from where points were measured at phase (N,) s to where they are at the exposure.

    speed: (S,) m/s. delay: (S,) s.
    """
    moved = speed[:, None] * (phase - delay[:, None])  # (S, N)
    return moved[..., None] * forward


def derivatives(phase: torch.Tensor, forward: torch.Tensor, speed: torch.Tensor, delay: torch.Tensor,
                timed: bool) -> torch.Tensor:
    """(S, N, 3, 1 or 2): of the displacement by speed, and where `timed` by delay before it; per unit."""
    by_speed = (SPEED_UNIT * (phase - delay[:, None]))[..., None] * forward  # (S, N, 3)
    if not timed:
        return by_speed[..., None]
    by_delay = (-DELAY_UNIT * speed)[:, None, None] * forward.expand_as(by_speed)
    return torch.stack([by_delay, by_speed], -1)


def timed(frames: int) -> bool:
    """Whether the delay is an unknown."""
    return frames >= _DELAY_FRAMES


def advance(drive: Drive, step: torch.Tensor) -> Drive:
    """The drive moved by the steps (S, 1 + F or F) in units."""
    count = drive.speed.shape[1]
    delay = drive.delay + DELAY_UNIT * step[:, 0] if step.shape[1] > count else drive.delay
    return Drive(drive.speed + SPEED_UNIT * step[:, -count:], delay)


def penalty(drive: Drive, config: DriveConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What speeds and delay cost a priori: value (S,), gradient and curvature (S, 1 + F or F) per unit.

    Vehicles drive ahead far oftener than they reverse, so that backward speeds cost more.
    """
    speed = drive.speed
    sigma = torch.where(speed > 0, config.ahead_m_s, config.back_m_s)
    value = 0.5 * ((speed / sigma) ** 2).sum(1)
    gradient, curvature = SPEED_UNIT * speed / sigma**2, SPEED_UNIT**2 / sigma**2
    if timed(speed.shape[1]):
        delay = drive.delay[:, None]
        value = value + 0.5 * (delay[:, 0] / config.delay_s) ** 2
        gradient = torch.cat([DELAY_UNIT * delay / config.delay_s**2, gradient], 1)
        curvature = torch.cat([torch.full_like(delay, (DELAY_UNIT / config.delay_s) ** 2), curvature], 1)
    return value, gradient, curvature
