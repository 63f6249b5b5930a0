"""What is written from the code: `python -m crossi2p_ros.generated_docs`, in a clone, makes config/register.yaml and
the tables of docs/ros.md anew.

Tests compare the files with this, so that neither can fall behind the code. Tables stand between `<!-- NAME -->` and
`<!-- /NAME -->`; what is outside is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from crossi2p_core import atomic

from .interface import DIAGNOSTIC_VALUES, INPUTS, OUTPUTS, SERVICES, Topic
from .parameters import GROUPS, PARAMETERS, Parameter, Settings

YAML_HEAD = """\
# Parameters of register_node, all of them, with their defaults. Made from the code:
#     python -m crossi2p_ros.generated_docs
# Those marked (live) may be set while the node runs, the others are read when it starts.
/**:
  ros__parameters:
"""
WIDTH = 112


def yaml_text() -> str:
    """A parameter file for ros2 launch and --params-file."""
    lines, group = [], ""
    for row in PARAMETERS:
        prefix, _, rest = row.name.rpartition(".")
        if prefix != group:
            lines.append(f"    {prefix}:")
            group = prefix
        indent = "      " if prefix in GROUPS else "    "
        lines += textwrap.wrap(_told(row), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        lines.append(f"{indent}{rest}: {_value(row.default)}")
    return YAML_HEAD + "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The text with the table of its name between each pair of marks. KeyError for a name that there is not."""
    marked = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
    return marked.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def _inputs() -> str:
    return _table(("topic", "type", "quality of service", "when", "what"), map(_topic, INPUTS))


def _outputs() -> str:
    return _table(("topic", "type", "quality of service", "when", "what"), map(_topic, OUTPUTS))


def _services() -> str:
    return _table(("service", "type", "what it does", "`success: false` when"),
                  ((f"`{row.name}`", row.kind, row.meaning, row.fails) for row in SERVICES))


def _parameters() -> str:
    return _table(("parameter", "type", "default", "meaning"),
                  ((f"`{row.name}`", row.kind, f"`{_value(row.default)}`", _told(row)) for row in PARAMETERS))


def _diagnostics() -> str:
    return _table(("key", "value"), ((f"`{key}`", meaning) for key, meaning in DIAGNOSTIC_VALUES.items()))


TABLES: dict[str, Callable[[], str]] = {"inputs": _inputs, "outputs": _outputs, "services": _services,
                                        "parameters": _parameters, "diagnostics": _diagnostics}


def _topic(row: Topic) -> tuple[str, ...]:
    """Cells. One that a parameter names stands there by its default."""
    name = f"`{row.name}`"
    if row.parameter:
        name = f"`{row.called('', Settings())}` (`{row.parameter}`)"
    return name, row.kind, row.qos, row.when, row.meaning


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown; a bar within a cell would end it."""
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _told(row: Parameter) -> str:
    """Description, range and whether it may be set while the node runs."""
    allowed = f" [{row.low:g} .. {row.high:g}]" if row.low is not None and row.high is not None else ""
    choices = f" [{', '.join(row.choices)}]" if row.choices else ""
    return f"{row.description}{allowed}{choices}{' (live)' if row.live else ''}"


def _value(value: Any) -> str:
    """As YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def main(root: Path) -> int:
    """Write both files of the clone at `root`; returns the exit code."""
    guide = root / "docs" / "ros.md"
    if not guide.is_file():
        print(f"error: {guide} is not there; run this in a clone of the repository", file=sys.stderr)
        return 2
    atomic.write_text(root / "config" / "register.yaml", yaml_text())
    atomic.write_text(guide, with_tables(guide.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
