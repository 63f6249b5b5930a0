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
