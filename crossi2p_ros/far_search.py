"""After a move so large that nothing fits near the reference: where the camera is, by the pairs that fit nowhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from crossi2p_core.calibrate.config import CalibrateConfig
from crossi2p_core.calibrate.frames import Read
from crossi2p_core.calibrate.run import calibrate
from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar
from crossi2p_core.types import Registration, Sample

APART_S = CalibrateConfig.apart_s  # pairs nearer in time have seen the same, and count as one


class Misfits:
    """The newest pairs that show enough and fit nowhere, each of another place: up to `wanted`."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: deque[tuple[Sample, int | None]] = deque(maxlen=wanted)

    def add(self, sample: Sample, place: int | None) -> None:
        """One more, unless it saw what another one saw; place: a number, None where nobody knows."""
        if place is not None and any(place == other for _, other in self._kept):
            return
        before = self._kept[-1][0].stamp_cloud if self._kept else None
        if before is None or sample.stamp_cloud is None or not 0 <= sample.stamp_cloud - before < APART_S:
            self._kept.append((sample, place))

    def clear(self) -> None:
        """What has been seen so far says nothing any more."""
        self._kept.clear()

    def take(self) -> list[Sample]:
        """All of them, once there are as many as wanted, and then they are gone: no two searches go by the same."""
        if len(self._kept) < self._wanted:
            return []
        taken = [sample for sample, _ in self._kept]
        self._kept.clear()
        return taken


def search_from_scratch(samples: Sequence[Sample], reference: np.ndarray, registrar: Registrar,
                        wanted: Callable[[], bool]) -> Registration:
    """Where the camera is, by these together, as `crossi2p calibrate --from-scratch` finds it.

    A search that finds nothing has failed, and says why; its extrinsic is the reference (4, 4) then. wanted: asked now
    and then; a search that nobody wants any more ends.
    """
    def advance(*_: object) -> None:
        if not wanted():
            raise InputError("the search was broken off")

    try:
        found = calibrate(Read(tuple(samples), ()), None, registrar, CalibrateConfig(), advance)
    except InputError as error:
        return Registration(reference, np.full((6, 6), np.inf), "failed", f"from scratch: {error}")
    return replace(found.joint, T_cam_lidar=found.T_cam_lidar, covariance=found.covariance,
                   status=found.verdict.status, reason=f"from scratch: {found.verdict.reason}")
