"""What happens when the processes are told to end: at work, at the very start, and more than once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: python -m crossi2p_ros.tf2_msgs_build")

import rclpy
from registering import ROOT, Sensors, registering
from ros_here import own_network, running_node
from test_ros_worker import PATIENCE_S, Bench, bench, pair_of, waited

from crossi2p_core.datasets import open_source
from crossi2p_core.errors import InputError
from crossi2p_core.registrar import Registrar
from crossi2p_ros.lifecycle import RegisterNode

TORCH = "libtorch_cpu"  # takes long to import


def test_a_worker_whose_context_is_gone_does_not_complain(capfd: pytest.CaptureFixture[str]) -> None:
    """SIGINT takes the context away before the node can stop its worker, and what that trips over is no error."""
    context = rclpy.Context()
    context.init(domain_id=int(own_network()["ROS_DOMAIN_ID"]))
    node = RegisterNode(context=context)
    node._complain("before the end")
    context.shutdown()
    node._complain("after the end")
    node.destroy_node()
    told = capfd.readouterr().err
    assert "before the end" in told
    assert "after the end" not in told
    assert "rosout" not in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_that_come_while_it_ends_change_nothing(number: signal.Signals) -> None:
    """`ros2 launch` sends SIGINT to a node that has it already, where the whole group was interrupted."""
    sample, network = open_source("synthetic:street?seed=1&frames=1")[0], own_network()
    with running_node("robot", network) as (node, spin_until), registering(network, autostart="true") as process:
        robot = Sensors(node, spin_until, sample)
        robot.tell_prior(sample.T_cam_lidar)
        assert robot.sending_until(lambda: bool(robot.extrinsics)), robot.said
        robot.send(*robot.messages())
        spin_until(lambda: False, 0.3)  # a registration is under way
        while process.poll() is None:  # `registering` looks at how it ended
            process.send_signal(number)
            time.sleep(0.02)


def test_a_signal_while_it_starts_ends_it_in_silence() -> None:
    process = subprocess.Popen([sys.executable, "-m", "crossi2p_ros.register_node"], text=True, cwd=ROOT,
                               stderr=subprocess.PIPE, env=os.environ | own_network())
    loaded, end = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 20
    while TORCH not in loaded.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_a_device_is_one_worker_s_however_often_the_node_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = open_source("synthetic:street?seed=1&frames=1")[0]
    held, begun, together = threading.Event(), threading.Event(), []

    def register(*_: Any) -> None:
        together.append(begun.is_set() and not held.is_set())
        begun.set()
        held.wait(PATIENCE_S)
        raise InputError("it is over")

    registrar = Registrar(device="cpu", weights="none")
    monkeypatch.setattr(registrar, "register", lambda *_: None)  # as it warms up
    monkeypatch.setattr(registrar, "register_joint", register)
    with bench(np.eye(4), registrar) as first:
        first.worker.offer(pair_of(sample, 1))
        assert begun.wait(PATIENCE_S) and not first.worker.stop()
        ending, benches = first.worker, []
        for _ in range(2):
            made = Bench(first.settings, registrar=registrar)
            made.reference.accept(np.eye(4), "lidar", "camera")
            made.worker.start(after=ending)
            made.worker.activate()
            made.worker.offer(pair_of(sample, 1))
            benches.append(made)
            if len(benches) < 2:
                assert not made.worker.stop(), "the one before it is still at work"
                ending = made.worker
        threading.Event().wait(1.0)
        held.set()
        assert waited(lambda: len(together) == 2) and not any(together)
        assert benches[1].worker.stop()
