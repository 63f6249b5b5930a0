"""tf2_msgs made from the wheels: the type that all of ROS knows, installed as pip would, and never over another's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossi2p_core.errors import InputError
from crossi2p_ros.tf2_msgs_build import ensure_tf2_msgs
from crossi2p_ros.tf2_msgs_build.libraries import compile_libraries
from crossi2p_ros.tf2_msgs_build.placement import Wheels, find_wheels, install
from crossi2p_ros.tf2_msgs_build.sources import MESSAGE, Sources, generate_sources

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheels() -> Wheels:
    """The ROS wheels of the environment that runs."""
    try:
        return find_wheels()
    except InputError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def sources(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Generated once for the tests here."""
    return generate_sources(tmp_path_factory.mktemp("sources"), wheels.prefix)


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m crossi2p_ros.tf2_msgs_build` in that environment."""
    return subprocess.run([sys.executable, "-m", "crossi2p_ros.tf2_msgs_build"], cwd=ROOT, text=True,
                          capture_output=True, env=os.environ | environment)


def test_the_type_is_the_one_that_all_of_ros_knows(sources: Sources) -> None:
    """Type hashes are compared between processes; rosbags works out the upstream one by itself."""
    from rosbags.typesys import Stores, get_typestore

    upstream = get_typestore(Stores.ROS2_KILTED).hash_rihs01("tf2_msgs/msg/TFMessage")
    assert upstream in (sources.generated / "msg" / f"{MESSAGE}.json").read_text()


def test_generating_leaves_the_environment_as_it_was(wheels: Wheels, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", "mine")
    generate_sources(tmp_path, wheels.prefix)
    assert os.environ["AMENT_PREFIX_PATH"] == "mine"


def test_a_second_time_nothing_is_built(wheels: Wheels) -> None:
    ensure_tf2_msgs()
    assert "already" in ensure_tf2_msgs()


def test_everything_installed_is_known_to_pip(wheels: Wheels, sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    libraries = [tmp_path / "built" / name for name in ("libtf2_msgs__a.so", "tf2_msgs_s__b.so")]
    for library in libraries:
        library.write_bytes(b"")
    place = Wheels(tmp_path / "prefix", tmp_path / "prefix" / "lib" / "site", "1.0+2.0")
    install(place, sources, libraries)
    install(place, sources, libraries)
    present = {path for path in place.prefix.rglob("*") if path.is_file()}
    record = (place.site / "tf2_msgs-1.0+2.0.dist-info" / "RECORD").read_text()
    recorded = [place.site / line.partition(",")[0] for line in record.splitlines()]
    assert {Path(os.path.normpath(path)) for path in recorded} == present
    assert len(recorded) == len(present)
    inside = {path.relative_to(place.prefix).as_posix() for path in present}
    assert inside >= {"lib/libtf2_msgs__a.so", "lib/site/tf2_msgs/tf2_msgs_s__b.so", "lib/site/tf2_msgs/__init__.py",
                      "lib/site/tf2_msgs/msg/__init__.py", "share/ament_index/resource_index/packages/tf2_msgs",
                      "share/tf2_msgs/msg/TFMessage.idl"}


@pytest.mark.parametrize(("variable", "value"), [("CC", "no-such-compiler"), ("CXX", "no-such-compiler"),
                                                 ("CC", "false")])
def test_without_a_compiler_it_says_what_to_install(wheels: Wheels, sources: Sources, tmp_path: Path, variable: str,
                                                    value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    elsewhere = Sources(tmp_path, sources.fastrtps, sources.introspection)
    with pytest.raises(InputError, match=rf"{value}.*apt-get install g\+\+ python3\.\d+-dev.*tf2_msgs_build"):
        compile_libraries(elsewhere, wheels.prefix)


def test_a_place_that_cannot_be_written_is_named(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="cannot write"):
        install(Wheels(tmp_path, tmp_path / "lib" / "site", "1"), sources, [])


def test_a_tf2_msgs_of_others_stays(tmp_path: Path) -> None:
    package = tmp_path / "tf2_msgs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    done = command(PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and f"installed already, at {package}" in done.stdout
    assert [path.name for path in package.iterdir() if path.name != "__pycache__"] == ["__init__.py"]
