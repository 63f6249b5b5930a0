"""Which of two answers counts: that from the guess, or that from where a network would rather start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from .flow_aligner import Approach
from .geometry import se3
from .refine.align import Alignment
from .types import Prior, Registration

LED = 2.0, 0.2  # deg, m: bounds of the search from where the flow network leads
FEWEST_LED = 12  # matches that have to agree with that; with fewer, what it drew says nothing about the frames


def led_on(near: Alignment, led: Approach, prior: Prior, aligned: Callable[[Prior], Alignment]) -> Registration:
    """What was found from a rough prior, or by `aligned` from where the flow network leads, if that fits better.

    Nothing is asked from where hardly a match speaks for it, or from beyond the bounds of the prior.
    """
    timings, better = near.timings | {"flow": led.seconds}, near
    if led.inliers >= FEWEST_LED and _within(led.T_cam_lidar, prior):
        far = aligned(Prior(led.T_cam_lidar, *LED))
        timings = summed(timings, far.timings)
        better = far if _within(far.T_cam_lidar, prior) and _fits_better(far, near) else near
    found = replace(as_registration(better), cost_before=near.cost_before, doubt_before=near.doubt_before,
                    timings=timings)
    return noting(found, f"the flow network left out {'; '.join(led.left_out)}") if led.left_out else found


def better_of(near: Registration, far: Registration, given: Prior) -> Registration:
    """What was found from the given start, unless what was found from the network's is sure, within the bounds of the
    guess, and either beats it or stands where the other does not.

    An unsure network never displaces a guess that somebody gave.
    """
    within = _within(far.T_cam_lidar, given)
    if far.status == "ok" and within and (near.status != "ok" or far.cost_after < near.cost_after):
        return replace(far, cost_before=near.cost_before, doubt_before=near.doubt_before,
                       timings=summed(near.timings, far.timings))
    why = "it lies outside the bounds of the guess" if not within else far.reason
    near = replace(near, timings=summed(near.timings, far.timings))
    return noting(near, f"the network's start led nowhere better: {why}")


def _within(T: np.ndarray, prior: Prior) -> bool:
    """Whether a pose lies within the bounds of a prior."""
    guess = np.asarray(prior.T_cam_lidar)
    return (se3.rotation_error_deg(T, guess) <= prior.max_deg and se3.translation_error_m(T, guess) <= prior.max_m)


def _fits_better(one: Alignment, other: Alignment) -> bool:
    """Whether the edges of the same frames fit one alignment better."""
    return (one.evidence is not None and one.status != "failed"
            and (other.evidence is None or one.evidence.response > other.evidence.response))


def as_registration(found: Alignment) -> Registration:
    """What is told to the outside."""
    return Registration(
        found.T_cam_lidar, found.covariance, found.status, found.reason, found.cost_before, found.cost_after,
        found.residuals.edges, found.residuals.found, found.residuals.median_px, found.overlap, found.timings,
        found.doubt_before, found.speeds, found.evidence is not None and found.evidence.convincing)


def noting(found: Registration, sentence: str) -> Registration:
    """With a sentence more in its reason."""
    return replace(found, reason=f"{found.reason}; {sentence}")


def summed(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Seconds of every stage, of two runs together."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in (*one, *other)}
