"""A calibration from beginning to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..audition import Start
from ..refine.prepare import Prepared
from ..registrar import Registrar
from ..types import Prior, Registration, Sample
from .agree import Agreement
from .choose import Place, apart, choose, stops
from .config import CalibrateConfig
from .cross import CrossValidation, cross_validate, few_places, leave_out, shared_error, widened
from .frames import Advance, Looked, Read
from .in_time import look_in_time
from .look import look
from .moved import Moved, moved
from .observability import in_words, sigmas
from .time_offset import LEAST_FRAMES, TimeOffset, clock_error, clock_sigma, clock_words
from .verdict import Verdict, judge

Array = np.ndarray
LEAST_DEG, LEAST_M = 0.5, 0.05  # bounds within which a joint registration searches at least
FEW_FRAMES = f"fewer than {LEAST_FRAMES} frames with an answer have a known motion"
NEAR = 3.0  # sigmas of the agreement within which it searches


@dataclass(frozen=True)
class Calibration:
    """One extrinsic from many frames.

    T_cam_lidar: (4, 4), covariance: (6, 6) as in `Registration`, widened by what cross-validation shows, by what few
    places cannot show, by what no number of frames averages out, and by what is not known of the clocks. verdict: as
    told to people. start: the prior, None from scratch.
    moved: from the start to the answer.
    looked: every frame that was registered by itself; distances: of each that has an answer from what they agree on,
    in its sigmas. samples: of the joint registration, each cloud where it was then, and used: their names. weak: what
    the frames leave open. offset: between the clocks, None where it was not looked for, and clocks: why not. doubt:
    why the start, where nobody gave one, may have been the wrong place; empty where it is not in doubt.
    """

    T_cam_lidar: Array
    covariance: Array
    verdict: Verdict
    start: Prior | None
    moved: Moved
    looked: tuple[Looked, ...]
    agreement: Agreement
    samples: tuple[Sample, ...]
    joint: Registration
    cross: CrossValidation | None
    weak: tuple[str, ...]
    offset: TimeOffset | None = None
    clocks: str = ""
    doubt: str = ""

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(sample.name for sample in self.samples)


def calibrate(read: Read, prior: Prior | None, registrar: Registrar, config: CalibrateConfig,
              advance: Advance) -> Calibration:
    """The extrinsic of the one rig that the frames share.

    prior: where it is about, None: nobody knows. advance: told what is being done, and how far it is. Raises InputError
    where no frame can be registered, and where nobody gives a start and neither network nor edges find one.
    """
    # 1. where to start
    start = Start(prior, "") if prior is not None else registrar.guess(
        read.samples, lambda: advance("Looking all around", 0, 1))
    # 2. each by itself, and what they agree on
    seen, offset = look_in_time(read, lambda samples: look(samples, start.prior, registrar, advance))
    agreement, samples = seen.agreement, [seen.samples[i] for i in seen.which]
    # 3. those that together tell most, jointly
    weighted = np.linalg.inv(seen.covariances) * agreement.weights[:, None, None]
    places = [Place.of(sample, agreement.T) for sample in samples]
    chosen = choose(weighted, places, config)
    places = [places[i] for i in chosen]
    used = [samples[i] for i in chosen]
    near = _near(agreement, start.prior)
    advance("Registering jointly", 0, 1)
    prepared = Prepared(near)
    joint = registrar.register_joint(used, near, prepared)
    # 4. how much that depends on single frames
    cross = _cross_validate(used, joint, prepared, registrar, config, advance)
    # 5. what is known of the error, and whether that is enough
    covariance = _covariance(joint, cross, places, config) + shared_error(used[0].camera, joint.T_cam_lidar,
                                                                          config.floor_px)
    twists = [read.twists[seen.which[i]] for i in chosen] if read.twists else []
    covariance, weak = _with_clocks(covariance, joint.T_cam_lidar, offset, twists, config)
    way = moved(prior, joint.T_cam_lidar, covariance)
    sigma = sigmas(covariance, joint.T_cam_lidar)
    verdict = judge(joint, sigma, len(used), len(stops(places)), weak, start.doubt, way, config)
    looked = (*seen.looked, *read.unused)
    return Calibration(joint.T_cam_lidar, covariance, verdict, prior, way, looked, agreement, tuple(used), joint, cross,
                       weak, offset, "" if offset else read.why_still or FEW_FRAMES, start.doubt)


def _near(agreement: Agreement, start: Prior) -> Prior:
    """The agreement with its own bounds, no wider than the start's and no narrower than is worth a search."""
    degrees, metres = sigmas(agreement.covariance, agreement.T)
    return Prior(agreement.T, max(LEAST_DEG, min(start.max_deg, NEAR * degrees)),
                 max(LEAST_M, min(start.max_m, NEAR * metres)))


def _cross_validate(used: Sequence[Sample], joint: Registration, prepared: Prepared, registrar: Registrar,
                    config: CalibrateConfig, advance: Advance) -> CrossValidation | None:
    """None where there are too few frames."""
    stays = leave_out(len(used), config.folds)
    if not stays:
        return None
    done = 0

    def again(kept: Sequence[int]) -> Array:
        nonlocal done
        done += 1
        found = registrar.register_joint([used[i] for i in kept], prepared.prior, prepared).T_cam_lidar
        advance("Leaving frames out", done, len(stays))
        return found

    return cross_validate(joint.T_cam_lidar, stays, again)


def _covariance(joint: Registration, cross: CrossValidation | None, places: Sequence[Place],
                config: CalibrateConfig) -> Array:
    """(6, 6) of the joint answer, clocks and what all frames share aside."""
    covariance = joint.covariance if cross is None else widened(joint.covariance, cross.covariance)
    # it takes frames for independent; those of one stop, m of n, err alike: the variance of the mean is sum(m^2) / n^2
    repeated = sum(count**2 for count in stops(places)) / len(places)
    return covariance * repeated * few_places(apart(places, config))


def _with_clocks(covariance: Array, T: Array, offset: TimeOffset | None, twists: Sequence[Array | None],
                 config: CalibrateConfig) -> tuple[Array, tuple[str, ...]]:
    """The covariance (6, 6) of T (4, 4) with what is not known of the clocks, and what is weak, in words."""
    weak = in_words(covariance, T, config.ok_deg, config.ok_m)
    if offset is None:
        return covariance, weak
    seconds = clock_sigma(offset, config.clock_s)
    covariance = covariance + clock_error(T, twists, seconds)
    weaker = in_words(covariance, T, config.ok_deg, config.ok_m)
    return covariance, weaker if len(weaker) == len(weak) else (*weaker, clock_words(seconds))
