"""Where a registration starts: the recorded extrinsic, the same made wrong on purpose, a file, or nowhere at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..calibration_file import read_calibration
from ..errors import InputError
from ..geometry import se3
from ..types import Prior, Sample
from .results import file_stem

DEFAULT_SEARCH = (2.0, 0.20)  # degrees, metres: how wrong a calibration in use may be
LEAST_SEARCH = (0.5, 0.05)  # nothing smaller is worth a search: one frame cannot tell it from its own floor


@dataclass(frozen=True)
class Starts:
    """Gives every frame its prior.

    perturb: (degrees, metres) bounds of the error to draw, or None. seed: of that draw. init: (4, 4) T_cam_lidar to
    start from instead of the recorded one. search: (degrees, metres) how wrong the start may be. nowhere: there is no
    start, the recorded extrinsic serves for comparison alone.
    """

    perturb: tuple[float, float] | None
    seed: int
    init: np.ndarray | None
    search: tuple[float, float]
    nowhere: bool = False

    @classmethod
    def from_options(cls, perturb: tuple[float, float] | None, seed: int, init: Path | None,
                     search: tuple[float, float] | None, from_scratch: bool = False) -> Starts:
        """Checked options; InputError for those that contradict each other, a negative seed, a file of no use."""
        given = [name for name, value in (("--perturb", perturb), ("--init", init), ("--search", search))
                 if value is not None]
        if from_scratch and given:
            raise InputError(f"--from-scratch starts from no extrinsic at all, so {given[0]} has nothing to say; give "
                             "one of them")
        if perturb is not None and init is not None:
            raise InputError("--perturb starts from the recorded extrinsic and --init from a file; give one of them")
        if seed < 0:
            raise InputError(f"--seed {seed}: a seed is 0 or more")
        if search is None:
            degrees, metres = perturb or DEFAULT_SEARCH
            search = max(degrees, LEAST_SEARCH[0]), max(metres, LEAST_SEARCH[1])
        return cls(perturb, seed, None if init is None else read_calibration(init), search, from_scratch)

    def for_frame(self, sample: Sample, index: int) -> Prior | None:
        """Prior of the frame number `index` of its source: the draw is the same whichever frames run beside it.

        None where there is to be none.
        """
        return self._prior(sample, [self.seed, index])

    def for_group(self, sample: Sample) -> Prior | None:
        """One prior for all frames that share the rig of `sample`; None as in `for_frame`."""
        return self._prior(sample, self.seed)

    def _prior(self, sample: Sample, key: int | list[int]) -> Prior | None:
        if self.nowhere:
            return None
        start = sample.T_cam_lidar if self.init is None else self.init
        if start is None:
            raise InputError(f"{sample.name} has no recorded extrinsic to start from; give one with --init calib.yaml")
        if self.perturb is not None:
            start = se3.perturb(start, np.random.default_rng(key), *self.perturb)
        return Prior(start, *self.search)


def init_files(told: str, cameras: Sequence[str | None]) -> list[Path]:
    """The file that each camera starts from, by --init: a folder that an earlier run with --out filled, or one file for
    each camera with commas between.

    Raises InputError where there are not as many as cameras: two cameras of one rig look from two places.
    """
    if Path(told).is_dir():
        folders = [""] if len(cameras) == 1 else [file_stem(name or "") for name in cameras]
        return [Path(told) / folder / "extrinsic.yaml" for folder in folders]
    files = [Path(told)] if len(cameras) == 1 else [Path(word.strip()) for word in told.split(",")]
    if len(files) != len(cameras):
        raise InputError(f"--init {told} is {len(files)} of {len(cameras)} starts, and each camera has one of its own; "
                         "give a file for each with commas between, or the --out folder of an earlier run")
    return files
