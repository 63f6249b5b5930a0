"""When the estimate takes the reference's place without being asked: after several answers in a row that agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .outcome import Outcome
from .parameters import Settings
from .prior import Reference


class Repair:
    """Looks at outcomes one by one. One that is `ok` and back at the reference, or that disagrees with the others,
    begins the count anew; one that is not `ok` proves nothing in either direction."""

    def __init__(self, settings: Callable[[], Settings], reference: Reference) -> None:
        self._settings, self._reference = settings, reference
        self._agreeing: list[Outcome] = []

    @property
    def agreeing(self) -> int:
        """How many answers in a row say by now that the reference is wrong, and agree on where the camera is."""
        return len(self._agreeing)

    def consider(self, outcome: Outcome) -> str:
        """Take an outcome in; returns in words what was repaired, empty where nothing was."""
        settings = self._settings()
        if settings.repair_policy != "apply" or not outcome.valid:
            return ""
        apart = outcome.from_reference
        if apart is not None and not settings.worth_a_warning(*apart):
            self._agreeing.clear()
            return ""
        found = outcome.registration.T_cam_lidar
        if any(settings.worth_a_warning(*other.deviation(found)) for other in self._agreeing):
            self._agreeing.clear()
        self._agreeing.append(outcome)
        return self._apply() if len(self._agreeing) >= settings.repair_agreeing else ""

    def forget(self) -> None:
        """Former outcomes count no more."""
        self._agreeing.clear()

    def _apply(self) -> str:
        """The surest of those that agree becomes the reference."""
        surest = min(self._agreeing, key=_spread)
        count = len(self._agreeing)
        self._agreeing.clear()
        self._reference.accept(surest.registration.T_cam_lidar, surest.lidar_frame, surest.camera_frame)
        apart = surest.from_reference
        done = ("found: the camera is where" if apart is None else
                f"repaired: the reference was {apart[0]:.2f} deg and {apart[1]:.1f} cm off, as")
        return (f"{done} {count} answers in a row say; ~/save keeps the {'answer' if apart is None else 'repair'} for "
                "the next start, ~/reset takes it back")


def _spread(outcome: Outcome) -> float:
    """How unsure an answer is: log of the determinant of its covariance."""
    return float(np.linalg.slogdet(outcome.registration.covariance)[1])
