"""The list of what is asked: drawn once, written down, and read back, so that every run asks the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import atomic
from ..errors import InputError

FORMAT = "crossi2p pairs 1"
FILE = "pairs.json"


@dataclass(frozen=True)
class Pair:
    """One question: frame `frame` of the source, called `name`; `wrong_frame` lends the wrong image (None: its own,
    mirrored).

    scan_seed: of what the scan loses (D). motion: (4, 4) T_new_lidar of the scan (A, B, D). start_error: (4, 4) what
    the start is wrong by (C). turns: rotation vectors (rad) and zooms of virtual cameras (D), tried in this order.
    """

    number: int
    frame: int
    name: str
    wrong_frame: int | None
    wrong_name: str | None
    scan_seed: int
    motion: list[list[float]] | None = None
    start_error: list[list[float]] | None = None
    turns: tuple[list[float], ...] = ()


@dataclass(frozen=True)
class PairList:
    """Pairs, and what they were drawn for: protocol, source, seed and the bounds of starts."""

    about: dict[str, Any]
    pairs: tuple[Pair, ...]

    @property
    def digest(self) -> str:
        """Of all of it: predictions carry it, so that those of another list are not taken for its own."""
        return hashlib.sha256(json.dumps([self.about, [asdict(pair) for pair in self.pairs]]).encode()).hexdigest()[:16]


def draw_pairs(names: Sequence[str], chosen: Sequence[int], rounds: int, seed: int,
               draw: Callable[[np.random.Generator], dict[str, Any]]) -> tuple[Pair, ...]:
    """Every chosen frame `rounds` times. names: of all frames of the source. draw: the transforms of one pair.

    A pair's numbers depend on seed, frame and round alone, whichever frames run beside it; its wrong image is that of
    another chosen frame, as far away as a third of them: neighbours in a drive show nearly the same.
    """
    pairs: list[Pair] = []
    for turn in range(rounds):
        for place, frame in enumerate(chosen):
            rng = np.random.default_rng([seed, frame, turn])
            drawn = draw(rng)
            wrong = _far_away(chosen, place, rng)
            pairs.append(Pair(len(pairs), frame, names[frame], wrong, None if wrong is None else names[wrong], **drawn))
    return tuple(pairs)


def _far_away(chosen: Sequence[int], place: int, rng: np.random.Generator) -> int | None:
    """One of the frames that are at least a third of all away, counted around the end; None of a single frame."""
    count = len(chosen)
    least = max(1, count // 3)
    return int(chosen[(place + int(rng.integers(least, count - least + 1))) % count]) if count > 1 else None


def write_pairs(folder: Path, wanted: PairList) -> None:
    """Write the list, unless it is there already. Raises InputError where the folder holds another one."""
    if (folder / FILE).exists():
        if read_pairs(folder) != wanted:
            raise InputError(f"{folder} holds another evaluation (see {FILE}): other frames, protocol, seed, bounds or "
                             "weights; choose another --out, or remove it")
        return
    told = {"format": FORMAT, "about": wanted.about, "pairs": [asdict(pair) for pair in wanted.pairs]}
    atomic.write_text(folder / FILE, json.dumps(told, indent=1, allow_nan=False))


def read_pairs(folder: Path) -> PairList:
    """The list of a folder; InputError where it is none."""
    path = folder / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError
        names = {field.name for field in fields(Pair)}
        if not isinstance(told["about"], dict) or any(set(one) != names for one in told["pairs"]):
            raise ValueError
        pairs = tuple(Pair(**(one | {"turns": tuple(one["turns"])})) for one in told["pairs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is not a list of pairs of crossi2p evaluate; remove it or choose another --out") \
            from error
    return PairList(told["about"], pairs)
