"""Where to start: of all places that a network or edges all around think of, the one that the images agree with most.

A weak network takes the street ahead for the one behind: both are straight, with walls at their sides. The edges of six
frames tell them apart, so with several frames each place that the network thinks of is refined from, and the one that
fits best is the start; where these leave it open, headings all around are looked at as well, and then poses all about
what the network thinks of. The edges of few frames fit nearly anywhere: there places are judged by edges and network
together. Frames that show nothing do not count, and those of one place (a robot that is parked) count once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .errors import InputError
from .geometry import se3
from .headings import all_around, look_at
from .matcher import Estimate
from .motion.standing import of_places
from .refine.align import Alignment, align
from .refine.config import RefineConfig
from .refine.judge import discounted
from .refine.prepare import shows_nothing
from .sweep import Says, sweep
from .types import Prior, Sample

Between = Callable[[], None]

SEVERAL = 5  # places from which on edges decide between the network's places
HEARD = 6  # frames, spread over all, that they decide by
LOOKED = 3  # frames by which many places are compared
REACH_DEG, REACH_M = 6.0, 1.2  # bounds of the search from each of the network's places: so far off are its answers
APART_DEG, APART_M = 1.0, 0.2  # alignments that end nearer to each other have found the same
AHEAD = 1.2  # times the response of the second best place: less is no decision
PROMISING = 3  # places of many that are followed
SWEPT = 3  # of those that a sweep about the network's guesses finds
START = 2.0, 0.2  # bounds within which all frames then search: a few have found it nearly
NETWORK = 400.0  # log odds of one frame by the network that count like a response of 1 of its edges
SURE_MARGIN = 30.0  # log odds between the best pose and any other; few wrong answers of the package's weights have more
START_DEG, START_M = (2.0, 10.0), (0.2, 0.5)  # bounds of the search from one frame's answer
SURE_RESPONSE, SURE_SIDES = 0.6, 0.9  # of few frames without a network: below these they fit at wrong places, too
SURE_VALUE = 0.95  # likewise of edges and network together; wrong answers had up to 0.88
MORE = f"give a prior, or frames of {SEVERAL} or more places"
MORE_PLACES = "give a prior, or frames of more places"


@dataclass(frozen=True)
class Start:
    """Where to search, and in words why it may be the wrong place, empty where it is not in doubt."""

    prior: Prior
    doubt: str


def find_start(samples: Sequence[Sample], estimate: Estimate, config: RefineConfig, device: torch.device) -> Start:
    """Where to search, where a network answers within the bounds of a guess: what edges all around say is not asked."""
    witnesses = _witnesses(samples, config)
    if nothing := shows_nothing(witnesses[0], config):
        return Start(_spread_of(estimate), f"no frame shows anything: {nothing}")
    if len(witnesses) < SEVERAL:
        return Start(_spread_of(estimate), _doubt(estimate))
    # 1. from everywhere that the network thinks of
    heard = _heard(spread(witnesses, HEARD), estimate, config, device)
    # 2. the one that fits best, if any does
    if not _fits(heard[0]):
        return _nowhere(heard[0], estimate)
    # 3. how clear that is
    return Start(Prior(heard[0].T_cam_lidar, *START), _doubt_among(heard))


def find_anywhere(samples: Sequence[Sample], estimate: Estimate | None, config: RefineConfig, device: torch.device,
                  silent: str = "", between: Between = lambda: None) -> Start:
    """Where to search where nobody has a guess. estimate: what a network says; None: there is none, or it has no
    answer, and silent: why not. between: see `look_at`. Raises InputError where there is none and the edges fit
    nowhere."""
    witnesses = _witnesses(samples, config)
    few, some = len(witnesses) < SEVERAL, spread(witnesses, HEARD)
    says = _opinion_of(estimate.log_odds) if few and estimate is not None else None
    # 1. where a network is sure of few frames, if their edges say so, too
    sure = _spread_of(estimate) if few and estimate is not None and not _doubt(estimate) else None
    if sure is not None and not _doubt_of_few(_aligned([sure], some, config, device, between), says):
        return Start(sure, "")
    # 2. from everywhere that the network thinks of, if several frames clearly fit at one of these
    heard = [] if few or estimate is None else _heard(some, estimate, config, device, between)
    # 3. else from all around as well
    if not heard or _doubt_among(heard):
        places = [*all_around(), *([] if sure is None else [sure])]
        heard = _best_first([*heard, *_followed(places, some, says, config, device, between)], says)
    # 4. the camera may stand apart from its LiDAR: edges about all that the network thinks of
    if estimate is not None and (not _fits(heard[0]) or _left_open(heard, few, says)):
        about, quickly = np.array([*_places(estimate), *estimate.guesses]), _opinion_of(estimate.glance)
        swept = sweep(about, quickly, spread(some, LOOKED), config, device, SWEPT, between) or _places(estimate)
        apart = _aligned([Prior(T, REACH_DEG, REACH_M) for T in swept], some, config, device, between)
        heard = _best_first([*heard, *apart], says)
    if not _fits(heard[0]):
        return _nowhere(heard[0], estimate, silent)
    # 5. how clear that is
    doubt = _left_open(heard, few, says)
    return Start(Prior(heard[0].T_cam_lidar, *START), "; ".join(filter(None, (doubt, silent if doubt else ""))))


def worth_showing(samples: Sequence[Sample], config: RefineConfig) -> Sequence[Sample]:
    """Those that a network is to be shown: all, but of few places only one of each, as the edges are."""
    witnesses = _witnesses(samples, config)
    return witnesses if len(witnesses) < SEVERAL else samples


def _witnesses(samples: Sequence[Sample], config: RefineConfig) -> list[Sample]:
    """Those that show something, one of each place; the first where none shows anything, for its reason."""
    return of_places([sample for sample in samples if not shows_nothing(sample, config)]) or [samples[0]]


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` of them, evenly apart."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), count)).round().astype(int))
    return [samples[i] for i in chosen]


def _places(estimate: Estimate) -> list[np.ndarray]:
    """The likeliest (4, 4) that the network thinks of."""
    return [*estimate.tops, estimate.T_cam_lidar]


def _opinion_of(log_odds: Says) -> Says:
    """What the network says of poses (K, 4, 4) in responses of edges (K,): where it saw little of a place that is
    right, edges alone prefer one of many that are not."""
    return lambda poses: log_odds(poses) / NETWORK


def _heard(some: Sequence[Sample], estimate: Estimate, config: RefineConfig, device: torch.device,
           between: Between = lambda: None) -> list[Alignment]:
    """Where the network's places lead, the one that fits best first."""
    places = [Prior(T, REACH_DEG, REACH_M) for T in _places(estimate)]
    return _best_first(_aligned(places, some, config, device, between))


