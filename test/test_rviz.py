"""rviz/register.rviz shows topics that exist, by displays of their types, with a quality of service that matches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from ros_here import own_network, running_node

from crossi2p_core.datasets.bag_layout import CLOUD_TYPE, BagLayout
from crossi2p_core.refine.config import RefineConfig
from crossi2p_ros.lifecycle import NAME
from crossi2p_ros.outputs import Outputs
from crossi2p_ros.parameters import Settings
from crossi2p_ros.ros_compat.tf2 import Buffer

CONFIG = Path(__file__).resolve().parent.parent / "rviz" / "register.rviz"
# Of rviz_default_plugins/plugins_description.xml, the same from Humble to Kilted; None: shows no topic of its own.
DISPLAYS = {
    "Grid": None,
    "TF": None,
    "Image": "sensor_msgs/msg/Image",
    "PointCloud2": CLOUD_TYPE,
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
}


@pytest.fixture(scope="module")
def manager() -> dict[str, Any]:
    return yaml.safe_load(CONFIG.read_text())["Visualization Manager"]


@pytest.fixture(scope="module")
def published() -> dict[str, str]:
    """Type by topic of what the node publishes for people to look at."""
    with running_node(NAME, own_network()) as (node, _):
        outputs = Outputs(node, Settings, Buffer(), RefineConfig())
        topics = node.get_publisher_names_and_types_by_node(NAME, "/")
        outputs.close()
    return {topic: types[0] for topic, types in topics if topic.startswith(f"/{NAME}/")}


def test_every_display_shows_a_topic_of_its_type(manager: dict[str, Any], published: dict[str, str]) -> None:
    existing = published | {Settings().cloud_topic: CLOUD_TYPE}
    shown = {}
    for display in manager["Displays"]:
        package, _, kind = display["Class"].partition("/")
        assert package == "rviz_default_plugins" and display["Enabled"] and kind in DISPLAYS
        assert ("Topic" in display) == (DISPLAYS[kind] is not None)
        if "Topic" in display:
            shown[display["Topic"]["Value"]] = DISPLAYS[kind]
    assert shown == {topic: existing[topic] for topic in shown}
    unseen = {f"/{NAME}/extrinsic"}  # a transform: its frame is seen by the TF display
    assert set(shown) == set(existing) - unseen


def test_what_is_latched_is_asked_for_as_such(manager: dict[str, Any]) -> None:
    for display in manager["Displays"]:
        topic = display.get("Topic", {"Value": ""})
        if topic["Value"].startswith(f"/{NAME}/"):
            assert (topic["Durability Policy"], topic["Reliability Policy"]) == ("Transient Local", "Reliable")
        elif topic["Value"]:
            assert (topic["Durability Policy"], topic["Reliability Policy"]) == ("Volatile", "Best Effort")


def test_clouds_are_coloured_by_what_they_carry(manager: dict[str, Any]) -> None:
    colours = {display["Topic"]["Value"]: display["Color Transformer"] for display in manager["Displays"]
               if display["Class"].endswith("PointCloud2")}
    assert colours == {Settings().cloud_topic: "Intensity", f"/{NAME}/colored_points": "RGB8"}


def test_the_fixed_frame_is_that_of_our_bags(manager: dict[str, Any]) -> None:
    assert manager["Global Options"]["Fixed Frame"] == BagLayout().lidar_frame
