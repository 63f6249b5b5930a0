"""From the definition of tf2_msgs/msg/TFMessage to sources in C, C++ and Python, by the wheels' rosidl generators."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

PACKAGE, MESSAGE, STEM = "tf2_msgs", "TFMessage", "tf_message"
DEPENDENCIES = ("geometry_msgs", "std_msgs", "builtin_interfaces")

MSG = "geometry_msgs/TransformStamped[] transforms\n"
IDL = """\
#include "geometry_msgs/msg/TransformStamped.idl"
module tf2_msgs {
  module msg {
    struct TFMessage {
      sequence<geometry_msgs::msg::TransformStamped> transforms;
    };
  };
};
"""


@dataclass(frozen=True)
class Sources:
    """Where everything that was generated lies; `root` is removed by whoever made it."""

    root: Path
    fastrtps: Path  # type support for Fast DDS, C++
    introspection: Path  # type support by introspection, C

    @property
    def interface(self) -> Path:
        """Folder of the .idl that everything was made from."""
        return self.root / "interface"

    @property
    def include(self) -> Path:
        """Folder to name by -I, so that `#include "tf2_msgs/msg/..."` is found."""
        return self.root / "generated"

    @property
    def generated(self) -> Path:
        """Folder of the package itself: `msg/` with Python and C, `_tf2_msgs_s.ep.*.c` with the extension modules."""
        return self.include / PACKAGE


def generate_sources(root: Path, prefix: Path) -> Sources:
    """Run every generator that rclpy's Python messages need; `prefix` is where the wheels put `share/`."""
    sources = Sources(root, root / "fastrtps.cpp", root / "introspection.c")
    (sources.interface / "msg").mkdir(parents=True)
    (sources.interface / "msg" / f"{MESSAGE}.idl").write_text(IDL)
    detail = sources.generated / "msg" / "detail"
    with _generators_find(prefix):
        _generate("rosidl_generator_c", "GenerateC", sources, prefix)
        _generate("rosidl_typesupport_c", "GenerateCTypesupport", sources, prefix)
        _generate("rosidl_typesupport_fastrtps_c", "GenerateFastRTPSCTypesupport", sources, prefix)
        (detail / f"{STEM}__type_support_c.cpp").rename(sources.fastrtps)
        # Two generators write this file, and what the first one puts there is not needed as a file of its own.
        (detail / f"{STEM}__type_support.c").unlink()
        _generate("rosidl_typesupport_introspection_c", "GenerateIntrospectionCTypesupport", sources, prefix)
        (detail / f"{STEM}__type_support.c").rename(sources.introspection)
        _generate("rosidl_generator_py", "GeneratePython", sources, prefix)
    return sources


def _generate(package: str, extension: str, sources: Sources, prefix: Path) -> None:
    """Let one generator package add its files to the generated folder."""
    generator = getattr(import_module(f"{package}.cli"), extension)(package)
    shares = [str(prefix / "share" / dependency) for dependency in DEPENDENCIES]
    generator.generate(PACKAGE, [f"{sources.interface}:msg/{MESSAGE}.idl"], shares, output_path=sources.generated)


@contextmanager
def _generators_find(prefix: Path) -> Iterator[None]:
    """Generators find their templates and each other through AMENT_PREFIX_PATH, which only a distribution sets."""
    logging.getLogger("rosidl_cli").setLevel(logging.ERROR)  # it warns of entry points that the wheels list twice
    before = os.environ.get("AMENT_PREFIX_PATH")
    os.environ["AMENT_PREFIX_PATH"] = str(prefix)
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMENT_PREFIX_PATH"]
        else:
            os.environ["AMENT_PREFIX_PATH"] = before
