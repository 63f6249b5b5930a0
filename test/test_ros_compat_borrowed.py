"""Which implementation is taken, and what is said about the ROS that is (not) here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossi2p_ros.ros_compat import borrowed

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Packages written to `tmp_path` can be imported, and choices made here are not kept."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(borrowed, "CHOICES", {})


def test_a_package_that_loads_is_taken(tmp_path: Path) -> None:
    (tmp_path / "crossi2p_fine.py").write_text("answer = 42")
    module = borrowed.borrow("crossi2p_fine")
    assert module is not None and module.answer == 42
    assert borrowed.CHOICES == {"crossi2p_fine": "ROS"}


def test_what_is_not_installed_is_not_taken() -> None:
    assert borrowed.borrow("crossi2p_nowhere") is None
    assert borrowed.CHOICES == {"crossi2p_nowhere": "crossi2p (not installed)"}


@pytest.mark.parametrize("error", ["ImportError", "AttributeError", "RuntimeError", "SystemError"])
def test_a_compiled_half_that_does_not_load_counts_as_absent(tmp_path: Path, error: str,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    name = f"crossi2p_{error.lower()}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "compiled.py").write_text(
        f"import sys\nprint('A page about numpy', file=sys.stderr)\nraise {error}('a page\\nbuilt against numpy 1')")
    assert borrowed.borrow(name, proof=f"{name}.compiled") is None
    assert borrowed.CHOICES[name] == f"crossi2p (does not load, {error}: built against numpy 1)"
    assert capsys.readouterr().err == ""
    assert borrowed.borrow(name) is not None  # which is why the proof is asked for


def test_a_package_that_lacks_what_it_needs_says_what(tmp_path: Path) -> None:
    (tmp_path / "crossi2p_needy.py").write_text("import crossi2p_nowhere")
    assert borrowed.borrow("crossi2p_needy") is None
    assert "crossi2p_nowhere" in borrowed.CHOICES["crossi2p_needy"]


def report(**environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m crossi2p_ros.ros_compat` in that environment."""
    return subprocess.run([sys.executable, "-m", "crossi2p_ros.ros_compat"], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | environment)


def test_the_report_names_every_package() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
    done = report()
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "rclpy", "message_filters", "tf2_ros", "cv_bridge", "sensor_msgs_py", "tf_transformations"]


def test_the_report_does_not_load_what_the_node_does_not_use(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
    (tmp_path / "cv_bridge").mkdir()
    (tmp_path / "cv_bridge" / "__init__.py").write_text("import os\nos.write(2, b'A page about numpy')")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = report(PYTHONPATH=paths)
    assert done.returncode == 0 and "cv_bridge: ROS, not loaded" in done.stdout and done.stderr == ""


def test_a_sourced_ros_that_python_does_not_see_is_told_with_a_way_out() -> None:
    done = subprocess.run([sys.executable, "-S", "-c", "from crossi2p_ros.ros_compat.installation import check_ros\n"
                           "check_ros()"], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | {"ROS_DISTRO": "jazzy", "PYTHONPATH": ""})
    assert "ROS jazzy is sourced, but" in done.stderr and "make clean install ROS=wheels" in done.stderr


def test_two_ros_at_once_are_refused_before_they_mix(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
    if "PyPI" not in report().stdout:
        pytest.skip("the ROS of this environment is not from PyPI")
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text("raise SystemExit('imported')")
    done = report(PYTHONPATH=str(tmp_path), ROS_DISTRO="jazzy")
    assert done.returncode == 2
    assert "two ROS 2 at once: jazzy" in done.stderr and "Traceback" not in done.stderr
