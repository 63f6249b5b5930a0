"""A replayed drive whose camera is knocked in the middle: the node notices, says so, repairs, and keeps the new one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from command_line import crossi2p
from playback import playing
from registering import Sensors, own_network, registering, running_node

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.datasets import open_source
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.knock import random_knock

pytestmark = pytest.mark.slow
FRAMES, AT = 50, 20
SECONDS = 1.3  # between two frames: about what one takes on two cores
DEGREES, METRES = 1.0, 0.05


def test_a_bag_whose_camera_jumps_is_noticed_repaired_and_saved(data_dir: Path, tmp_path: Path) -> None:
    drive, bag, saved = data_dir / "compact" / "kitti_raw_drive", tmp_path / "bag", tmp_path / "extrinsic.yaml"
    if not drive.is_dir():
        pytest.skip(f"no drive at {drive}")
    knock = f"{DEGREES:g},{100 * METRES:g}@{AT}"
    assert crossi2p("bag", drive, bag, "--hz", str(1 / SECONDS), "--knock", knock).code == 0
    before = np.asarray(open_source(drive)[0].T_cam_lidar)
    truth = se3.exp_se3(random_knock(DEGREES, METRES, np.random.default_rng(0))) @ before
    network, states = own_network(), list[str]()
    with running_node("operator", network) as (node, spin_until), \
            registering(network, autostart="true", use_sim_time="true", weights="none", save_path=saved,
                        repair__policy="apply"):
        operator = Sensors(node, spin_until, open_source(drive)[0])
        assert spin_until(lambda: operator.level() >= 0, 40.0)
        with playing(network, bag, "--clock", "--wait", "20") as player:
            def over() -> bool:
                state = operator.value("calibration")
                if state and (not states or states[-1] != state):
                    states.append(state)
                return player.poll() is not None

            assert spin_until(over, 4 * FRAMES * SECONDS)
        assert int(operator.value("repairs") or 0) >= 1, (states, operator.said)
    # 1. said in this order, and nothing before the knock
    told = [state for state in states if state in ("calibrated", "decalibrated", "repaired")]
    assert told[:3] == ["calibrated", "decalibrated", "repaired"] and told[-1] != "decalibrated", states
    # 2. what is saved is the new one, nearer to the truth than the old one by far
    kept = json.loads(saved.with_suffix(".watch.json").read_text())
    for T in (read_calibration(saved), np.array(kept["T_cam_lidar"])):
        assert se3.rotation_error_deg(T, truth) < 0.4 * DEGREES, (states, se3.rotation_error_deg(T, truth))
        assert se3.translation_error_m(T, truth) < METRES
