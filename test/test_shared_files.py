"""The large-message profile goes where the Fast DDS of each distribution looks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossi2p_ros import shared_files
from crossi2p_ros.shared_files import FAST_DDS_PROFILE, profile_variable, shared_file, use_large_message_profile

FASTDDS, FASTRTPS = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
READ = [("humble", FASTRTPS), ("iron", FASTRTPS), ("jazzy", FASTRTPS), ("kilted", FASTDDS), ("rolling", FASTDDS),
        ("", FASTDDS)]


@pytest.mark.parametrize(("distribution", "variable"), READ)
def test_the_profile_is_set_where_the_distribution_reads_it(distribution: str, variable: str) -> None:
    environment = {"ROS_DISTRO": distribution}
    assert profile_variable(environment) == variable
    assert use_large_message_profile(environment) == shared_file(FAST_DDS_PROFILE)
    assert environment == {"ROS_DISTRO": distribution, variable: str(shared_file(FAST_DDS_PROFILE))}


@pytest.mark.parametrize(("distribution", "variable"), READ)
@pytest.mark.parametrize("set_by_user", [FASTDDS, FASTRTPS])
def test_a_users_own_profile_is_kept_under_either_name(distribution: str, variable: str, set_by_user: str) -> None:
    environment = {"ROS_DISTRO": distribution, set_by_user: "mine.xml"}
    assert use_large_message_profile(environment) == Path("mine.xml")
    assert environment[variable] == environment[set_by_user] == "mine.xml"


@pytest.mark.parametrize("prefix", ["venv", "home/.local", "usr/local"])
def test_files_are_found_below_the_prefix_that_the_package_was_installed_to(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """`pip install --user`, and Debian's own pip, install to prefixes that are not the interpreter's."""
    installed = tmp_path / prefix / "lib" / "python3.12" / "site-packages" / "crossi2p_ros" / "shared_files.py"
    shared = tmp_path / prefix / "share" / "crossi2p_ros" / FAST_DDS_PROFILE
    for path in (installed, shared):
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.setattr(shared_files, "__file__", str(installed))
    assert shared_file(FAST_DDS_PROFILE) == shared


def test_of_two_profiles_the_one_that_is_read_counts() -> None:
    both = {FASTDDS: "new.xml", FASTRTPS: "old.xml"}
    assert use_large_message_profile(both | {"ROS_DISTRO": "jazzy"}) == Path("old.xml")
    assert use_large_message_profile(both | {"ROS_DISTRO": "kilted"}) == Path("new.xml")