def _aligned(places: Sequence[Prior], some: Sequence[Sample], config: RefineConfig, device: torch.device,
             between: Between) -> list[Alignment]:
    """Where each of them leads, in their order."""
    found = []
    for place in places:
        between()
        found.append(align(some, place, config, device))
    return found


def _followed(places: Sequence[Prior], some: Sequence[Sample], says: Says | None, config: RefineConfig,
              device: torch.device, between: Between) -> list[Alignment]:
    """Where the most promising of many places lead, looked at quickly first; one that has failed where none fits."""
    rough = _best_first(look_at(places, spread(some, LOOKED), config, device, between), says)
    promising: list[Alignment] = []
    for found in rough:
        if len(promising) < PROMISING and _fits(found) and all(_elsewhere(found, other) for other in promising):
            promising.append(found)
    return _aligned([Prior(found.T_cam_lidar, *START) for found in promising], some, config, device,
                    between) or rough[:1]


def _best_first(heard: Sequence[Alignment], says: Says | None = None) -> list[Alignment]:
    """Those that have failed last, whatever is said of them."""
    return sorted(heard, key=lambda found: (_fits(found), _value(found, says)), reverse=True)


def _value(found: Alignment, says: Says | None) -> float:
    """How well the edges fit, and what the network says of that place, if it is asked."""
    return _response(found) + (0.0 if says is None else float(says(found.T_cam_lidar[None])[0]))


