"""The table of parameters, what it refuses, and the files that are made from it. Needs no ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crossi2p_core.errors import InputError
from crossi2p_ros.generated_docs import TABLES, yaml_text
from crossi2p_ros.parameters import PARAMETERS, Settings, settings_from

CONFIG = Path(__file__).resolve().parent.parent / "config" / "register.yaml"


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names."""
    names: dict[str, Any] = {}
    for key, value in values.items():
        names |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return names


def test_the_parameter_file_is_the_table() -> None:
    assert CONFIG.read_text() == yaml_text()
    values = flat(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"])
    assert list(values) == [row.name for row in PARAMETERS]
    assert settings_from(values) == Settings()


def test_every_value_of_the_file_has_the_type_that_ros_expects() -> None:
    values = flat(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"])
    types = {"bool": bool, "int": int, "float": float, "str": str, "float[]": list}
    assert all(type(values[row.name]) is types[row.kind] for row in PARAMETERS)


def test_every_parameter_is_described_and_stands_in_the_table() -> None:
    assert all(row.description for row in PARAMETERS)
    lines = TABLES["parameters"]().splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == [row.name for row in PARAMETERS]
    assert all(line.count("|") == 5 for line in lines)


def test_numbers_have_ranges_and_defaults_are_allowed() -> None:
    for row in PARAMETERS:
        assert row.kind not in ("int", "float") or (row.low is not None and row.high is not None), row.name
        assert not row.why_not(row.default)


@pytest.mark.parametrize(("values", "words"), [
    ({"period": "often"}, "period must be a number; it is 'often'"),
    ({"period": True}, "period must be a number"),
    ({"period": None}, "period must be a number"),
    ({"frames": 5.0}, "frames must be a whole number"),
    ({"prior.translation": [0, "x", 0]}, "must be a list of numbers"),
    ({"image_topic": 5}, "image_topic must be text"),
    ({"autostart": "yes"}, "autostart must be true or false"),
    ({"mode": True}, "mode must be text"),
    ({"mode": "sometimes"}, "continuous, periodic, manual"),
    ({"sync.slop": 0.0}, "sync.slop must lie in"),
    ({"sync.time_offset": float("nan")}, "finite"),
    ({"frames": 51}, "frames must lie in"),
    ({"prior.translation": [0.0, 1.0]}, "three numbers"),
    ({"prior.source": "file"}, "name the file"),
    ({"tf.parent": "base"}, "give both"),
    ({"tf.parent": "base", "tf.child": "base", "prior.source": "parameters"}, "leads from one to another"),
    ({"tf.parent": "base", "tf.child": "camera"}, "its own answer"),
    ({"save_path": "~/extrinsic"}, "does not end in .yaml"),
    ({"save_path": "~nobody-of-this-name/extrinsic.yaml"}, "save_path .* write the whole path"),
    ({"weights": "~nobody-of-this-name/x.json"}, "weights .* write the whole path"),
    ({"save_path": "a\0b.yaml"}, "zero character"),
])
def test_what_cannot_be_is_refused_with_the_reason(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings_from(values)


def test_whole_numbers_are_numbers_and_yes_is_a_word() -> None:
    given = settings_from({"sync.max_age": 0, "prior.translation": [1, 2, 3.5], "rectified": True, "warn.age": 5})
    assert (given.sync_max_age, given.prior_translation, given.rectified) == (0.0, (1.0, 2.0, 3.5), "yes")
    assert type(given.warn_age) is float and settings_from({"rectified": False}).rectified == "no"


@pytest.mark.parametrize(("given", "info"), [
    ({"image_topic": "/front/image_raw"}, "/front/camera_info"),
    ({"image_topic": "/front/image_raw/compressed"}, "/front/camera_info"),
    ({"image_topic": "/front/image_raw", "camera_info_topic": "/other"}, "/other"),
    ({"image_topic": "image_raw"}, "camera_info"),
    ({"image_topic": "image_raw/compressed"}, "camera_info"),
    ({"image_topic": "/image_raw"}, "/camera_info"),
    ({"image_topic": "~/image_raw"}, "~/camera_info"),
])
def test_the_camera_info_lies_beside_the_image(given: dict[str, str], info: str) -> None:
    assert settings_from(given).info_topic == info


def test_the_watch_is_set_in_the_units_that_are_written() -> None:
    config = Settings(monitor_least_cm=7.0, monitor_least_deg=0.4, monitor_false_alarms=0.01,
                      monitor_window=9).monitor_config
    assert (config.least_m, config.least_deg, config.false_alarms, config.window) == (0.07, 0.4, 0.01, 9)
