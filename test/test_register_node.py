"""The node as a robot meets it: in a process of its own, over the real DDS, with good sensors and with bad ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.task import Future
from rclpy.time import Time
from registering import CAMERA, LIDAR, ROOT, Sensors, own_network, registering, running_node
from std_srvs.srv import Trigger

from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.types import Sample
from crossi2p_ros.messages.answers import extrinsic_from_transform
from crossi2p_ros.ros_compat.tf2 import Buffer, TransformListener
from crossi2p_ros.ros_compat.tf_transformations import euler_matrix, quaternion_matrix

OK, WARN, ERROR = 0, 1, 2
WITHIN_S = 2.0


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A small synthetic street of which the truth is known, with the points that the camera may see."""
    whole = open_source("synthetic:street?seed=1&frames=1")[0]
    x, y, _ = whole.cloud.xyz.T
    return replace(whole, cloud=whole.cloud.select(x > 0.5 * np.abs(y)))


@pytest.fixture(scope="module")
def prior(sample: Sample) -> np.ndarray:
    """A calibration that has suffered."""
    return se3.perturb(sample.T_cam_lidar, np.random.default_rng(0), 1.0, 0.1)


def errors(T: np.ndarray, sample: Sample) -> tuple[float, float]:
    """Degrees and metres from the truth."""
    return (float(se3.rotation_error_deg(T, sample.T_cam_lidar)), float(se3.translation_error_m(T, sample.T_cam_lidar)))


def test_an_operator_repairs_a_calibration(sample: Sample, prior: np.ndarray, tmp_path: Path) -> None:
    network, path = own_network(), tmp_path / "saved" / "extrinsic.yaml"
    with running_node("robot", network) as (node, spin_until), \
            registering(network, autostart="true", mode="manual", save_path=path):
        robot = Sensors(node, spin_until, sample)
        robot.tell_prior(prior)
        buffer = Buffer()
        TransformListener(buffer, node)
        # 1. before: nothing is known, and nothing is there to save
        assert not robot.ask("save").success
        assert robot.sending_until(lambda: robot.level() == WARN and robot.says("~/calibrate"))
        # 2. a better extrinsic than the one that was published
        answer = robot.ask("calibrate")
        assert answer.success, answer.message
        assert spin_until(lambda: bool(robot.extrinsics) and buffer.can_transform(
            LIDAR, f"{CAMERA}_registered", Time()))
        found = extrinsic_from_transform(robot.extrinsics[-1], LIDAR, CAMERA, "~/extrinsic")
        assert (np.array(errors(found, sample)) < 0.7 * np.array(errors(prior, sample))).all()
        as_tf = buffer.lookup_transform(LIDAR, f"{CAMERA}_registered", Time())
        in_tree = extrinsic_from_transform(as_tf, LIDAR, f"{CAMERA}_registered", "/tf_static")
        np.testing.assert_allclose(in_tree, found, atol=1e-9)
        # 3. the reference is known to be wrong until the estimate takes its place
        limits = {"warn.deviation_deg": 0.2, "warn.deviation_cm": 2.0}
        assert all(each.successful for each in set_parameters(robot, limits))
        assert robot.sending_until(lambda: robot.level() == WARN and robot.says("from the reference"))
        assert robot.ask("save").success
        assert_saved(path, found)
        assert robot.ask("accept").success
        assert robot.sending_until(lambda: robot.level() == OK), robot.said
        assert float(robot.value("deviation rotation")) == 0
        # 4. and is in doubt again
        assert robot.ask("reset").success and not robot.ask("accept").success
        refused = set_parameters(robot, {"mode": "sometimes"})[0]
        assert not refused.successful and "continuous, periodic, manual" in refused.reason


def set_parameters(robot: Sensors, values: dict[str, float | str]) -> list[Any]:
    """What the node answers to `ros2 param set`."""
    given = [Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
                       if isinstance(value, str) else
                       ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value))
             for name, value in values.items()]
    return list(robot.call(SetParameters, "set_parameters", SetParameters.Request(parameters=given)).results)


def assert_saved(path: Path, T_cam_lidar: np.ndarray) -> None:
    """YAML, URDF and command line say the same as the matrix."""
    extrinsic = read_extrinsic(path)
    assert (extrinsic.lidar_frame, extrinsic.camera_frame, extrinsic.status) == (LIDAR, CAMERA, "ok")
    np.testing.assert_allclose(extrinsic.T_cam_lidar, T_cam_lidar, atol=1e-9)
    joint = ElementTree.parse(path.with_suffix(".urdf.xml")).getroot()
    xyz, rpy = ([float(x) for x in joint.find("origin").attrib[name].split()] for name in ("xyz", "rpy"))
    np.testing.assert_allclose(se3.inverse(se3.make(euler_matrix(*rpy)[:3, :3], np.array(xyz))), T_cam_lidar, atol=1e-9)
    line = dict(re.findall(r"--(\w+) (\S+)", path.with_suffix(".static_transform.txt").read_text()))
    R = quaternion_matrix([float(line[name]) for name in ("qx", "qy", "qz", "qw")])[:3, :3]
    t = np.array([float(line[axis]) for axis in "xyz"])
    np.testing.assert_allclose(se3.inverse(se3.make(R, t)), T_cam_lidar, atol=1e-9)


