"""Builds the message package `tf2_msgs`, which PyPI lacks: `python -m crossi2p_ros.tf2_msgs_build`.

The wheels bring rosidl's own generators, so the result is the type that every ROS machine knows, with the same hash.
A tf2_msgs that somebody else installed is never touched.

    sources.py     message definition -> C, C++ and Python, by the generators
    libraries.py   those -> shared libraries, by the compiler
    placement.py   what is installed already, and how ours goes in (`pip uninstall tf2_msgs` takes it out)
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from .libraries import compile_libraries
from .placement import Wheels, find_wheels, foreign_package, install, is_current
from .sources import generate_sources

__all__ = ["ensure_tf2_msgs"]


def ensure_tf2_msgs() -> str:
    """Make `import tf2_msgs.msg` work in this environment; returns in words what was done.

    Raises InputError where that is not possible: no ROS wheels, no compiler, no Python.h, no permission.
    """
    if (where := foreign_package()) is not None:
        return f"tf2_msgs is installed already, at {where}"
    wheels = find_wheels()
    if is_current(wheels):
        return f"tf2_msgs {wheels.version} is built already"
    _build(wheels)
    return f"built tf2_msgs {wheels.version} for the ROS wheels of {wheels.prefix}"


def _build(wheels: Wheels) -> None:
    """Generate, compile and install, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tf2_msgs_") as folder:
        sources = generate_sources(Path(folder), wheels.prefix)
        install(wheels, sources, compile_libraries(sources, wheels.prefix))
