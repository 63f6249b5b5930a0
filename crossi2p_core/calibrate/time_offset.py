"""By how much the clocks of camera and LiDAR differ, told by frames that were taken at different speeds.

An image that is taken tau later than it says shows the world from where the LiDAR is by then. The pose that fits such a
frame is T exp(-v (tau + gap)), with the twist v of the LiDAR and the gap between the stamps of image and scan. Over
frames of different motion, tau and T are told apart; at one speed straight ahead they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..calibration_file import LONGEST_OFFSET_S
from ..geometry import se3
from ..types import Sample

Array = np.ndarray
TAIL = 3.0  # degrees of freedom of Student's t, as in `agree`
ITERATIONS = 30
LEAST_FRAMES = 8
SHOWN = 4.0  # standard deviations; frames of one place err alike, so that three come by chance
LEAST_S = 0.002  # below that nothing is gained
UNTOLD_S = 0.1


@dataclass(frozen=True)
class TimeOffset:
    """seconds: to be added to the images' stamps, with its standard deviation; as `sync.time_offset` of the node.

    For scans whose points are not brought to one instant the scan's time is when the beam passes what the camera sees.
    frames: that had a say. taken: into account, the clouds were moved by it and by what lies between their stamps and
    the images'; an offset that is not taken is the estimate alone.
    """

    seconds: float
    sigma_s: float
    frames: int
    taken: bool = False

    @property
    def shown(self) -> bool:
        """Sure enough, and large enough, to be taken into account."""
        return self.shows(np.zeros(1))

    def shows(self, gaps: Array) -> bool:
        """That images were taken at other times than their scans, whose stamps lie `gaps` (n,) s before theirs."""
        apart = float(np.sqrt(np.mean((self.seconds + gaps)**2)))
        return max(LEAST_S, SHOWN * self.sigma_s) < apart < LONGEST_OFFSET_S

    def undone(self, seconds: float, rest: TimeOffset | None) -> TimeOffset:
        """The offset by which clouds were moved. rest: what is still seen then, None where nothing can be told; as it
        was not undone, the offset is no surer than that."""
        sigma, frames = (self.sigma_s, self.frames) if rest is None else (
            float(np.hypot(rest.sigma_s, rest.seconds)), rest.frames)
        return TimeOffset(seconds, sigma, frames, taken=True)

    def in_words(self) -> str:
        """For people."""
        if self.sigma_s > UNTOLD_S:
            return f"time offset: the motion of {self.frames} frames does not tell; use frames of different speeds"
        if self.taken and self.seconds == 0:
            return (f"time offset: by the motion of {self.frames} frames the stamps of images and scans are right to "
                    f"{1000 * self.sigma_s:.1f} ms; what lies between them is taken into account")
        by = f"{1000 * abs(self.seconds):.1f} +- {1000 * self.sigma_s:.1f} ms"
        side = "later" if self.seconds > 0 else "earlier"
        end = "taken into account" if self.taken else "which is not told from none"
        return (f"time offset: by the motion of {self.frames} frames the images were taken {by} {side} than their "
                f"stamps say; {end}")


def find_time_offset(T: Array, covariance: Array, middle: Array, twists: Array, gaps: Array) -> TimeOffset | None:
    """What frames with the poses T (n, 4, 4), covariances (n, 6, 6) of left perturbations, twists (n, 6) and gaps (n,)
    s from scan to image say.

    middle: (4, 4) a pose near all of them. Weighted least squares for seven unknowns, the shift of the pose and tau,
    with Student's t around each frame. None where there are too few frames.
    """
    count = len(T)
    if count < LEAST_FRAMES:
        return None
    moved = twists @ se3.adjoint(middle).T  # (n, 6) the twists in the camera's frame
    errors = se3.log_se3(T @ se3.inverse(middle)) + moved * gaps[:, None]
    design = np.concatenate([np.broadcast_to(np.eye(6), (count, 6, 6)), -moved[..., None]], axis=2)  # (n, 6, 7)
    information = np.linalg.inv(covariance)
    weights, found = np.ones(count), np.zeros(7)
    for _ in range(ITERATIONS):
        H = np.einsum("n,nki,nkl,nlj->ij", weights, design, information, design)
        H = H + 1e-9 * np.diag(np.diag(H)) + 1e-12 * np.eye(7)  # parked frames say nothing of tau
        found = np.linalg.solve(H, np.einsum("n,nki,nkl,nl->i", weights, design, information, errors))
        left = errors - design @ found
        squared = np.einsum("ni,nij,nj->n", left, information, left)
        weights = (TAIL + 6) / (TAIL + squared)
    counted = np.minimum(1.0, weights)
    excess = max(1.0, float((counted * squared).sum()) / (6 * count - 7))
    return TimeOffset(float(found[6]), float(np.sqrt(excess * np.linalg.inv(H)[6, 6])), count)


def gap_of(sample: Sample) -> float:
    """Seconds from scan to image by their stamps; 0 where they are not known."""
    if sample.stamp_image is None or sample.stamp_cloud is None:
        return 0.0
    return sample.stamp_image - sample.stamp_cloud


def at_exposure(samples: Sequence[Sample], twists: Sequence[Array | None], seconds: float) -> list[Sample]:
    """The samples, each cloud where the LiDAR would have seen it when the image was really taken.

    twists: (6,) each; samples without stay as they are.
    """
    return [sample if twist is None else replace(sample, cloud=replace(
        sample.cloud, xyz=se3.transform(se3.exp_se3(-(seconds + gap_of(sample)) * twist), sample.cloud.xyz)))
        for sample, twist in zip(samples, twists, strict=True)]


def clock_sigma(offset: TimeOffset, clock_s: float) -> float:
    """Standard deviation, s, of the time between image and scan that is not accounted for.

    clock_s: of clocks as they are believed to be, which speaks where motion does not tell; 0: that is known. An
    estimate farther from none than its own sigma says that they are worse. An offset that is taken needs no belief.
    """
    if offset.taken or not clock_s:
        return offset.sigma_s if offset.taken else 0.0
    if offset.sigma_s < UNTOLD_S:
        clock_s = max(clock_s, float(np.sqrt(max(0.0, offset.seconds**2 - offset.sigma_s**2))))
    return float(1 / np.hypot(1 / offset.sigma_s, 1 / clock_s))


def clock_error(T_cam_lidar: Array, twists: Sequence[Array | None], seconds: float) -> Array:
    """(6, 6) covariance of T_cam_lidar from frames whose images may be `seconds` (a standard deviation) early or late.

    twists: (6,) of the frames. All of them are off to the same side, each by how it moved.
    """
    known = [twist for twist in twists if twist is not None]
    if not known:
        return np.zeros((6, 6))
    off = seconds * (se3.adjoint(T_cam_lidar) @ np.mean(known, axis=0))
    return np.outer(off, off)


def clock_words(sigma: float) -> str:
    """For people, where that is what makes a calibration unsure."""
    return (f"image and scan may be {1000 * sigma:.1f} ms apart, which counts at the speed of these frames: use frames "
            "of different speeds, or slow ones; clock_s says how far apart they may be where motion does not tell")
