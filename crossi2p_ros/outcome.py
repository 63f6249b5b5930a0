"""What one registration gave, with all that is needed to publish, show, judge and save it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossi2p_core.geometry import se3
from crossi2p_core.types import Registration, Sample


@dataclass(frozen=True)
class Outcome:
    """A registration in its surroundings.

    reference: (4, 4) T_cam_lidar that it started from; None: from nowhere. sample: the newest that took part. stamp:
    ns, of its cloud. apart: seconds between image and cloud. latency: seconds from the arrival of the pair to the
    answer. finished: steady seconds. seconds: per stage. oldest: ns, stamp of the oldest pair that took part.
    searched: of how many earlier pairs, that fitted nowhere, the registration is, from scratch, instead of the newest;
    0 as a rule.
    """

    registration: Registration
    reference: np.ndarray | None
    sample: Sample
    lidar_frame: str
    camera_frame: str
    stamp: int
    apart: float
    latency: float
    finished: float
    seconds: dict[str, float]
    oldest: int = 0
    searched: int = 0

    @property
    def valid(self) -> bool:
        """The registration stands behind its answer."""
        return self.registration.status == "ok"

    def deviation(self, T_cam_lidar: np.ndarray) -> tuple[float, float]:
        """Degrees and centimetres between the answer and a (4, 4)."""
        found = self.registration.T_cam_lidar
        return (float(se3.rotation_error_deg(found, T_cam_lidar)),
                100 * float(se3.translation_error_m(found, T_cam_lidar)))

    @property
    def from_reference(self) -> tuple[float, float] | None:
        """Degrees and centimetres between the answer and the reference that it started from, if there was one."""
        return None if self.reference is None else self.deviation(self.reference)

    @property
    def from_reference_in_words(self) -> str:
        """The same for people."""
        apart = self.from_reference
        return "found from scratch" if apart is None else f"{apart[0]:.2f} deg and {apart[1]:.1f} cm from the reference"
