"""package.xml, setup.py, constraints, Makefile, README and code tell the same story."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from importlib import import_module
from pathlib import Path

import pytest
import setuptools
from command_line import crossi2p
from setuptools import Distribution

import crossi2p_core
from crossi2p_core.cli import app

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTION_OF = {"cv2": "opencv-python-headless", "yaml": "pyyaml"}  # where the import has another name
ROS_PACKAGES = {"rclpy", "sensor_msgs_py", "cv_bridge", "tf_transformations", "message_filters"}


@pytest.fixture()
def distribution(monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """What setup.py declares, without building anything."""
    declared: dict = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: declared.update(arguments))
    exec(compile(Path("setup.py").read_text(), "setup.py", "exec"), {"__name__": "__main__"})
    return Distribution(declared)


def requirements(distribution: Distribution) -> set[str]:
    """Names of all distributions that setup.py asks for, extras included, in lower case."""
    lines = list(distribution.install_requires)
    for extra in distribution.extras_require.values():
        lines += extra
    return {re.split(r"[<>=!;\[ ]", line)[0].lower() for line in lines}


def imported_packages(folder: str) -> set[str]:
    """Top-level names of everything imported anywhere below `folder`, without our own and the standard library."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"crossi2p_core", "crossi2p_ros"}


def test_package_xml_and_setup_agree(distribution: Distribution) -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("export/build_type") == "ament_python"
    assert package.findtext("name") == distribution.get_name() == "crossi2p_ros"
    assert package.findtext("version") == distribution.get_version() == crossi2p_core.__version__
    assert package.findtext("license") == distribution.get_license() == "Apache-2.0"
    assert {node.text for node in package.findall("exec_depend")} >= ROS_PACKAGES


def test_what_ros_looks_for_is_installed(distribution: Distribution) -> None:
    files = dict(distribution.data_files)
    assert files["share/ament_index/resource_index/packages"] == ["resource/crossi2p_ros"]
    installed = {Path(file) for group in files.values() for file in group}
    present = {path.relative_to(ROOT) for folder in ("launch", "config", "rviz") for path in (ROOT / folder).rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}
    assert installed >= present | {Path("package.xml")}
    assert all((ROOT / path).is_file() for path in installed)


def test_every_package_is_built(distribution: Distribution) -> None:
    with_code = {path.parent.relative_to(ROOT).as_posix().replace("/", ".")
                 for folder in ("crossi2p_core", "crossi2p_ros") for path in (ROOT / folder).rglob("*.py")}
    assert set(distribution.packages) == with_code


def test_every_import_is_declared(distribution: Distribution) -> None:
    needed = {DISTRIBUTION_OF.get(name, name).lower() for name in imported_packages("crossi2p_core")}
    assert needed <= requirements(distribution)


def test_every_ros_import_is_a_dependency_of_the_package(distribution: Distribution) -> None:
    declared = {node.text for node in ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    python = requirements(distribution)
    ros = {name for name in imported_packages("crossi2p_ros") if DISTRIBUTION_OF.get(name, name).lower() not in python}
    assert "rclpy" in ros and ros <= declared


def test_the_core_knows_no_ros() -> None:
    assert not imported_packages("crossi2p_core") & (ROS_PACKAGES | {"sensor_msgs", "tf2_ros", "crossi2p_ros"})


def test_constraints_pin_what_setup_asks_for(distribution: Distribution) -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert {line.partition("==")[0].lower() for line in lines} == requirements(distribution)


def test_executables_exist(distribution: Distribution) -> None:
    for script in distribution.entry_points["console_scripts"]:
        module, _, function = script.partition(" = ")[2].partition(":")
        assert callable(getattr(import_module(module), function))


def test_readme_names_only_what_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=`| {3})", readme)) <= targets
    commands = {command.callback.__name__ for command in app.registered_commands}
    shown = re.findall(r"^crossi2p (\w+)(.*?)(?:#|$)", readme, re.MULTILINE)
    assert {command for command, _ in shown} == commands
    for command, rest in shown:
        known = crossi2p(command, "--help").out
        assert all(option in known for option in re.findall(r"--[a-z]+", rest)), (command, rest)
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).exists(), link
