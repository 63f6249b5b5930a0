"""`make demo` itself, over DDS: the repair is real, a limit is told in words, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import ros_here  # skips where ROS is missing, before anything of it is imported

from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.datasets.synthetic import SyntheticSource
from crossi2p_core.geometry import se3
from crossi2p_ros.demo.course import Course
from crossi2p_ros.demo.listener import listening
from crossi2p_ros.demo.programs import running

ROOT = Path(__file__).resolve().parent.parent
FILES = {"000000_before_after.jpg", "000003_before_after.jpg", "000005_before_after.jpg", "extrinsic.yaml",
         "extrinsic.urdf.xml", "extrinsic.static_transform.txt", "register_node.log", "bag_player.log", "drive"}


def test_the_listener_hears_a_node_and_knows_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ros_here.own_network().items():
        monkeypatch.setenv(name, value)
    course = Course(needed=3)
    with listening(course.hear) as listener, running("register_node", "--ros-args", "-p", "autostart:=true",
                                                     log=tmp_path / "log") as node:
        assert listener.until(lambda: "no pair of image and cloud came together" in course.missing(), 40, node.check)
        assert not listener.until(lambda: course.confirmed, 0.5, node.check)
        assert listener.start is None and listener.answer is None


@contextmanager
def demonstrating(out: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process; killed with the block if it has not ended."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with subprocess.Popen([sys.executable, "-m", "crossi2p_ros.demo", "--out", str(out), *arguments], text=True,
                          env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the words of one whole run."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with demonstrating(out) as process:
        words, errors = process.communicate(timeout=300)
    assert process.returncode == 0, words + errors
    return out, words


@pytest.mark.slow
def test_the_camera_is_repaired_and_everything_is_there(told: tuple[Path, str]) -> None:
    out, words = told
    assert {path.name for path in out.iterdir()} == FILES
    assert [line[:3] for line in words.splitlines() if re.match(r"\d/", line)] == [f"{n}/6" for n in range(1, 7)]
    assert words.index(" of 3 agree") < words.index(", repaired") < words.index("5/6")
    saved, truth = read_extrinsic(out / "extrinsic.yaml"), SyntheticSource("street", 1, 1).T_cam_lidar
    assert saved.status == "ok" and se3.rotation_error_deg(saved.T_cam_lidar, truth) < 0.5
    assert np.linalg.norm(saved.T_cam_lidar[:3, 3] - truth[:3, 3]) < 0.05
    for path in out.iterdir():
        assert str(path) in words


@pytest.mark.slow
def test_a_time_limit_says_what_did_not_come(told: tuple[Path, str]) -> None:
    out, _ = told
    with demonstrating(out, "--limit", "0.2") as process:
        words, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "lies in" in words.splitlines()[1]
    assert "not repaired: within 0.2 s no pair of image and cloud" in errors and "Traceback" not in errors


@pytest.mark.slow
def test_ctrl_c_ends_everything(told: tuple[Path, str]) -> None:
    out, _ = told
    before = (out / "extrinsic.yaml").read_bytes()
    with demonstrating(out) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("4/6"):
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in errors and "Traceback" not in errors, errors
    assert len(children) == 2 and not any(Path(f"/proc/{child}").exists() for child in children)
    assert (out / "extrinsic.yaml").read_bytes() == before and {path.name for path in out.iterdir()} == FILES
