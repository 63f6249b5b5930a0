"""Which frames of a source a command works on."""

from __future__ import annotations

import re

from ..errors import InputError
from .source import Source, View

_SLICE = re.compile(r"(-?\d{1,9})?:(-?\d{1,9})?(?::(-?\d{1,9})?)?")
_NUMBER = re.compile(r"-?\d{1,9}")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")


def select_frames(source: Source, text: str | None) -> list[int]:
    """Indices of the frames that `--frames` names, in the order given, each once; None means all.

    Raises InputError for a frame that does not exist and for a selection without any frame.
    """
    if text is None:
        return list(range(len(source)))
    chosen: dict[int, None] = {}
    for part in text.split(","):
        chosen.update(dict.fromkeys(_indices(source, part.strip())))
    if not chosen:
        raise InputError(f"--frames {text} selects none of the {len(source)} frames of {source.path}; try --frames 0:1")
    return list(chosen)


def _indices(source: Source, part: str) -> list[int]:
    """Indices that one part between commas stands for: a slice, a range from 0-5 with both its ends, a number
    (negative counts from the end) or a name."""
    count = len(source)
    if match := _SLICE.fullmatch(part):
        start, stop, step = (None if number is None else int(number) for number in match.groups())
        if step == 0:
            raise InputError(f"--frames {part}: the step of a slice must not be 0")
        return list(range(count)[start:stop:step])
    if _NUMBER.fullmatch(part) and part not in source.names:
        if not -count <= int(part) < count:
            raise InputError(f"--frames {part}: {source.path} has {count} frames, numbered 0 to {count - 1}")
        return [int(part) % count]
    if (match := _RANGE.fullmatch(part)) and part not in source.names:
        return list(range(count)[int(match[1]):int(match[2]) + 1])
    return [source.index_of(part)]


def select_view(source: Source, text: str | None) -> Source:
    """The frames that `--frames` names as a lazy source of their own."""
    return source if text is None else View(source, select_frames(source, text))
