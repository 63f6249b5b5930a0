"""The node on a drive: frames arrive faster than they can be registered, from a camera that has been knocked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from registering import CAMERA, LIDAR, Sensors, own_network, registering, running_node

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.types import Sample
from crossi2p_ros.messages.answers import extrinsic_from_transform

pytestmark = pytest.mark.slow
OK, WARN = 0, 1
FRAMES = 5


def jam(data_dir: Path) -> list[Sample]:
    """Frames of a longer drive."""
    folder = data_dir / "compact" / "kitti_raw_drive"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return list(open_source(str(folder)))


def drive(data_dir: Path) -> list[Sample]:
    """Frames of KITTI raw at full size."""
    folder = next(iter(sorted((data_dir / "kitti_raw").glob("*/*_sync"))), None)
    if folder is None:
        pytest.skip(f"no KITTI raw drive below {data_dir}")
    source = open_source(str(folder))
    return [source[index] for index in range(min(len(source), 2 * FRAMES))]


def error(T: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Degrees and decimetres from the truth."""
    return np.array([se3.rotation_error_deg(T, truth), 10 * se3.translation_error_m(T, truth)])


@pytest.mark.parametrize("policy", ["report", "apply"])
def test_a_knocked_camera_is_found_again_within_the_drive(data_dir: Path, tmp_path: Path, policy: str) -> None:
    """By policy `report` the operator accepts what was found; by `apply` the node repairs the reference itself."""
    samples = drive(data_dir)
    truth = samples[0].T_cam_lidar
    assert truth is not None
    axis, way = np.array([0.6, 0.0, 0.8]), np.array([0.0, 0.8, 0.6])
    knocked = se3.make(se3.exp_so3(np.radians(1.0) * axis) @ truth[:3, :3], truth[:3, 3] + 0.1 * way)
    network, path = own_network(), tmp_path / "extrinsic.yaml"
    with running_node("robot", network) as (node, spin_until), \
            registering(network, autostart="true", frames=FRAMES, save_path=path, repair__policy=policy):
        robot = Sensors(node, spin_until, samples[0])
        robot.tell_prior(knocked)
        levels: list[int] = []

        def at_ten_hertz(condition: Callable[[], bool], seconds: float = 150.0) -> bool:
            end, frame = time.monotonic() + seconds, 0
            while not (done := condition()) and time.monotonic() < end:
                robot.sample = samples[frame % len(samples)]
                robot.send(*robot.messages())
                spin_until(lambda: False, 0.1)
                levels.append(robot.level())
                frame += 1
            return done

        assert at_ten_hertz(lambda: robot.level() == WARN and robot.says("from the reference")), robot.said
        found = extrinsic_from_transform(robot.extrinsics[-1], LIDAR, CAMERA, "~/extrinsic")
        assert (error(found, truth) < error(knocked, truth)).all(), (error(found, truth), error(knocked, truth))
        assert OK not in levels
        if policy == "report":
            assert robot.ask("accept").success
        assert at_ten_hertz(lambda: robot.level() == OK), robot.said
        assert robot.value("reference") == "accepted estimate"
        assert int(robot.value("repairs")) == (policy == "apply")
        assert robot.ask("save").success  # what is in use, whatever single answers have said since
        saved = read_calibration(path)
        told = [extrinsic_from_transform(each, LIDAR, CAMERA, "x") for each in robot.extrinsics]
        assert any(np.allclose(saved, each, atol=1e-9) for each in told)
        assert (error(saved, truth) < error(knocked, truth)).all()
        assert int(robot.value("pairs dropped")) > 0


def test_a_camera_that_was_knocked_far_away_is_looked_for_from_scratch(data_dir: Path, tmp_path: Path) -> None:
    """Nothing fits within the prior's bounds any more: the node says so, looks elsewhere, repairs and saves."""
    samples = jam(data_dir)
    truth = samples[0].T_cam_lidar
    assert truth is not None
    knocked = se3.perturb(truth, np.random.default_rng(0), 12.0, 0.5)
    network, path = own_network(), tmp_path / "extrinsic.yaml"
    with running_node("robot", network) as (node, spin_until), \
            registering(network, autostart="true", save_path=path, repair__policy="apply"):
        robot = Sensors(node, spin_until, samples[0])
        robot.tell_prior(knocked)
        end, frame, states = time.monotonic() + 400.0, 0, list[str]()
        while not (found := robot.value("repairs") == "1") and time.monotonic() < end:
            robot.sample = samples[frame % len(samples)]
            robot.send(*robot.messages())
            spin_until(lambda: False, 0.2)
            states.append(robot.value("calibration"))
            frame += 1
        assert found, (robot.said, set(states))
        assert "suspect" in states and robot.value("calibration") == "repaired"
        assert int(robot.value("searches from scratch")) >= 1
        degrees, decimetres = error(read_calibration(path), truth)
        assert degrees < 0.5 and decimetres < 0.8, (degrees, decimetres)
