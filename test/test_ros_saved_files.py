"""What is on disk already when an extrinsic or the watch is saved: other sensors' files, offsets, links."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ros_here  # noqa: F401  skips where ROS is missing, before anything of it is imported
from test_ros_guard import Node
from test_ros_report import outcome

from crossi2p_core.calibration_file import Extrinsic, read_extrinsic, write_calibration
from crossi2p_core.errors import InputError
from crossi2p_ros.saved_files import save

REAR = replace(outcome(), lidar_frame="roof", camera_frame="rear")


def test_a_file_of_other_sensors_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "extrinsic.yaml"
    save(replace(REAR, camera_frame="front"), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="of the LiDAR roof and the camera front, not of roof and rear; set save_path"):
        save(REAR, path)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.bak"))
    path.write_text("no: extrinsic\n")
    save(REAR, path)
    assert read_extrinsic(path).camera_frame == "rear" and (tmp_path / "extrinsic.yaml.bak").exists()
    write_calibration(path, Extrinsic(np.eye(4)))  # as `crossi2p register` does, which knows no frames
    save(REAR, path)


def test_an_offset_that_was_found_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "extrinsic.yaml"
    write_calibration(path, Extrinsic(np.eye(4), "rear", "roof", time_offset_s=0.08))
    save(REAR, path)
    assert read_extrinsic(path).time_offset_s == 0.08


def test_a_link_is_followed(tmp_path: Path) -> None:
    link, there = tmp_path / "extrinsic.yaml", tmp_path / "robot" / "front.yaml"
    link.symlink_to(there)
    assert save(REAR, link)[0] == there and link.is_symlink() and read_extrinsic(link).camera_frame == "rear"
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(InputError, match=r"save_path .* is a link that leads nowhere"):
        save(REAR, link)
    with pytest.raises(InputError, match="File name too long; write elsewhere"):
        save(REAR, tmp_path / f"{300 * 'long'}.yaml")


def test_the_watch_of_other_sensors_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "extrinsic.watch.json"
    Node(tmp_path).hear(0.0, 10)
    path.write_text(path.read_text().replace('"camera"', '"rear"'))
    before = path.read_text()
    assert '"rear"' in before
    node = Node(tmp_path)
    node.hear(0.0, 10)
    assert any("is of the LiDAR lidar and the camera rear; set save_path" in line for line in node.log)
    node.guard.forget()
    assert path.read_text() == before


def test_every_file_that_is_written_again_keeps_its_former_one(tmp_path: Path) -> None:
    save(outcome(), tmp_path / "e.yaml")
    before = (tmp_path / "e.urdf.xml").read_text()
    other = replace(outcome().registration, T_cam_lidar=np.eye(4))
    save(replace(outcome(), registration=other), tmp_path / "e.yaml")
    assert (tmp_path / "e.urdf.xml.bak").read_text() == before != (tmp_path / "e.urdf.xml").read_text()