def _response(found: Alignment) -> float:
    """How well the edges fit."""
    if found.evidence is None:
        return -np.inf
    return discounted(found.evidence.response, found.residuals.edges / found.frames)


def _fits(found: Alignment) -> bool:
    return found.evidence is not None and found.status != "failed"


def _convinces(found: Alignment) -> bool:
    return found.evidence is not None and found.evidence.convincing


def _elsewhere(found: Alignment, best: Alignment) -> bool:
    """Whether two alignments ended in different places."""
    return (se3.rotation_error_deg(found.T_cam_lidar, best.T_cam_lidar) > APART_DEG
            or se3.translation_error_m(found.T_cam_lidar, best.T_cam_lidar) > APART_M)


def _nowhere(best: Alignment, estimate: Estimate | None, silent: str = "") -> Start:
    """Where the edges fit nowhere, the network's answer stands, in doubt. Raises InputError without one."""
    if estimate is None:
        nobody = silent or "nobody knows where to start"
        raise InputError(f"{nobody}, and the edges fit at no heading: {best.reason}")
    return Start(_spread_of(estimate), f"the edges fit at no place that was thought of: {best.reason}")


def _spread_of(estimate: Estimate) -> Prior:
    """The network's answer as a prior: three sigma of it, within what the refinement can search."""
    sigma = np.sqrt(np.nan_to_num(np.diag(estimate.covariance), nan=np.inf).clip(min=0))
    degrees, metres = 3 * np.degrees(np.linalg.norm(sigma[:3])), 3 * np.linalg.norm(sigma[3:])
    return Prior(estimate.T_cam_lidar, float(np.clip(degrees, *START_DEG)), float(np.clip(metres, *START_M)))


def _doubt(estimate: Estimate) -> str:
    if estimate.margin >= SURE_MARGIN:
        return ""
    return (f"the network was not sure where to start: its pose beats others by {estimate.margin:.1f}, "
            f"{SURE_MARGIN:g} are asked; {MORE}")


def _left_open(heard: Sequence[Alignment], few: bool, says: Says | None) -> str:
    """Why the first of these, the best, may be the wrong one, by few frames or by several."""
    return _doubt_of_few(heard, says) if few else _doubt_among(heard)


def _doubt_among(heard: Sequence[Alignment], says: Says | None = None) -> str:
    """Why the first of these, the best, may be the wrong one."""
    best = heard[0]
    if not _convinces(best):
        return f"the edges hardly fit where they fit best ({best.reason}); {MORE_PLACES}"
    others = [_value(other, says) for other in heard[1:] if _fits(other) and _elsewhere(other, best)]
    ahead = _value(best, says) - max(others, default=-np.inf)
    if ahead < (1 - 1 / AHEAD) * _response(best):  # a difference: of places side by side the network says the same
        return f"two places are about as likely (one is ahead of the other by a response of {ahead:.2f}); {MORE_PLACES}"
    return ""


def _doubt_of_few(heard: Sequence[Alignment], says: Says | None) -> str:
    """The same by few frames, whose edges fit somewhere nearly anywhere."""
    best = heard[0]
    if best.evidence is None:
        return best.reason
    edges, sides, value = _response(best), best.evidence.sides, _value(best, says)
    if says is None and (edges < SURE_RESPONSE or sides < SURE_SIDES):
        return (f"so few edges fit (response {edges:.2f}, of upright ones {sides:.2f}) that they might at a wrong "
                f"place, too ({SURE_RESPONSE:g} and {SURE_SIDES:g} are asked); {MORE}")
    if says is not None and value < SURE_VALUE:
        return (f"edges ({edges:.2f}) and network ({value - edges:.2f}) together say {value:.2f}, and of wrong places "
                f"nearly as much ({SURE_VALUE:g} are asked); {MORE}")
    return _doubt_among(heard, says)
