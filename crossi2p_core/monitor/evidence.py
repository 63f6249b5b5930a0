"""What one frame says of the calibration in use: how far its own answer is from it, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..geometry import se3
from ..types import Registration

Array = np.ndarray
UNSURE = 2.0  # an uncertain answer's variance is taken so many times: it errs by more sigmas than others do


@dataclass(frozen=True)
class Evidence:
    """Of one frame. xi: (6,) twist from the calibration in use to the frame's answer, exp(xi) T_in_use = T_found,
    rotation (rad) first, in the camera frame; covariance: (6, 6) of it; None where the frame has no answer; reason:
    why. doubt: share of small moves away from the calibration in use that fit better, NaN where that says nothing.
    misfit: there is enough to see, and nothing fits. place: a number, the same for frames of a robot that stood still,
    None where nobody knows."""

    name: str
    xi: Array | None
    covariance: Array | None
    reason: str = ""
    doubt: float = math.nan
    misfit: bool = False
    place: int | None = None

    @property
    def usable(self) -> bool:
        """The frame tells something."""
        return self.xi is not None


def evidence_of(name: str, found: Registration, T_in_use: Array, place: int | None = None) -> Evidence:
    """Of a registration that started at T_in_use (4, 4). What fits no better than a wrong image would says nothing:
    the truth is farther off than was searched, or the picture is bad."""
    covariance = np.asarray(found.covariance, dtype=np.float64)
    if not found.convincing or not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance).min() <= 0:
        return Evidence(name, None, None, found.reason, misfit=math.isfinite(found.cost_after), place=place)
    xi = se3.log_se3(found.T_cam_lidar @ se3.inverse(np.asarray(T_in_use)))
    wider = 1.0 if found.status == "ok" else UNSURE
    return Evidence(name, xi, wider * covariance, found.reason, float(found.doubt_before), place=place)


def cannot_tell(name: str, reason: str) -> Evidence:
    """Of a frame that nothing was asked of: the vehicle turns fast, a message was broken."""
    return Evidence(name, None, None, reason)
