"""Where the files of this package lie that are no Python: config/, launch/, rviz/."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from crossi2p_core.errors import InputError

PACKAGE = "crossi2p_ros"
FAST_DDS_PROFILE = "config/fastdds_large_messages.xml"
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
FORMER_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
BEFORE_FAST_DDS_3 = ("humble", "iron", "jazzy")  # these read the former name alone (rmw_fastrtps issue 862)


def shared_file(name: str) -> Path:
    """Path of a file such as `config/register.yaml`, in the clone we run from, a workspace, or the environment."""
    looked = [folder / name for folder in _folders()]
    for path in looked:
        if path.is_file():
            return path
    raise InputError(f"{name} of {PACKAGE} is not installed (looked for {', '.join(map(str, looked))}); install the "
                     "package again: pip install, or colcon build and source the workspace")


def profile_variable(environment: Mapping[str, str] = os.environ) -> str:
    """Name of the variable in which the Fast DDS of this distribution looks for its profiles."""
    return FORMER_PROFILE_VARIABLE if environment.get("ROS_DISTRO") in BEFORE_FAST_DDS_3 else PROFILE_VARIABLE


def use_large_message_profile(environment: MutableMapping[str, str] = os.environ) -> Path:
    """Let processes with this environment, ours included before ROS starts in it, send big messages without loss.

    A profile that the user has set is kept; one under the name that this distribution does not read gets the other
    name, too. Returns the path of the one in force.
    """
    read = profile_variable(environment)
    for name in (read, PROFILE_VARIABLE, FORMER_PROFILE_VARIABLE):
        if name in environment:
            return Path(environment.setdefault(read, environment[name]))
    return Path(environment.setdefault(read, str(shared_file(FAST_DDS_PROFILE))))


def _folders() -> Iterator[Path]:
    """Where share files of this package can be, the surest place first."""
    clone = Path(__file__).resolve().parent.parent
    if (clone / "package.xml").is_file():
        yield clone
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if prefix:
            yield Path(prefix) / "share" / PACKAGE
    yield Path(sys.prefix) / "share" / PACKAGE
    for above in clone.parents:  # pip install --user, or a prefix of a distribution's own: /usr/local
        yield above / "share" / PACKAGE
