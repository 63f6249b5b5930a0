"""Every frame by itself, and what all agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..registrar import Registrar
from ..types import Prior, Registration, Sample
from .agree import Agreement, agree
from .frames import Advance, Looked

Array = np.ndarray


@dataclass(frozen=True)
class Seen:
    """samples: of all frames, and looked: what each said by itself. which: indices of those that have an answer.
    agreement: of these."""

    samples: tuple[Sample, ...]
    looked: tuple[Looked, ...]
    which: tuple[int, ...]
    agreement: Agreement

    @property
    def answers(self) -> list[Registration]:
        return [found for one in self.looked if (found := one.found) is not None]

    @property
    def covariances(self) -> Array:
        """(n, 6, 6) of the answers."""
        return np.array([found.covariance for found in self.answers])

    @property
    def frames_agree(self) -> float:
        """Share of the frames, each counted as much as it goes with the others: 1 where all do within their sigmas."""
        return float(self.agreement.weights.sum()) / len(self.looked)

    @property
    def fit(self) -> float:
        """How well images and clouds go together, higher is better: mean of the frames, 0 for those without answer."""
        return -sum(found.cost_after for found in self.answers) / len(self.looked)


def look(samples: Sequence[Sample], start: Prior, registrar: Registrar, advance: Advance) -> Seen:
    """Register each. Raises InputError where none can be registered."""
    looked = []
    for done, sample in enumerate(samples, 1):
        found = registrar.register(sample, start)
        kept = found if found.status != "failed" and np.isfinite(found.covariance).all() else None
        looked.append(Looked(sample.name, kept, found.reason))
        advance("Registering each frame", done, len(samples))
    which = tuple(i for i, one in enumerate(looked) if one.found is not None)
    if not which:
        raise InputError(f"no frame can be registered from this start: {looked[0].name}: {looked[0].reason}")
    answers = [one.found for one in looked if one.found is not None]
    agreement = agree(np.array([found.T_cam_lidar for found in answers]),
                      np.array([found.covariance for found in answers]))
    return Seen(tuple(samples), tuple(looked), which, agreement)
