"""The settings of a run from a YAML file and `key=value` words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..config import dump_config, load_config
from ..errors import InputError
from ..model.config import PRESETS, preset
from ..safe_yaml import parse_yaml, read_plain
from .config import TrainConfig


def read_config(path: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Settings of a YAML file, changed by words such as `lr=1e-3`, `gradnorm.mode=off` or `sources.0.weight=2`.

    `network` is a preset, a YAML file, or a mapping whose key `preset` names either and whose other keys change it.
    Raises InputError for whatever cannot be understood.
    """
    values = read_plain(path)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold names and values, such as steps: 1000")
    if isinstance(values.get("network"), str):
        values["network"] = {"preset": values["network"]}
    for word in changes:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise InputError(f"{word!r} is no change of a setting; write for example lr=1e-3 or gradnorm.mode=off")
        value = parse_yaml(text, word)
        _put(values, name.split("."), {"preset": value} if name == "network" else value, word)
    if "network" in values:
        values["network"] = _network(values["network"])
    return load_config(TrainConfig, values)


def _put(values: Any, names: list[str], value: Any, word: str) -> None:
    """Set a nested value; mappings that are not there yet are made, lists take numbers."""
    name, *rest = names
    key: Any = name
    if isinstance(values, list):
        if not name.isdecimal() or int(name) >= len(values):
            raise InputError(f"{word!r}: there is no number {name} here; the last one is {len(values) - 1}")
        key = int(name)
    elif not isinstance(values, dict):
        raise InputError(f"{word!r}: {name} cannot be set, since what holds it is a plain value")
    if not rest:
        values[key] = value
        return
    if isinstance(values, dict) and values.get(key) is None:
        values[key] = {}
    _put(values[key], rest, value, word)


def _network(given: Any) -> Any:
    """The preset with its changes merged in."""
    if not isinstance(given, Mapping) or "preset" not in given:
        return given
    name = given["preset"]
    if not isinstance(name, str):
        raise InputError(f"network must name one of {', '.join(PRESETS)}, or a YAML file; it is {name!r}")
    base = read_plain(name) if name.endswith((".yaml", ".yml")) else yaml.safe_load(dump_config(preset(name)))
    return _merged(base or {}, {key: value for key, value in given.items() if key != "preset"})


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**base, **{key: _merged(base.get(key), value) for key, value in changes.items()}}
