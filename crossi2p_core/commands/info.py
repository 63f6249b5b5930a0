"""`crossi2p info`: what is in a source."""

from __future__ import annotations

import json
from typing import Any

from ..datasets import open_source
from .options import CameraOption, JsonOption, SourceArgument
from .records import plain


def info(source: SourceArgument, camera: CameraOption = None, as_json: JsonOption = False) -> None:
    """Tell what SOURCE holds: its layout, frames, cameras, whether the extrinsic and the poses are recorded."""
    facts = plain(open_source(source, camera=camera).describe())
    print(json.dumps(facts, allow_nan=False) if as_json else "\n".join(_lines(facts)))


def _lines(facts: dict[str, Any]) -> list[str]:
    """`key: value` lines; what holds several values gets a line for each."""
    lines = []
    for key, value in facts.items():
        label = key.replace("_", " ")
        if isinstance(value, dict):
            lines += [f"{label}:", *(f"  {name}: {text}" for name, text in value.items())]
        elif isinstance(value, list):
            lines += [f"{label}:", *(f"  {item}" for item in value)]
        else:
            lines.append(f"{label}: {_word(value)}")
    return lines


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
