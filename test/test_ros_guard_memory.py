"""What the watch in the node keeps, and what it does not believe: files that were changed, answers that come late."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_ros_guard import Node, turned

from crossi2p_core.calibration_file import read_extrinsic, write_calibration
from crossi2p_core.geometry import se3


def kept(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "extrinsic.watch.json").read_text())
    return content


def test_it_is_kept_now_and_again_though_nothing_changes(tmp_path: Path) -> None:
    Node(tmp_path).hear(0.0, 60)
    assert kept(tmp_path)["frames"] == 50


def test_an_answer_that_was_under_way_when_another_was_accepted_tells_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, "propose")
    node.hear(0.0, 10)
    node.hear(1.5, 20, status="uncertain")
    node.guard.accept(node.guard.proposed)
    node.hear(1.5, 5)
    frames = node.guard._watch.frames
    node.answer(turned(1.5), turned(0.0))
    assert node.guard._watch.frames == frames
    np.testing.assert_allclose(node.guard._watch.T_in_use, node.reference.find("lidar", "camera", 0))


def test_after_a_restart_the_first_answer_started_elsewhere_and_does_not_count(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(1.5, 8)
    again = Node(tmp_path)
    again.hear(1.5)
    assert again.guard._watch.frames == kept(tmp_path)["frames"] and again.guard.agreeing == 0


def test_the_second_of_two_repairs_survives_a_restart(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for degrees, count in ((0.0, 10), (1.5, 20), (3.0, 20)):
        node.hear(degrees, count)
    assert node.guard.repairs == 2
    again = Node(tmp_path)
    again.hear(3.0)
    assert se3.rotation_error_deg(again.reference.find("lidar", "camera", 0), turned(3.0)) < 0.5


def test_what_was_accepted_after_a_repair_stands_in_the_place_of_the_first(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(1.5, 20)
    node.reference.accept(turned(3.0), "lidar", "camera")
    node.guard.in_use = None
    node.hear(3.0, 20)
    np.testing.assert_allclose(kept(tmp_path)["instead_of"], turned(0.0), atol=1e-9)


def test_nothing_is_looked_for_from_scratch_while_links_move(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.settings = replace(node.settings, prior_source="tf")
    for k in range(30):
        start = se3.make(np.eye(3), np.array([0.0, 0.0, 0.05 * k])) @ turned(0.0)
        node.answer(start, start, fits=k < 5)
    assert node.guard.moves and node.guard._watch.standing.lost
    assert not node.guard.lost(("lidar", "camera"), start)


def test_what_was_found_from_nothing_is_taken_up_only_with_its_file(tmp_path: Path) -> None:
    Node(tmp_path, prior=None).hear(40.0, 6)
    (tmp_path / "extrinsic.yaml").unlink()
    again = Node(tmp_path, prior=None)
    again.hear(40.0)
    assert not again.reference.accepted


def test_a_covariance_counts_for_its_own_calibration_alone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.hear(0.0, 10)
    node.hear(1.5, 8)
    path = tmp_path / "extrinsic.yaml"
    write_calibration(path, replace(read_extrinsic(path), T_cam_lidar=turned(5.0)))
    again = Node(tmp_path)
    again.hear(1.5)
    assert again.reference.accepted and np.isinf(again.guard.in_use.registration.covariance).all()


@pytest.mark.parametrize("damage", ["a", [[1]], [[1, 2], [3]], {}])
def test_a_damaged_matrix_begins_the_watch_anew(tmp_path: Path, damage: object) -> None:
    Node(tmp_path).hear(0.0, 10)
    (tmp_path / "extrinsic.watch.json").write_text(json.dumps(kept(tmp_path) | {"instead_of": damage}))
    again = Node(tmp_path)
    again.hear(0.0, 5)
    assert again.log[0].startswith("the watch begins anew")
