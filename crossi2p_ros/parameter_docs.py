"""The table of parameters as text: `python -m crossi2p_ros.parameter_docs yaml` makes config/register.yaml, with
`markdown` a table for docs/ros.md.

Tests compare the files with this, so that neither can fall behind the code.
"""

from __future__ import annotations

import json
import sys
import textwrap
from typing import Any

from .parameters import GROUPS, PARAMETERS, Parameter

YAML_HEAD = """\
# Parameters of register_node, all of them, with their defaults. Made from the code:
#     python -m crossi2p_ros.parameter_docs yaml > config/register.yaml
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


def markdown_text() -> str:
    """A table for docs/ros.md."""
    rows = [f"| `{row.name}` | {row.kind} | `{_value(row.default)}` | {_told(row).replace('|', '/')} |"
            for row in PARAMETERS]
    return "\n".join(["| parameter | type | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _told(row: Parameter) -> str:
    """Description, range and whether it may be set while the node runs."""
    allowed = f" [{row.low:g} .. {row.high:g}]" if row.low is not None and row.high is not None else ""
    choices = f" [{', '.join(row.choices)}]" if row.choices else ""
    return f"{row.description}{allowed}{choices}{' (live)' if row.live else ''}"


def _value(value: Any) -> str:
    """As YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    texts = {"yaml": yaml_text, "markdown": markdown_text}
    if len(sys.argv) != 2 or sys.argv[1] not in texts:
        sys.exit("usage: python -m crossi2p_ros.parameter_docs yaml|markdown")
    sys.stdout.write(texts[sys.argv[1]]())