def test_what_is_missing_is_named(sample: Sample, prior: np.ndarray) -> None:
    network = own_network()
    with running_node("robot", network) as (node, spin_until), registering(network, autostart="true"):
        robot = Sensors(node, spin_until, sample)
        assert spin_until(lambda: robot.says("nobody publishes /camera/image_raw") or robot.says("no image yet"))
        assert robot.sending_until(lambda: robot.level() == ERROR and robot.says("TF does not lead")), robot.said
        robot.tell_prior(prior)
        assert robot.sending_until(lambda: bool(robot.extrinsics) and robot.level() in (OK, WARN)), robot.said
        assert int(robot.value("refused: TF does not lead from lidar to camera_optical")) > 0


def test_every_transition_and_an_interruption_take_less_than_two_seconds(sample: Sample, prior: np.ndarray) -> None:
    network = own_network()
    with running_node("robot", network) as (node, spin_until), registering(network) as process:
        robot = Sensors(node, spin_until, sample)
        robot.tell_prior(prior)
        assert robot.ask_state(Transition.TRANSITION_CONFIGURE) and robot.ask_state(Transition.TRANSITION_ACTIVATE)
        assert robot.sending_until(lambda: bool(robot.extrinsics)), robot.said
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                           Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            robot.send(*robot.messages())
            begin = time.monotonic()
            assert robot.ask_state(transition)
            assert time.monotonic() - begin < WITHIN_S, transition
            if transition == Transition.TRANSITION_CLEANUP:  # only the robot's own transforms are left
                assert spin_until(lambda: node.count_publishers("/tf_static") == 1)
                assert spin_until(lambda: node.count_publishers("/register_node/extrinsic") == 0)
        robot.extrinsics.clear()
        assert robot.sending_until(lambda: bool(robot.extrinsics)), robot.said
        robot.send(*robot.messages())
        spin_until(lambda: False, 0.3)  # a registration is under way
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert time.monotonic() - begin < WITHIN_S


@contextmanager
def asked_to_calibrate(sample: Sample, prior: np.ndarray, calls: int) -> Iterator[tuple[Sensors, Any, list[Future]]]:
    """A robot, the node's process, and calls of ~/calibrate that have just been made."""
    network = own_network()
    with running_node("robot", network) as (node, spin_until), \
            registering(network, autostart="true", mode="manual") as process:
        robot = Sensors(node, spin_until, sample)
        robot.tell_prior(prior)
        assert robot.sending_until(lambda: robot.says("call ~/calibrate")), robot.said
        client = node.create_client(Trigger, "/register_node/calibrate")
        assert spin_until(client.service_is_ready)
        yield robot, process, [client.call_async(Trigger.Request()) for _ in range(calls)]


def test_whoever_waits_for_a_calibration_is_answered_when_the_node_is_taken_apart(sample: Sample,
                                                                                  prior: np.ndarray) -> None:
    with asked_to_calibrate(sample, prior, calls=2) as (robot, process, waiting):
        node, spin_until = robot.node, robot.spin_until
        assert robot.ask_state(Transition.TRANSITION_DEACTIVATE) and robot.ask_state(Transition.TRANSITION_CLEANUP)
        assert spin_until(lambda: all(each.done() for each in waiting)), "nobody answered"
        assert spin_until(lambda: node.count_services("/register_node/calibrate") == 0)
        assert robot.ask_state(Transition.TRANSITION_CONFIGURE) and process.poll() is None


def test_whoever_waits_for_a_calibration_is_answered_when_the_process_is_told_to_end(sample: Sample,
                                                                                     prior: np.ndarray) -> None:
    with asked_to_calibrate(sample, prior, calls=4) as (robot, process, waiting):
        robot.spin_until(lambda: False, 0.3)
        process.send_signal(signal.SIGTERM)
        assert robot.spin_until(lambda: all(each.done() for each in waiting)), [each.done() for each in waiting]
        assert process.wait(10) == 0


def test_a_node_that_cannot_be_configured_says_so_and_waits(sample: Sample) -> None:
    network = own_network()
    with running_node("robot", network) as (node, spin_until), \
            registering(network, autostart="true", device="cuda:99") as process:
        robot = Sensors(node, spin_until, sample)
        assert spin_until(lambda: robot.level() == ERROR and robot.says("'cuda:99' is not there")), robot.said
        assert not robot.ask_state(Transition.TRANSITION_CONFIGURE) and process.poll() is None


@pytest.mark.parametrize(("parameter", "words"), [("mode:=sometimes", "one of continuous, periodic, manual"),
                                                  ("sync.slop:=99.0", "sync.slop"), ("frames:=many", "INTEGER"),
                                                  ("image_topic:=/front//image", "no name of a topic")])
def test_parameters_that_cannot_be_had_are_one_sentence(parameter: str, words: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "crossi2p_ros.register_node", "--ros-args", "-p", parameter],
                           text=True, capture_output=True, timeout=60, cwd=ROOT, env=os.environ | own_network())
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1 and words in ended.stderr


@pytest.mark.parametrize("plain", ["--help", "frames=2"])
def test_arguments_that_would_have_no_effect_are_refused_with_the_usage(plain: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "crossi2p_ros.register_node", plain, "--ros-args", "-p", "frames:=2"],
                           text=True, capture_output=True, timeout=60, cwd=ROOT, env=os.environ | own_network())
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert f"takes no {plain}; usage: register_node --ros-args [-p NAME:=VALUE]" in ended.stderr
