"""One configuration: frozen dataclasses with defaults, filled from YAML; every mistake is named in words.

A part of the house declares its settings as a frozen dataclass, nested as it likes:

    @dataclass(frozen=True)
    class SolveConfig:
        threshold_px: float = option(3.0, low=0.1, high=100.0)
        backend: Literal["auto", "magsac", "poselib"] = "auto"
        REMOVED: ClassVar[Mapping[str, str]] = {"ransac_threshold": "threshold_px"}

`load_config` fills it from a mapping or a YAML file, `dump_config` writes it out again.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from . import atomic
from .errors import InputError
from .safe_yaml import read_plain

Config = TypeVar("Config")


def option(default: Any, *, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field whose value (or each of its values) must lie in low..high, both included."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def load_config(cls: type[Config], source: Mapping[str, Any] | str | Path | None = None) -> Config:
    """An instance of the dataclass `cls`: the values of `source`, defaults for all that it leaves out.

    source: a mapping, the path of a YAML file, or None for the defaults; an empty file is the defaults too.
    Raises InputError for an unknown key (naming the nearest one), a removed key (naming its successor, from the class
    attribute REMOVED: old key -> new key or advice), a wrong type and a value out of range.
    """
    where = "the configuration"
    if isinstance(source, (str, Path)):
        where = str(source)
        source = read_plain(source)
    if source is None:
        source = {}
    return _build(cls, source, where, "")


def dump_config(config: Any, path: str | Path | None = None) -> str:
    """YAML text of a configuration that `load_config` reads back to an equal one; written to `path` where given."""
    text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
    if path is not None:
        atomic.write_text(path, text)
    return text


def _build(cls: type[Config], values: Any, where: str, prefix: str) -> Config:
    """Fill one dataclass; `prefix` is the dotted path of its key with a trailing dot, empty at the top."""
    if isinstance(values, cls):
        return values
    name = prefix.rstrip(".") or "the whole"
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: {name} must be a mapping of names to values; it is {_show(values)}")
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls)) if f.init}
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: {_unknown_key(cls, key, list(fields), prefix)}")
    hints = typing.get_type_hints(cls)
    converted = {}
    for key, value in values.items():
        path = prefix + key
        converted[key] = _convert(value, hints[key], where, path)
        _check_range(converted[key], fields[key].metadata, where, path)
    try:
        return cls(**converted)
    except InputError as error:  # the dataclass checks its values together in __post_init__
        raise InputError(f"{where}: {name}: {error}") from error


def _unknown_key(cls: type, key: Any, known: list[str], prefix: str) -> str:
    """What to say of a key that `cls` does not have."""
    removed = getattr(cls, "REMOVED", {})
    if key in removed:
        return f"{prefix}{key} was removed; use {removed[key]}"
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    if near:
        return f"unknown key {prefix}{key}; did you mean {prefix}{near[0]}?"
    return f"unknown key {prefix}{key}; the keys here are {', '.join(known) or 'none'}"


def _convert(value: Any, hint: Any, where: str, path: str) -> Any:
    """`value` as the annotated type `hint`, or InputError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, where, path + ".")
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, where, path)
    if origin is Literal:
        word = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value  # YAML 1.1 reads both
        if any(word == a and type(word) is type(a) for a in arguments):
            return word
        raise InputError(f"{where}: {path} must be one of {', '.join(map(str, arguments))}; it is {_show(value)}")
    if origin in (tuple, list):
        return _convert_sequence(value, origin, arguments, where, path)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(value, "a mapping of names to values", where, path)
        return {str(k): _convert(v, arguments[1], where, f"{path}.{k}") for k, v in value.items()}
    return _convert_scalar(value, hint, where, path)


def _convert_union(value: Any, arguments: tuple[Any, ...], where: str, path: str) -> Any:
    """`X | None` and the like: the first alternative that fits."""
    if value is None and type(None) in arguments:
        return None
    problem: InputError | None = None
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return _convert(value, argument, where, path)
        except InputError as error:
            problem = problem or error
    raise problem or _wrong(value, "empty", where, path)


def _convert_sequence(value: Any, kind: type, arguments: tuple[Any, ...], where: str, path: str) -> Any:
    """tuple[X, ...], tuple[X, Y] or list[X] from any YAML list."""
    if not isinstance(value, (list, tuple)):
        raise _wrong(value, "a list", where, path)
    if kind is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(value) != len(arguments):
            raise _wrong(value, f"a list of {len(arguments)} values", where, path)
        hints = list(arguments)
    else:
        hints = [arguments[0]] * len(value)
    return kind(_convert(v, hint, where, f"{path}[{i}]") for i, (v, hint) in enumerate(zip(value, hints, strict=True)))


def _convert_scalar(value: Any, hint: Any, where: str, path: str) -> Any:
    if hint is Any:
        return value
    if hint is float:
        number = _as_float(value)
        if number is None or not math.isfinite(number):
            raise _wrong(value, "a finite number", where, path)
        return number
    if hint not in _EXPECTED:
        raise TypeError(f"{path}: settings of type {hint} are not supported")
    accepted = (str, Path) if hint is Path else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(value, _EXPECTED[hint], where, path)
    return hint(value)


_EXPECTED = {bool: "true or false", int: "a whole number", str: "text (put it in quotes)", Path: "a path"}


def _as_float(value: Any) -> float | None:
    """YAML 1.1 reads 1e-3, which lacks a point, as text: a person means a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _check_range(value: Any, metadata: Mapping[str, Any], where: str, path: str) -> None:
    low, high = metadata.get("low"), metadata.get("high")
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_range(item, metadata, where, f"{path}[{i}]")
    elif isinstance(value, (int, float)):
        if low is not None and value < low:
            raise InputError(f"{where}: {path} must be at least {low}; it is {_show(value)}")
        if high is not None and value > high:
            raise InputError(f"{where}: {path} must be at most {high}; it is {_show(value)}")


def _wrong(value: Any, expected: str, where: str, path: str) -> InputError:
    return InputError(f"{where}: {path} must be {expected}; it is {_show(value)}")


def _show(value: Any) -> str:
    """A value as a person wrote it, shortened."""
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as what YAML can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
