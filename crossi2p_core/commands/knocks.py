"""`--knock DEG,CM@N`: a recording whose camera is knocked out of place before a frame, for trying a watch out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer

from ..datasets.source import Source, View
from ..errors import InputError
from ..types import Sample
from .options import degrees_and_metres

_WRITTEN = re.compile(r"([^@]+)@(\d+)")
KnockOption = Annotated[
    str | None,
    typer.Option("--knock", metavar="DEG,CM@N", show_default=False,
                 help="Try it: from frame number N on, the camera is so far from where it was, in a random direction."),
]
KnockSeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of --knock.")]


@dataclass(frozen=True)
class Knock:
    """A camera that is moved by exp(xi), xi (6,) in the camera frame, before frame number `at` of those looked at."""

    xi: np.ndarray
    at: int

    def seen(self, sample: Sample, number: int) -> Sample:
        """The frame number `number` as this camera sees it; its extrinsic is the true one."""
        from ..monitor.knock import knocked

        return sample if number < self.at else knocked(sample, self.xi)


class Knocked(View):
    """A source whose camera is knocked, as a robot records it that nobody has told: the extrinsic stays the old one."""

    def __init__(self, parent: Source, knock: Knock) -> None:
        super().__init__(parent, range(len(parent)))
        self.knock = knock

    def _load(self, index: int) -> Sample:
        sample = super()._load(index)
        return replace(self.knock.seen(sample, index), T_cam_lidar=sample.T_cam_lidar)

    def identity(self) -> str:
        """With the knock."""
        return f"{super().identity()} knock={self.knock.xi.tolist()}@{self.knock.at}"


def read_knock(text: str | None, seed: int, frames: int) -> Knock | None:
    """Of DEG,CM@N, for a recording of so many frames; None stays None. Raises InputError for anything else."""
    from ..monitor.knock import random_knock

    if text is None:
        return None
    match = _WRITTEN.fullmatch(text)
    amount = degrees_and_metres(match[1], "--knock") if match else None
    if match is None or amount is None:
        raise InputError(f"--knock {text}: write degrees, centimetres and the frame's number, such as 1,5@25")
    if int(match[2]) >= frames:
        raise InputError(f"--knock {text}: the last of these {frames} frames is number {frames - 1}, so nobody would "
                         "see it; name an earlier one")
    return Knock(random_knock(*amount, np.random.default_rng(seed)), int(match[2]))
