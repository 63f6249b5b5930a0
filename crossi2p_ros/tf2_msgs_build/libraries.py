"""From the generated sources to shared libraries: the message itself, its type supports, its Python extensions."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

from crossi2p_core.errors import InputError

from .sources import DEPENDENCIES, PACKAGE, STEM, Sources

TYPE_SUPPORTS = ("c", "fastrtps_c", "introspection_c")  # one Python extension for each


def compile_libraries(sources: Sources, prefix: Path) -> list[Path]:
    """Compile and link everything (2 s); returns the libraries, whose names say what they are.

    Raises InputError where a compiler or Python's headers are missing, or where the compiler fails.
    """
    compiler = _Compiler(sources, prefix)
    messages = sources.generated / "msg"
    detail = messages / "detail"
    base = [f"{PACKAGE}__rosidl_generator_c", "rosidl_runtime_c", "rcutils"]
    fastrtps = ["rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp", "fastcdr", "rmw"]
    built = [  # in the order in which they need each other
        compiler.link(f"lib{PACKAGE}__rosidl_generator_c.so",
                      [detail / f"{STEM}__functions.c", detail / f"{STEM}__description.c"],
                      [*_of_dependencies("rosidl_generator_c"), *base[1:]]),
        compiler.link(f"lib{PACKAGE}__rosidl_typesupport_fastrtps_c.so", [sources.fastrtps],
                      [*_of_dependencies("rosidl_typesupport_fastrtps_c"), *base, *fastrtps]),
        compiler.link(f"lib{PACKAGE}__rosidl_typesupport_introspection_c.so", [sources.introspection],
                      [*_of_dependencies("rosidl_typesupport_introspection_c"), *base,
                       "rosidl_typesupport_introspection_c"]),
        compiler.link(f"lib{PACKAGE}__rosidl_typesupport_c.so", [messages / f"{STEM}__type_support.cpp"],
                      [*base, "rosidl_typesupport_c"]),
        compiler.link(f"lib{PACKAGE}__rosidl_generator_py.so", [messages / f"_{STEM}_s.c"],
                      [*_of_dependencies("rosidl_generator_py"), f"{PACKAGE}__rosidl_typesupport_c", *base]),
    ]
    for support in TYPE_SUPPORTS:
        built.append(compiler.link(
            f"{PACKAGE}_s__rosidl_typesupport_{support}.so",
            [sources.generated / f"_{PACKAGE}_s.ep.rosidl_typesupport_{support}.c"],
            [f"{PACKAGE}__rosidl_generator_py", f"{PACKAGE}__rosidl_typesupport_{support}",
             f"{PACKAGE}__rosidl_typesupport_c", *base]))
    return built


def _of_dependencies(kind: str) -> list[str]:
    """Names of the libraries of that kind of the message packages that ours uses."""
    return [f"{dependency}__{kind}" for dependency in DEPENDENCIES]


class _Compiler:
    """gcc and g++ (or CC and CXX) with the flags that all our libraries share."""

    def __init__(self, sources: Sources, prefix: Path) -> None:
        self.commands = {".c": [*_found("CC", "gcc"), "-std=gnu11"], ".cpp": [*_found("CXX", "g++"), "-std=c++17"]}
        self.out = sources.root / "libraries"
        self.out.mkdir()
        python = Path(sysconfig.get_paths()["include"])
        if not (python / "Python.h").is_file():
            raise InputError(f"tf2_msgs: no Python.h in {python}; {_apt_line()}")
        headers = [sources.include, python, np.get_include(), prefix / "include",
                   *(folder for folder in sorted((prefix / "include").iterdir()) if folder.is_dir())]
        self.flags = ["-O2", "-fPIC", "-shared", f'-DROS_PACKAGE_NAME="{PACKAGE}"', *(f"-I{path}" for path in headers)]
        self.link_flags = [f"-L{self.out}", f"-L{prefix / 'lib'}", "-Wl,-rpath,$ORIGIN",
                           f"-Wl,-rpath-link,{prefix / 'lib'}"]

    def link(self, name: str, files: list[Path], libraries: list[str]) -> Path:
        """Compile `files` (all C or all C++) into the shared library `name` against `libraries`."""
        command = [*self.commands[files[0].suffix], *self.flags, *map(str, files), "-o", str(self.out / name),
                   f"-Wl,-soname,{name}", *self.link_flags, *(f"-l{library}" for library in libraries)]
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            raise InputError(f"tf2_msgs: {command[0]} could not build {name} ({reason}); {_apt_line()}")
        return self.out / name


def _found(variable: str, default: str) -> list[str]:
    """The compiler that the environment names (with its options), or the usual one."""
    command = shlex.split(os.environ.get(variable) or default)
    if shutil.which(command[0]) is None:
        raise InputError(f"tf2_msgs: no compiler {command[0]} here; {_apt_line()}")
    return command


def _apt_line() -> str:
    """What to do about a missing piece; Debian and Ubuntu name the headers after the version of Python."""
    return (f"install compiler and headers (sudo apt-get install g++ python{sys.version_info[0]}."
            f"{sys.version_info[1]}-dev), then run: {sys.executable} -m crossi2p_ros.tf2_msgs_build")
