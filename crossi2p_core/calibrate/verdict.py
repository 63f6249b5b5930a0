"""Is this calibration good, and was the one before still good? In words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..geometry.pose_covariance import SAME
from ..types import Registration
from .config import CalibrateConfig
from .moved import Moved


@dataclass(frozen=True)
class Verdict:
    """status: ok | uncertain | failed, and the reason. start: good | wrong | unknown: the calibration that was given,
    within what this one can tell. It is `good` only if one that is off by more than `good_deg` or `good_m` would have
    been noticed."""

    status: str
    reason: str
    start: str


def judge(joint: Registration, sigma: tuple[float, float], frames: int, stops: int, weak: Sequence[str], doubt: str,
          way: Moved, config: CalibrateConfig) -> Verdict:
    """sigma: (degrees, metres) of the answer. stops: frames of a robot that stood still count once. doubt: of the
    start, where that was not given. way: from the start to the answer."""
    if joint.status == "failed":
        return Verdict("failed", joint.reason, "unknown")
    doubts = [reason for reason in (
        doubt,
        joint.reason if joint.status != "ok" else "",
        f"only {frames} frames could be used, {config.least_frames} are asked" if frames < config.least_frames else
        f"only {stops} places were seen, {config.least_frames} are asked: the robot stood still; let it drive"
        if stops < config.least_frames else "",
        *weak) if reason]
    sure = f"standard deviation {sigma[0]:.2f} deg, {100 * sigma[1]:.1f} cm from {frames} frames"
    if doubts:
        return Verdict("uncertain", "; ".join([sure, *doubts]), "unknown")
    return Verdict("ok", sure, _of_start(way, config))


def _of_start(way: Moved, config: CalibrateConfig) -> str:
    """good | wrong | unknown; a move that few frames cannot tell from none is neither good nor wrong.

    `cross.few_places` makes it so that 99 of 100 right starts are within `SAME`.
    """
    if math.isnan(way.sigmas):
        return "unknown"
    if way.sigmas > SAME:
        return "wrong"
    return "good" if way.at_most_deg < config.good_deg and way.at_most_m < config.good_m else "unknown"
