"""Whether an alignment may be believed, from evidence that does not know the truth.

The limits were chosen on some frames of three KITTI recordings, with right and wrong images: `docs/results.md` says
which, and how often `ok` was right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHANCE = 0.13  # mean response below which nothing fits; the best fits to wrong images reach 0.10 to 0.37, few 0.5
CONVINCING = 0.38
SIDES = 0.55  # mean response of upright silhouettes: skylines alone let the camera slide along them
FEW_EDGES = 300  # in a frame's view that count half
_OUTSIDE = 1.5  # times the bounds: the search left the region that the prior allows

_AXES = ("sideways", "up and down", "along the optical axis")


@dataclass(frozen=True)
class Evidence:
    """What an alignment has to show for itself.

    score_start, score_found: the criterion at the start and at the answer. response: the score per weight of the edges
    in view, in standard deviations of the edge maps. sides: the same of upright silhouettes alone. step: (6,) from
    start to answer, (deg, dm). covariance: (6, 6) of it. bounds: (2,) of the prior, (deg, dm).
    """

    score_start: float
    score_found: float
    response: float
    sides: float
    step: np.ndarray
    covariance: np.ndarray
    bounds: tuple[float, float]

    @property
    def sigma_deg(self) -> float:
        """Standard deviation of the rotation, as a length."""
        return float(np.sqrt(np.trace(self.covariance[:3, :3])))

    @property
    def convincing(self) -> bool:
        """More of the cloud's edges are in the image than in any wrong one, upright ones among them."""
        return self.response >= CONVINCING and self.sides >= SIDES

    @property
    def sigma_cm(self) -> float:
        """Standard deviation of the translation, as a length."""
        return float(10 * np.sqrt(np.trace(self.covariance[3:, 3:])))


def discounted(response: float, edges: float) -> float:
    """A response as far as so many edges in a frame's view may be believed: few of them, as at the rim of a narrow
    LiDAR's view, fit somewhere by chance."""
    return response * edges / (edges + FEW_EDGES)


@dataclass(frozen=True)
class Limits:
    """Up to which standard deviations an answer is `ok`."""

    deg: float = 0.30
    cm: float = 4.4


@dataclass(frozen=True)
class Verdict:
    """ok | uncertain | failed, why, and whether the start is handed on instead of what was found."""

    status: str
    reason: str
    keep_start: bool = False


def judge(evidence: Evidence, limits: Limits | None = None) -> Verdict:
    """The verdict on one alignment."""
    limits = limits or Limits()
    if evidence.response < CHANCE:
        return Verdict("failed", f"image and cloud do not fit together near this guess (response "
                       f"{evidence.response:.2f}, at least {CHANCE} is needed); widen the search or check that they "
                       "belong together", True)
    doubt = _doubt(evidence, limits)
    if evidence.score_found <= evidence.score_start:
        return Verdict("uncertain" if doubt else "ok", f"no pose nearby fits better than the start{doubt}", True)
    found = f"moved {_length(evidence.step[:3]):.2f} deg and {10 * _length(evidence.step[3:]):.1f} cm"
    sure = f"standard deviation {evidence.sigma_deg:.2f} deg, {evidence.sigma_cm:.1f} cm"
    return Verdict("uncertain" if doubt else "ok", f"{found}; {sure}{doubt}")


def _doubt(evidence: Evidence, limits: Limits) -> str:
    """In words, why the answer is not certain; empty where it is."""
    deg, dm = evidence.bounds
    if _length(evidence.step[:3]) > _OUTSIDE * max(deg, 0.5) or _length(evidence.step[3:]) > _OUTSIDE * max(dm, 0.5):
        return "; the best fit lies outside the bounds of the search: widen them"
    if evidence.response < CONVINCING:
        return (f"; the fit is weak (response {evidence.response:.2f}, a wrong image can give 0.37): use more frames, "
                "and check that image and cloud belong together")
    if evidence.sides < SIDES:
        return "; hardly any upright edge agrees: use frames with poles, corners or vehicles"
    if evidence.sigma_deg > limits.deg:
        return "; the rotation is weakly determined: use more frames"
    if evidence.sigma_cm > limits.cm:
        weak = _AXES[int(np.argmax(np.diag(evidence.covariance)[3:]))]
        return f"; the translation {weak} is weakly determined: use more frames, with structure near the camera"
    return ""


def _length(v: np.ndarray) -> float:
    return float(np.linalg.norm(v))
