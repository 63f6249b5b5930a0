"""Hostile cameras: a running node, real DDS, images and calibrations that lie. It names them and recovers.

Hostile LiDARs and clocks stand in test_register_hostile_clouds.py, topics in test_register_hostile_topics.py;
test_messages_properties.py lets hypothesis think up messages for the conversions themselves.
"""

from __future__ import annotations

import hostile_messages
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make install, or source a distribution")
from hostile_messages import CALIBRATIONS, IMAGES, Case
from hostile_sessions import ERROR, counted, registers, sending_without, session, suffer, tiny_street
from rclpy.serialization import serialize_message
from registering import Sensors

from crossi2p_core.errors import InputError
from crossi2p_core.types import Sample
from crossi2p_ros.messages.live import LiveMessages
from crossi2p_ros.messages.sample import sample_from_messages


@pytest.fixture(scope="module")
def sample() -> Sample:
    """What the messages tell while they are whole."""
    return tiny_street()


@pytest.mark.parametrize("case", [each for each in IMAGES + CALIBRATIONS + hostile_messages.CLOUDS
                                  if each.counter == "refused: "], ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_words(sample: Sample, case: Case) -> None:
    make = LiveMessages()
    three = (make.image(sample.image, 10**9, "camera"), make.camera_info(sample.camera, 10**9, "camera"),
             make.cloud(sample.cloud, 10**9, "lidar"))
    case.damage(*three)
    if not case.words or "frame" in case.name:  # frames mean something to the node alone
        assert len(sample_from_messages(*three).cloud)
        return
    with pytest.raises(InputError) as refused:
        sample_from_messages(*three, image_topic="/camera/image_raw", cloud_topic="/lidar/points")
    assert case.words in str(refused.value) and ";" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("cases", [
    [each for each in IMAGES + CALIBRATIONS if not each.rare],
    pytest.param([each for each in IMAGES + CALIBRATIONS if each.rare], marks=pytest.mark.slow),
], ids=["often", "rare"])
def test_a_node_survives_and_names_bad_images_and_calibrations(cases: list[Case]) -> None:
    with session() as (robot, process):
        assert no_calibration_yet(robot), robot.said
        suffer(robot, process, cases)
        garble(robot)
        assert process.poll() is None and registers(robot), robot.said


def no_calibration_yet(robot: Sensors) -> bool:
    """Whether a calibration that has not come is missed, and counted."""
    before_it = Case("", lambda *three: None, "pairs came before the first camera info on /camera/camera_info")
    return sending_without(robot, "info", lambda: robot.says("no camera info yet") and robot.level() == ERROR
                           and counted(robot, before_it) > 0)


def garble(robot: Sensors) -> None:
    """Messages that end in the middle, have no header, or are noise."""
    rng = np.random.default_rng(0)
    for cut, noise in ((0.5, 0), (1.0, 40), (1.0, 400), (0.01, 4)):
        for message, publisher in zip(robot.messages(), (robot.images, robot.infos, robot.clouds), strict=True):
            written = np.frombuffer(serialize_message(message), np.uint8).copy()
            written[rng.integers(4, min(400, len(written)), noise)] = rng.integers(0, 256, noise)
            publisher.publish(written[:max(8, int(cut * len(written)))].tobytes())
