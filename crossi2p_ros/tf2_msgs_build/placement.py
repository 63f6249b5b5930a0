"""What is installed already, and how our tf2_msgs goes in: laid out as the wheels lay out theirs, known to pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from crossi2p_core.errors import InputError

from .sources import MESSAGE, MSG, PACKAGE, Sources

INSTALLER = "crossi2p_ros"  # in the INSTALLER file of what we put in: how we know our own


@dataclass(frozen=True)
class Wheels:
    """The ROS wheels of this environment."""

    prefix: Path  # holds lib/, include/ and share/
    site: Path  # site-packages
    version: str  # of our tf2_msgs: what it is built from, so that an upgrade of the wheels makes it old


def find_wheels() -> Wheels:
    """The wheels that tf2_msgs would be built from; InputError where this environment has none."""
    prefix = Path(sys.prefix)
    try:
        version = f"{metadata.version('ros-geometry-msgs')}+{metadata.version('ros-rosidl-generator-py')}"
    except metadata.PackageNotFoundError as error:
        if distribution := os.environ.get("ROS_DISTRO"):
            raise InputError(f"tf2_msgs is not installed in ROS {distribution}; install it: "
                             f"sudo apt-get install ros-{distribution}-tf2-msgs") from error
        raise InputError(f"no ROS 2 in {prefix}; source a distribution, or on x86-64 Linux install its wheels: "
                         "pip install 'crossi2p_ros[ros]' (from a clone: pip install '.[ros]')") from error
    if not (prefix / "share" / "geometry_msgs" / "msg" / "TransformStamped.idl").is_file():
        raise InputError(f"the ROS wheels are not in {prefix}, the environment that runs; install them into it: "
                         "pip install 'crossi2p_ros[ros]'")
    return Wheels(prefix, Path(sysconfig.get_paths()["platlib"]), version)


def foreign_package() -> Path | None:
    """Folder of a tf2_msgs that others installed, None where there is none or only ours."""
    spec = util.find_spec(PACKAGE)
    if spec is None:
        return None
    where = Path(spec.origin).parent if spec.origin else Path(next(iter(spec.submodule_search_locations or [""])))
    installers = {path.read_text().strip() for path in where.parent.glob(f"{PACKAGE}-*.dist-info/INSTALLER")}
    return None if INSTALLER in installers else where


def is_current(wheels: Wheels) -> bool:
    """Whether our tf2_msgs is here, was built from these wheels, and loads (asked in a process of its own)."""
    if not _dist_info(wheels).is_dir():
        return False
    check = f"from {PACKAGE}.msg import {MESSAGE}; from rclpy.type_support import check_for_type_support as check; " \
            f"check({MESSAGE})"
    return subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


def install(wheels: Wheels, sources: Sources, libraries: list[Path]) -> None:
    """Put everything in place, the Python package last, so that what was interrupted does not count as installed."""
    files = _layout(wheels, sources, libraries)
    try:
        for old in (wheels.site / PACKAGE, *wheels.site.glob(f"{PACKAGE}-*.dist-info")):
            shutil.rmtree(old, ignore_errors=True)
        for target, content in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            partial.write_bytes(content.read_bytes() if isinstance(content, Path) else content.encode())
            partial.replace(target)
    except OSError as error:
        raise InputError(f"tf2_msgs: cannot write {error.filename} ({error.strerror}); run this as the owner of "
                         f"{wheels.prefix}, or use a virtual environment of your own") from error


def _layout(wheels: Wheels, sources: Sources, libraries: list[Path]) -> dict[Path, Path | str]:
    """Every file to install, in order, with its content (a text, or the file to copy)."""
    share = wheels.prefix / "share"
    index = share / "ament_index" / "resource_index"
    definition: dict[str, Path | str] = {
        f"{MESSAGE}.msg": MSG, f"{MESSAGE}.idl": sources.interface / "msg" / f"{MESSAGE}.idl",
        f"{MESSAGE}.json": sources.generated / "msg" / f"{MESSAGE}.json"}
    files: dict[Path, Path | str] = {
        wheels.prefix / "lib" / path.name: path for path in libraries if path.name.startswith("lib")}
    files |= {share / PACKAGE / "msg" / name: content for name, content in definition.items()}
    files[index / "packages" / PACKAGE] = ""
    files[index / "rosidl_interfaces" / PACKAGE] = "".join(f"msg/{name}\n" for name in sorted(definition))
    package = wheels.site / PACKAGE
    modules: dict[Path, Path | str] = {
        package / "msg" / path.name: path for path in sorted((sources.generated / "msg").glob("*.py"))}
    modules |= {package / path.name: path for path in libraries if not path.name.startswith("lib")}
    modules[package / "__init__.py"] = ""
    return files | _package_metadata(wheels, [*files, *modules]) | modules


def _package_metadata(wheels: Wheels, files: list[Path]) -> dict[Path, Path | str]:
    """The .dist-info folder by which pip lists the package and can remove it (packaging.python.org, binary format)."""
    folder = _dist_info(wheels)
    texts = {"METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {wheels.version}\n"
                         "Summary: TF's message, generated by crossi2p_ros from the ROS wheels\n",
             "INSTALLER": f"{INSTALLER}\n"}
    recorded = [*files, *(folder / name for name in (*texts, "RECORD"))]
    texts["RECORD"] = "".join(f"{os.path.relpath(path, wheels.site)},,\n" for path in recorded)
    return {folder / name: text for name, text in texts.items()}


def _dist_info(wheels: Wheels) -> Path:
    """Where the metadata of our tf2_msgs stands, if it was built from these wheels."""
    return wheels.site / f"{PACKAGE}-{wheels.version}.dist-info"
