"""The launch files: their arguments are the documented ones, and the real launch starts what they promise."""

from __future__ import annotations

import ast
import re
import shlex
import xml.etree.ElementTree as ElementTree
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossi2p_core.datasets.bag_layout import BagLayout
from crossi2p_ros.interface import OUTPUTS
from crossi2p_ros.parameters import PARAMETERS, Settings, settings_from
from crossi2p_ros.shared_files import FORMER_PROFILE_VARIABLE, PROFILE_VARIABLE, profile_variable

ROOT = Path(__file__).resolve().parent.parent
FILES = {name: ROOT / "launch" / f"{name}.launch.py" for name in ("register", "replay")}
NAME = "register_node"
REASON = "needs launch and launch_ros, which come with a ROS distribution and are not on PyPI"


def constant(name: str, variable: str) -> Any:
    """A constant at the top of a launch file, read without importing anything."""
    for node in ast.parse(FILES[name].read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == variable:
            return ast.literal_eval(node.value)
    raise AssertionError(f"no {variable} in {FILES[name]}")


@pytest.mark.parametrize("name", FILES)
def test_arguments_are_the_documented_ones(name: str) -> None:
    compile(FILES[name].read_text(), str(FILES[name]), "exec")
    section = (ROOT / "docs" / "launch.md").read_text().split(f"## {name}.launch.py")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? *\|", section, re.MULTILINE))
    arguments = constant(name, "ARGUMENTS")
    assert rows == {argument: default or "" for argument, (default, _, _) in arguments.items()}
    for default, description, choices in arguments.values():
        assert len(description) > 2 and (not choices or default in choices)


def test_what_is_handed_on_are_parameters_of_the_node() -> None:
    handed_on = set(constant("register", "PARAMETERS"))
    assert handed_on <= {row.name for row in PARAMETERS} & set(constant("register", "ARGUMENTS"))
    modes = next(row.choices for row in PARAMETERS if row.name == "mode")
    assert constant("register", "ARGUMENTS")["mode"][2] == ("", *modes)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_node_takes_every_parameter_file(path: Path) -> None:
    values = dict(flat(yaml.safe_load(path.read_text())["/**"]["ros__parameters"]))
    kinds = {row.name: row for row in PARAMETERS}
    assert set(values) <= set(kinds), path
    assert all(type(value) is type(kinds[name].default) or isinstance(value, list) for name, value in values.items())
    settings = settings_from(values)
    assert (settings.image_topic, settings.cloud_topic) == (BagLayout().image_topic, BagLayout().cloud_topic)


def flat(values: dict[str, Any], prefix: str = "") -> Any:
    """Names with dots, and values."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_rviz_is_told_the_names_of_its_configuration() -> None:
    assert constant("register", "CLOUD_IN_RVIZ") == Settings().cloud_topic
    assert constant("register", "NODE") == NAME
    shown = re.findall(r"Value: (/\S+)", (ROOT / "rviz" / "register.rviz").read_text())
    ours = {f"/{NAME}/{each.name[2:]}" for each in OUTPUTS if each.name.startswith("~/")}
    assert set(shown) <= ours | {Settings().cloud_topic}  # what the launch file maps where there is a namespace


def test_ros_can_install_what_the_launch_files_import() -> None:
    declared = {node.text for node in ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    names = {(node.module or "").partition(".")[0] for path in FILES.values()
             for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    assert names & {"launch", "launch_ros"} and names - {"pathlib", "shlex"} <= declared | {
        "crossi2p_core", "crossi2p_ros"}


@pytest.fixture()
def started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """The context and all entities of register.launch.py after real launch has evaluated it with some arguments."""
    pytest.importorskip("launch_ros", reason=REASON)
    from launch import LaunchContext

    for name in (PROFILE_VARIABLE, FORMER_PROFILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    context = LaunchContext()
    context.launch_configurations.update(request.param)
    description = module("register").generate_launch_description()
    entities: list[Any] = []
    waiting = list(description.entities)
    while waiting:
        entity = waiting.pop(0)
        entities.append(entity)
        if type(entity).__name__ in ("DeclareLaunchArgument", "OpaqueFunction", "SetEnvironmentVariable"):
            waiting += entity.visit(context) or []
    return context, entities


def module(name: str) -> Any:
    """A launch file as a module."""
    spec = util.spec_from_file_location(f"{name}_launch", FILES[name])
    assert spec is not None and spec.loader is not None
    loaded = util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def kinds(entities: list[Any]) -> list[str]:
    return [type(entity).__name__ for entity in entities]


@pytest.mark.parametrize("started", [{}], indirect=True)
def test_real_launch_starts_the_node_and_leads_it_through_its_states(started: tuple[Any, list[Any]]) -> None:
    context, entities = started
    assert kinds(entities).count("LifecycleNode") == 1 and "Node" not in kinds(entities)
    assert kinds(entities).count("RegisterEventHandler") == 1 and "EmitEvent" in kinds(entities)
    handler = next(entity for entity in entities if type(entity).__name__ == "RegisterEventHandler").event_handler
    assert handler.handle_once  # who configures it by hand later finds it inactive
    assert context.environment[profile_variable()].endswith("config/fastdds_large_messages.xml")


@pytest.mark.parametrize("started", [{"bag": "drive", "autostart": "false"}], indirect=True)
def test_real_launch_plays_a_bag_once_the_node_is_active(started: tuple[Any, list[Any]]) -> None:
    _, entities = started
    assert kinds(entities).count("RegisterEventHandler") == 1 and "EmitEvent" not in kinds(entities)
    handler = next(entity for entity in entities if type(entity).__name__ == "RegisterEventHandler").event_handler
    assert handler.handle_once and type(handler).__name__ == "OnStateTransition"


@pytest.mark.parametrize("started", [{"namespace": "front"}], indirect=True)
def test_real_launch_puts_the_node_into_a_namespace(started: tuple[Any, list[Any]]) -> None:
    context, entities = started
    node = next(entity for entity in entities if type(entity).__name__ == "LifecycleNode")
    node._perform_substitutions(context)
    assert node.node_name == f"/front/{NAME}"


def test_real_launch_shows_in_rviz_what_the_parameter_file_names(tmp_path: Path) -> None:
    pytest.importorskip("launch_ros", reason=REASON)
    path = tmp_path / "mine.yaml"
    path.write_text("/front/register_node: {ros__parameters: {lidar_frame: velodyne, cloud_topic: /velodyne_points}}")
    given = {"params_file": str(path), "namespace": "front", "lidar_frame": "", "cloud_topic": "",
             "use_sim_time": "auto"}
    frame, names, sim_time = module("register").shown_in_rviz(given)
    assert frame == "velodyne" and dict(names)["/lidar/points"] == "/velodyne_points"
    assert dict(names)[f"/{NAME}/overlay"] == f"/front/{NAME}/overlay"
    assert not sim_time
    path.write_text("/**: {ros__parameters: {use_sim_time: true}}")
    changed = given | {"namespace": "", "lidar_frame": "top"}
    assert module("register").shown_in_rviz(changed) == ("top", [], True)
    assert module("register").shown_in_rviz(changed | {"use_sim_time": "false"}) == ("top", [], False)


def test_real_launch_leads_the_node_whatever_the_parameter_file_says_and_leaves_it_the_time() -> None:
    pytest.importorskip("launch_ros", reason=REASON)
    register = module("register")
    given = {name: default for name, (default, _, _) in register.ARGUMENTS.items()}
    assert register.overrides(given) == {"autostart": False}
    told = register.overrides(given | {"use_sim_time": "true", "mode": "manual"})
    assert told == {"autostart": False, "use_sim_time": True, "mode": "manual"}


@pytest.mark.parametrize(("given", "last"), [
    ({}, ["--decalibrate", "2,10"]),
    ({"bag_arguments": "--wait 3 --topics '/a b'"}, ["--wait", "3", "--topics", "/a b"])])
def test_real_launch_adds_further_options_of_the_player(given: dict[str, str], last: list[str]) -> None:
    pytest.importorskip("launch_ros", reason=REASON)
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update({"bag": "drive", "decalibrate": "2,10"} | given)
    replay = module("replay")
    for entity in replay.generate_launch_description().entities[:-1]:
        entity.visit(context)
    (include,) = replay.start(context)
    told = dict(include.launch_arguments)
    words = shlex.split(told["bag_arguments"])
    assert words[-len(last):] == last and words[:2] == ["--rate", "1.0"] and "--decalibrate" in words


def test_real_launch_lists_the_arguments() -> None:
    pytest.importorskip("launch_ros", reason=REASON)
    for name in FILES:
        declared = module(name).generate_launch_description().get_launch_arguments()
        arguments = constant(name, "ARGUMENTS")
        assert [each.name for each in declared] == list(arguments)
        assert all(each.description.startswith(arguments[each.name][1]) for each in declared)
