"""What a parameter file says to one node: names of nodes, wildcards, namespaces, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossi2p_core.errors import InputError
from crossi2p_ros.parameter_file import written_parameters

ROOT = Path(__file__).resolve().parent.parent
NODE, IN_FRONT = "/register_node", "/front/register_node"


@pytest.mark.parametrize(("pattern", "node", "counts"), [
    ("/**", NODE, True), ("/**", IN_FRONT, True), ("register_node", NODE, True), ("/register_node", NODE, True),
    ("/**/register_node", NODE, True), ("/**/register_node", IN_FRONT, True), ("/*/register_node", IN_FRONT, True),
    ("/front/*", IN_FRONT, True), ("/front/register_node", IN_FRONT, True), ("/register_node", IN_FRONT, False),
    ("/*/register_node", NODE, False), ("/rear/register_node", IN_FRONT, False), ("/register.node", NODE, False)])
def test_a_section_counts_for_the_nodes_that_it_names(tmp_path: Path, pattern: str, node: str, counts: bool) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{pattern}:\n  ros__parameters: {{lidar_frame: velodyne}}\n")
    assert written_parameters(path, node) == ({"lidar_frame": "velodyne"} if counts else {})


def test_namespaces_may_be_levels_and_later_sections_win(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("/**: {ros__parameters: {lidar_frame: top, cloud_topic: /points}}\n"
                    "front: {register_node: {ros__parameters: {lidar_frame: velodyne}}}\n")
    assert written_parameters(path, IN_FRONT) == {"lidar_frame": "velodyne", "cloud_topic": "/points"}
    assert written_parameters(path, NODE)["lidar_frame"] == "top"


def test_our_own_files_name_the_cloud() -> None:
    assert written_parameters(ROOT / "config" / "kitti.yaml", NODE)["lidar_frame"] == "lidar"
    assert written_parameters(ROOT / "config" / "register.yaml", IN_FRONT)["cloud_topic"] == "/lidar/points"


@pytest.mark.parametrize("text", ["", "42", "[1, 2]", "/**: {ros__parameters: 7}"])
def test_what_says_nothing_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert written_parameters(tmp_path / "mine.yaml", NODE) == {}


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=r"mine\.yaml cannot be read as a parameter file"):
        written_parameters(tmp_path / "mine.yaml", NODE)
