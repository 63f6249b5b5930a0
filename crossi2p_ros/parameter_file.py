"""What a parameter file of ROS says to one node, read without starting that node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from crossi2p_core.errors import InputError

MARK = "ros__parameters"


def written_parameters(path: Path, node: str) -> dict[str, Any]:
    """Values by name, those of groups nested, that the YAML file has for `node`, a full name such as
    `/front/register_node`; later sections win, as in rcl. Raises InputError where the file is no parameter file."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a parameter file ({reason}); correct it or give another") from error
    values: dict[str, Any] = {}
    for pattern, section in _sections(content, ""):
        if re.fullmatch(_expression(pattern), node):
            values.update(section)
    return values


def _sections(content: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of nodes, joined where namespaces are levels of the file, and what each has below ros__parameters."""
    if not isinstance(content, dict):
        return
    for key, below in content.items():
        if key != MARK:
            yield from _sections(below, f"{name}/{str(key).strip('/')}")
        elif isinstance(below, dict):
            yield name, below


def _expression(pattern: str) -> str:
    """The regular expression of a node's name with wildcards: ** is any number of levels, * is one."""
    levels = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    return "".join(levels.get(level, "/" + re.escape(level)) for level in pattern.split("/")[1:])
