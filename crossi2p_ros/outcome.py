"""What one registration gave, with all that is needed to publish, show, judge and save it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossi2p_core.geometry import se3
from crossi2p_core.types import Registration, Sample


@dataclass(frozen=True)
class Outcome:
    """A registration in its surroundings.

    reference: (4, 4) T_cam_lidar that it started from. sample: the newest that took part. stamp: ns, of its cloud.
    apart: seconds between image and cloud. latency: seconds from the arrival of the pair to the answer. finished:
    steady seconds. seconds: per stage.
    """

    registration: Registration
    reference: np.ndarray
    sample: Sample
    lidar_frame: str
    camera_frame: str
    stamp: int
    apart: float
    latency: float
    finished: float
    seconds: dict[str, float]

    @property
    def valid(self) -> bool:
        """The registration stands behind its answer."""
        return self.registration.status == "ok"

    def deviation(self, T_cam_lidar: np.ndarray | None = None) -> tuple[float, float]:
        """Degrees and centimetres between the answer and a (4, 4), default the reference it started from."""
        other = self.reference if T_cam_lidar is None else T_cam_lidar
        found = self.registration.T_cam_lidar
        return (float(se3.rotation_error_deg(found, other)), 100 * float(se3.translation_error_m(found, other)))
