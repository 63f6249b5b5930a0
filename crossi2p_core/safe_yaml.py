"""Read YAML and JSON that a stranger may have written: plain data comes out, or one sentence says what is wrong."""

import json
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24


def read_plain(path: str | Path) -> Any:
    """Content of a small YAML or JSON file as dicts, lists, strings and numbers.

    Raises InputError for a file that is missing, unreadable, larger than `MAX_BYTES`, not UTF-8 or not valid.
    """
    text = _read_text(Path(path), MAX_BYTES, "a settings file")
    return _parse_json(text, str(path)) if Path(path).suffix == ".json" else parse_yaml(text, str(path))


def read_json(path: str | Path, max_bytes: int) -> Any:
    """Content of a JSON file of ours, whatever its name ends in, of up to `max_bytes`; errors as `read_plain`."""
    return _parse_json(_read_text(Path(path), max_bytes, "what crossi2p writes there"), str(path))


def _read_text(path: Path, max_bytes: int, what: str) -> str:
    """what: is never larger."""
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a file; give the path of a YAML file")
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    if len(data) > max_bytes:
        raise InputError(f"{path} is larger than {max_bytes // 1024} KiB; {what} is never that large")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file (byte {error.start} is not UTF-8); give a YAML file") from error


def parse_yaml(text: str, where: str) -> Any:
    """Data of a YAML text; `where` names it in errors.

    Only plain data is built (`yaml.safe_load`). Aliases, which can blow a few lines up to gigabytes, and nesting
    deeper than `MAX_DEPTH` are refused before anything is built, and so are keys given twice.
    """
    try:
        _check_events(text, where)
        _check_keys(yaml.compose(text, Loader=yaml.SafeLoader), where)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML{_place(error)}: {_problem(error)}") from error
    except InputError:
        raise
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
        # a date or number that cannot exist, such as 2024-13-45, or a tag that does not fit, such as !!bool maybe
        raise InputError(f"{where} holds a value that cannot be read: {error!r}") from error


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except KeyError as error:
        raise InputError(f"{where} has {error.args[0]!r} twice; leave one of them out") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: {error}") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises KeyError for a key that stands in it twice, of which json would silently keep the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise KeyError(key)
        found[key] = value
    return found


def _check_events(text: str, where: str) -> None:
    """Refuse aliases and deep nesting; the event stream holds nothing in memory."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{where} uses a YAML alias (*{event.anchor}); write the value out")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH:
            raise InputError(f"{where} is nested deeper than {MAX_DEPTH} levels; this is no settings file")


def _check_keys(node: yaml.Node | None, where: str) -> None:
    """Refuse a key that stands twice in one mapping: YAML would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_keys(child, where)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, child in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise InputError(f"{where} gives {key.value!r} twice (line {key.start_mark.line + 1}); keep one")
            seen.add(key.value)
        _check_keys(child, where)


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"


def _problem(error: yaml.YAMLError) -> str:
    """The parser's own words on one line."""
    return " ".join(str(getattr(error, "problem", None) or error).split())
