"""docs/ros.md: its tables are those of the code, its messages those that the node says, its links lead somewhere."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from test_ros_parameters import flat

from crossi2p_ros.bag_player.options import PlayOptions
from crossi2p_ros.generated_docs import TABLES, main, with_tables
from crossi2p_ros.parameters import PARAMETERS, settings_from

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "crossi2p_ros"
GUIDE = ROOT / "docs" / "ros.md"
# Where the diagnostics' words come from: all of these rooms, or these functions of them.
SAID_IN: dict[str, set[str]] = {
    "report.py": {"_verdict", "_verdict_on_valid", "_refusal"},
    "streams.py": {"why_no_pairs", "_why_silent"},
    "inputs.py": {"_why_not", "_events", "callback"},
    "prior.py": {"find", "_from_file", "_from_tf", "_from_parameters"},
    "gates.py": {"problem"},
    "tf_owner.py": {"publish", "_through_tree", "_refuse"},
    "diagnostics.py": {"_tell"},
}


@pytest.fixture(scope="module")
def guide() -> str:
    return GUIDE.read_text()


def phrases(node: ast.AST) -> Iterator[str]:
    """Every string below a node, with `…` for each value that is filled in, without docstrings."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from phrases(child)


def messages(path: Path, functions: set[str]) -> set[str]:
    """Sentences in these functions, up to their remedy after a semicolon."""
    found = [node for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.FunctionDef) and node.name in functions]
    assert {node.name for node in found} == functions, path.name
    texts = {text for node in found for text in phrases(node) if text.count(" ") > 2}
    return {plain(text.partition(";")[0]) for text in texts}


def plain(text: str) -> str:
    """Values beside each other as one."""
    return re.sub(r"…( …)+", "…", text).strip(" :…")


def test_the_tables_are_those_of_the_code(guide: str) -> None:
    assert set(re.findall(r"<!-- (\w+) -->", guide)) == set(TABLES)
    assert with_tables(guide) == guide, "python -m crossi2p_ros.generated_docs"


def test_tables_are_written_where_they_belong_and_nowhere_else(tmp_path: Path) -> None:
    assert main(tmp_path) == 2
    (tmp_path / "docs").mkdir()
    (tmp_path / "config").mkdir()
    before, after = "by hand | <!-- left -->\n", "\n<!-- services -->\nis cut off"
    (tmp_path / "docs" / "ros.md").write_text(f"{before}<!-- services -->\nold\n<!-- /services -->{after}")
    assert main(tmp_path) == 0
    written = (tmp_path / "docs" / "ros.md").read_text()
    assert written == f"{before}<!-- services -->\n{TABLES['services']()}<!-- /services -->{after}"
    assert (tmp_path / "config" / "register.yaml").read_text() == (ROOT / "config" / "register.yaml").read_text()


def test_every_message_of_the_diagnostics_is_explained(guide: str) -> None:
    text = plain(guide)
    for room, functions in SAID_IN.items():
        missing = [message for message in messages(PACKAGE / room, functions) if message not in text]
        assert not missing, (room, missing)


def test_no_message_is_explained_that_the_node_never_says(guide: str) -> None:
    said = {plain(text) for path in PACKAGE.glob("*.py") for text in phrases(ast.parse(path.read_text()))}
    table = re.findall(r"^\| `([^`]+)` \| (OK|WARN|ERROR) \| \S", guide, re.MULTILINE)
    assert len(table) > 20
    for shown, _ in table:
        message = plain(shown.removeprefix("TF is not published: "))
        assert any(message in text for text in said), shown


def test_what_it_names_exists(guide: str) -> None:
    known = {row.name for row in PARAMETERS}
    groups = "|".join(sorted({name.partition(".")[0] for name in known if "." in name}))
    named = set(re.findall(rf"`(?:{groups})\.\w+", guide))
    assert named and {name.lstrip("`") for name in named} <= known
    headings = {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
                for line in re.findall(r"^#+(.*)", guide, re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", guide):
        path, _, anchor = link.partition("#")
        assert (GUIDE.parent / path).exists(), link
        assert path or anchor in headings, link


def test_the_commands_that_it_shows_have_these_options(guide: str) -> None:
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL))
    assert set(re.findall(r" -p ([\w.]+):=", shell)) <= {row.name for row in PARAMETERS} | {"use_sim_time"}
    launch = (ROOT / "launch" / "register.launch.py").read_text()
    for name in re.findall(r" (\w+):=", re.sub(r" -p \S+", "", "\n".join(re.findall(r".*launch\.py.*", shell)))):
        assert f'    "{name}": (' in launch, name
    fields = {"--" + field.name for field in dataclasses.fields(PlayOptions)}
    played = re.findall(r"^bag_player .*", shell, re.MULTILINE)
    assert played and set(re.findall(r"--\w+", " ".join(played))) <= fields


def test_the_node_takes_the_parameters_that_it_shows(guide: str) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    shown = [flat(yaml.safe_load(block)["/**"]["ros__parameters"]) for block in blocks]
    assert shown and all(set(values) <= {row.name for row in PARAMETERS} for values in shown)
    assert [settings_from(values).tf_child for values in shown] == ["camera_link"]


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_parameter_file_says_at_its_head_what_it_is_and_how_it_is_used(path: Path) -> None:
    head = path.read_text().partition("/**:")[0].splitlines()
    assert head and all(line.startswith("#") for line in head)
    assert "register_node" in head[0]
    if path.stem == "register":
        assert "#     python -m crossi2p_ros.generated_docs" in head
    else:
        assert any(f"params_file:={path.name}" in line and "replay.launch.py bag:=" in line for line in head)
        assert head[0].endswith("what is not here is as in register.yaml.")
