"""Where to start from what the network says: with several frames, the place whose edges the images agree with.

A weak network takes the street ahead for the one behind: both are straight, with walls at their sides. The edges of six
frames tell them apart, so each place that the network thinks of is refined from, and the one that fits best is the
start. On one frame edges fit somewhere nearly anywhere: there the network alone has the say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .geometry import se3
from .matcher import Estimate
from .refine.align import Alignment, align
from .refine.config import RefineConfig
from .types import Prior, Sample

SEVERAL = 5  # frames from which on edges decide
HEARD = 6  # frames, spread over all, that they decide by
REACH_DEG, REACH_M = 6.0, 1.2  # bounds of the search from each place: so far off are the network's answers
APART_DEG, APART_M = 1.0, 0.2  # alignments that end nearer to each other have found the same
AHEAD = 1.2  # times the response of the second best place: less is no decision
START = 2.0, 0.2  # bounds within which all frames then search: a few have found it nearly
SURE_MARGIN = 30.0  # log odds between the best pose and any other; wrong answers of the package's weights reach 24
START_DEG, START_M = (2.0, 10.0), (0.2, 0.5)  # bounds of the search from one frame's answer


@dataclass(frozen=True)
class Start:
    """Where to search, and in words why it may be the wrong place, empty where it is not in doubt."""

    prior: Prior
    doubt: str


def find_start(samples: Sequence[Sample], estimate: Estimate, config: RefineConfig, device: torch.device) -> Start:
    """Where to search for the one extrinsic of samples that `estimate` is of."""
    if len(samples) < SEVERAL:
        return Start(_spread_of(estimate), _doubt(estimate))
    # 1. from everywhere that the network thinks of
    some = spread(samples, HEARD)
    heard = [align(some, Prior(T, REACH_DEG, REACH_M), config, device) for T in (*estimate.tops, estimate.T_cam_lidar)]
    # 2. the one that fits best, if any does
    heard.sort(key=_response, reverse=True)
    best, others = heard[0], [other for other in heard[1:] if _elsewhere(other, heard[0])]
    if best.evidence is None or best.status == "failed":
        return Start(_spread_of(estimate), f"the edges fit at no place that the network thinks of: {best.reason}")
    # 3. how clear that is
    return Start(Prior(best.T_cam_lidar, *START), _doubt_among(best, others))


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` of them, evenly apart."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), count)).round().astype(int))
    return [samples[i] for i in chosen]


def _response(found: Alignment) -> float:
    return -np.inf if found.evidence is None else found.evidence.response


def _elsewhere(found: Alignment, best: Alignment) -> bool:
    """Whether two alignments ended in different places."""
    return (se3.rotation_error_deg(found.T_cam_lidar, best.T_cam_lidar) > APART_DEG
            or se3.translation_error_m(found.T_cam_lidar, best.T_cam_lidar) > APART_M)


def _spread_of(estimate: Estimate) -> Prior:
    """The network's answer as a prior: three sigma of it, within what the refinement can search."""
    sigma = np.sqrt(np.nan_to_num(np.diag(estimate.covariance), nan=np.inf).clip(min=0))
    degrees, metres = 3 * np.degrees(np.linalg.norm(sigma[:3])), 3 * np.linalg.norm(sigma[3:])
    return Prior(estimate.T_cam_lidar, float(np.clip(degrees, *START_DEG)), float(np.clip(metres, *START_M)))


def _doubt(estimate: Estimate) -> str:
    if estimate.margin >= SURE_MARGIN:
        return ""
    return (f"the network was not sure where to start: its pose beats others by {estimate.margin:.1f}, "
            f"{SURE_MARGIN:g} are asked; give a prior, or {SEVERAL} or more frames")


def _doubt_among(best: Alignment, others: Sequence[Alignment]) -> str:
    second = max((_response(other) for other in others), default=-np.inf)
    if _response(best) < AHEAD * second:
        return (f"the edges fit about as well at two places (responses {_response(best):.2f} and {second:.2f}); give a "
                "prior, or more frames")
    return ""
