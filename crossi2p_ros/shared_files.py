"""Where the files of this package lie that are no Python: config/, launch/, rviz/."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from crossi2p_core.errors import InputError

PACKAGE = "crossi2p_ros"
FAST_DDS_PROFILE = "config/fastdds_large_messages.xml"
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"


def shared_file(name: str) -> Path:
    """Path of a file such as `config/register.yaml`, in the clone we run from, a workspace, or the environment."""
    looked = [folder / name for folder in _folders()]
    for path in looked:
        if path.is_file():
            return path
    raise InputError(f"{name} of {PACKAGE} is not installed (looked for {', '.join(map(str, looked))}); install the "
                     "package again: pip install, or colcon build and source the workspace")


def use_large_message_profile(environment: MutableMapping[str, str] = os.environ) -> Path:
    """Let processes with this environment, ours included before ROS starts in it, send big messages without loss.

    A profile that the user has set is kept. Returns the path of the one in force.
    """
    chosen = environment.setdefault(PROFILE_VARIABLE, str(shared_file(FAST_DDS_PROFILE)))
    return Path(chosen)


def _folders() -> Iterator[Path]:
    """Where share files of this package can be, the surest place first."""
    clone = Path(__file__).resolve().parent.parent
    if (clone / "package.xml").is_file():
        yield clone
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / PACKAGE
    yield Path(sys.prefix) / "share" / PACKAGE
