"""A wheel built from a source distribution of this tree, installed where nothing of the tree can be seen, works by
itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = shutil.ignore_patterns(".*", "build", "dist", "out", "install", "log", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with our wheel in it; the packages it needs are borrowed from the running one."""
    base = tmp_path_factory.mktemp("install")
    # A copy, because a build leaves folders behind, and what they hold of deleted modules would slip into the wheel.
    shutil.copytree(ROOT, base / "tree", ignore=LEFT_BEHIND)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=base / "tree", check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(base / "tree")
    (packed,) = base.glob("crossi2p_ros-*.tar.gz")
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", base, packed], check=True)
    venv.create(base / "venv", with_pip=False)
    python = base / "venv" / "bin" / "python"
    (wheel,) = base.glob("crossi2p_ros-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    # As a path in a .pth file our editable install over there stays out of reach: .pth files in it are not read.
    (site_packages,) = (base / "venv" / "lib").glob("python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return base / "venv"


def run(environment: Path, *command: str) -> str:
    """Standard output of a command of that environment, run from a folder that holds nothing of ours."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    program = environment / "bin" / command[0]
    return subprocess.run([program, *command[1:]], cwd=environment, env=clean, check=True, text=True,
                          capture_output=True).stdout


def test_the_executable_runs_from_anywhere(environment: Path) -> None:
    assert "register" in run(environment, "crossi2p", "--help")
    where = run(environment, "python", "-c", "import crossi2p_core; print(crossi2p_core.__file__)")
    assert where.startswith(str(environment))
    assert "frames: 2" in run(environment, "crossi2p", "info", "synthetic:street?seed=0&frames=2")


def test_ros_finds_the_executables(environment: Path) -> None:
    """`ros2 run` and `ros2 launch` look in lib/crossi2p_ros of a prefix that they are told."""
    scripts = {each.name for each in metadata.entry_points(group="console_scripts")
               if each.value.startswith(("crossi2p_ros.", "crossi2p_core."))}
    found = {path.name for path in (environment / "lib" / "crossi2p_ros").iterdir()}
    assert found == scripts >= {"register_node", "bag_player"}
    for name in found:
        assert os.access(environment / "lib" / "crossi2p_ros" / name, os.X_OK)
    assert "Play a bag" in run(environment, "../lib/crossi2p_ros/bag_player", "--help")


def test_everything_is_inside(environment: Path) -> None:
    (site_packages,) = (environment / "lib").glob("python*/site-packages")
    for folder in ("crossi2p_core", "crossi2p_ros"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert (site_packages / file.relative_to(ROOT)).is_file(), file
    share = environment / "share"
    assert (share / "ament_index/resource_index/packages/crossi2p_ros").is_file()
    for folder in ("launch", "config", "rviz"):
        for file in (ROOT / folder).glob("*.*"):
            assert (share / "crossi2p_ros" / folder / file.name).is_file(), file
