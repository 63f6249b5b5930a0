"""When the estimate takes the reference's place without being asked: after several answers in a row that agree, or
where none fits any more, by a search from scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crossi2p_core.calibrate.agree import agree
from crossi2p_core.calibrate.observability import sigmas
from crossi2p_core.monitor.evidence import Evidence
from crossi2p_core.monitor.states import differs
from crossi2p_core.monitor.watch import Seen
from crossi2p_core.types import Sample

from .far_search import Misfits
from .outcome import Outcome
from .parameters import Settings

LEAST_SEEN = 10  # answers since the move, sure of themselves or not, that together make a repair
FINER = 0.5  # of what the watch is to find: a repair has to be surer than that


@dataclass(frozen=True)
class Repaired:
    """answer: the surest of those that agree, with the extrinsic that they agree on. applied: that is to be the
    reference now. words: for people."""

    answer: Outcome
    applied: bool
    words: str


class Repair:
    """Looks at outcomes one by one. One that is `ok` and back at the reference, or that disagrees with the others,
    begins the count anew; one that is not `ok` proves nothing in either direction.

    proposed: what waits for an operator, until an answer is back at the reference, or others agree on something else.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._agreeing: list[Outcome] = []  # as many as make a repair at most: each holds an image and a cloud
        self._misfits = Misfits(settings().monitor_config.repair_frames)
        self.proposed: Outcome | None = None

    @property
    def agreeing(self) -> int:
        """How many answers in a row say by now that the reference is wrong, and agree on where the camera is."""
        return len(self._agreeing)

    def consider(self, outcome: Outcome, confirmed: bool = True, seen: Seen | None = None) -> Repaired | None:
        """Take an outcome in. confirmed: the watch, too, says that the reference is off; until then nothing follows.
        seen: where the answers since the move together see the camera, those that are not `ok` among them.

        None where nothing follows; what has been proposed is not proposed again.
        """
        settings = self._settings()
        if settings.repair_policy == "report":
            return None
        if confirmed and seen is not None and self._is_sure(seen) and self._is_news(seen.T):
            return self._conclude(_seen_from(outcome, seen), f"{seen.frames} answers in a row")
        if not outcome.valid:
            return None
        apart, found = outcome.from_reference, outcome.registration.T_cam_lidar
        if apart is not None and not settings.worth_a_warning(*apart):
            self.forget()
            return None
        if any(settings.worth_a_warning(*other.deviation(found)) for other in self._agreeing):
            self._agreeing = []
        if not self._is_news(found):
            return None
        self._agreeing = [*self._agreeing, outcome][-settings.repair_agreeing:]
        if len(self._agreeing) < settings.repair_agreeing or not confirmed:
            return None
        answer = _agreed(self._agreeing)
        return self._conclude(answer, f"{len(self._agreeing)} answers in a row") if self._differs(answer) else None

    def note(self, evidence: Evidence, sample: Sample) -> None:
        """Keep what shows enough and fits nowhere near the reference, until something fits."""
        if evidence.usable:
            self._misfits.clear()
        elif evidence.misfit:
            self._misfits.add(sample, evidence.place)

    def samples_to_search(self) -> list[Sample]:
        """Those that fit nowhere, once they are enough for a search from scratch and one is wanted; else none."""
        if self._settings().repair_policy == "report" or self.proposed is not None:
            return []
        return self._misfits.take()

    def take(self, outcome: Outcome) -> Repaired | None:
        """Take in what a search from scratch has found in many pairs, which is enough by itself; None where nothing
        follows."""
        if self._settings().repair_policy == "report" or not outcome.valid or not self._differs(outcome):
            return None
        return self._conclude(outcome, f"{outcome.searched} pairs together")

    def forget(self) -> None:
        """Former outcomes count no more."""
        self._agreeing, self.proposed = [], None
        self._misfits.clear()

    def _is_news(self, T_cam_lidar: np.ndarray) -> bool:
        """It is not what has been proposed already."""
        return self.proposed is None or self._settings().worth_a_warning(*self.proposed.deviation(T_cam_lidar))

    def _differs(self, answer: Outcome) -> bool:
        """It is not the reference over again; from scratch there is none."""
        found, before = answer.registration, answer.reference
        return before is None or differs(found.T_cam_lidar, found.covariance, before, self._settings().monitor_config)

    def _is_sure(self, seen: Seen) -> bool:
        """Enough answers, that together tell more finely than what counts as moved."""
        settings, (degrees, metres) = self._settings(), sigmas(seen.covariance, seen.T)
        return (seen.frames >= LEAST_SEEN and degrees < FINER * settings.monitor_least_deg
                and 100 * metres < FINER * settings.monitor_least_cm)

    def _conclude(self, answer: Outcome, witnesses: str) -> Repaired:
        """What these say is to become the reference, or is proposed."""
        apart = answer.from_reference
        off = "" if apart is None else f"the reference is {apart[0]:.2f} deg and {apart[1]:.1f} cm off, as "
        self.forget()
        if self._settings().repair_policy != "apply":
            self.proposed = answer
            return Repaired(answer, False, f"a repair is proposed: {off or 'the camera is where '}{witnesses} "
                                           "say; look at ~/overlay, then ~/accept and ~/save")
        done = f"repaired: {off.replace(' is ', ' was ')}" if off else "found: the camera is where "
        return Repaired(answer, True, f"{done}{witnesses} say; ~/reset takes it back")


def _agreed(answers: list[Outcome]) -> Outcome:
    """The surest answer, with the extrinsic and the covariance that all agree on."""
    surest = min(answers, key=_spread)
    found = agree(np.array([each.registration.T_cam_lidar for each in answers]),
                  np.array([each.registration.covariance for each in answers]))
    return replace(surest, registration=replace(surest.registration, T_cam_lidar=found.T, covariance=found.covariance))


def _seen_from(outcome: Outcome, seen: Seen) -> Outcome:
    """The newest outcome, with what all since the move see."""
    return replace(outcome, registration=replace(
        outcome.registration, T_cam_lidar=seen.T, covariance=seen.covariance, status="ok",
        reason=f"{seen.frames} answers since the move agree"))


def _spread(outcome: Outcome) -> float:
    """How unsure an answer is: log of the determinant of its covariance."""
    return float(np.linalg.slogdet(outcome.registration.covariance)[1])
