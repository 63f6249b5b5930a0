"""All parameters of the node in one table: `Settings` holds the values, `PARAMETERS` what is said of each.

A field of `Settings` is a parameter; its group becomes a prefix: `sync_slop` is `sync.slop`. What is read-only is read
once, at configure; everything else counts from the next pair on. No ROS here, so documentation can be made from the
table anywhere; declaration.py declares it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossi2p_core.errors import InputError
from crossi2p_core.monitor.config import MonitorConfig

TOPIC = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
GROUPS = ("qos", "sync", "prior", "tf", "gate", "warn", "monitor", "repair")


def parameter(default: Any, description: str, *, low: float | None = None, high: float | None = None,
              choices: tuple[str, ...] = (), live: bool = False) -> Any:
    """A field of `Settings`. low, high: both allowed. live: may be set while the node runs."""
    return dataclasses.field(default=default, metadata={
        "description": description, "low": low, "high": high, "choices": choices, "live": live})


@dataclass(frozen=True)
class Settings:
    """The values of all parameters."""

    # What to listen to, and on what
    image_topic: str = parameter("/camera/image_raw", "Image, or CompressedImage where the name ends in /compressed")
    camera_info_topic: str = parameter("", "CameraInfo; empty: camera_info beside the image")
    cloud_topic: str = parameter("/lidar/points", "PointCloud2")
    rectified: str = parameter("auto", "whether the image is undistorted, so that P of the CameraInfo counts; auto: "
                               "yes where the topic is called image_rect...", choices=("auto", "yes", "no"))
    camera_frame: str = parameter("", "optical frame of the camera (x right, y down); empty: as the images say")
    lidar_frame: str = parameter("", "frame of the LiDAR; empty: as the clouds say")
    device: str = parameter("auto", "auto (a GPU where there is one), cpu, cuda or cuda:N")
    config_file: str = parameter("", "YAML file with settings of the registration itself; empty: its defaults")
    weights: str = parameter("", "checkpoint of crossi2p train, for the network that helps to look for the start "
                             "where prior.source is none, or may be far off; default: the package's own; none: no "
                             "network; empty: as config_file says, else default")
    autostart: bool = parameter(False, "configure and activate without being asked, where no launch file does")

    # When to register what
    mode: str = parameter("continuous", "continuous: whenever the last one is done; periodic: every `period`; "
                          "manual: when ~/calibrate is called", choices=("continuous", "periodic", "manual"), live=True)
    period: float = parameter(10.0, "seconds between two registrations in the mode periodic", low=0.1, high=86400.0,
                              live=True)
    frames: int = parameter(1, "how many of the newest pairs are registered together", low=1, high=50, live=True)

    save_path: str = parameter("~/.ros/crossi2p/extrinsic.yaml", "what ~/save writes; URDF and command line beside it",
                               live=True)

    qos_reliability: str = parameter("best_effort", "of the subscriptions; best_effort hears every publisher",
                                     choices=("best_effort", "reliable"))
    qos_depth: int = parameter(5, "messages that wait per subscription", low=1, high=100)

    sync_slop: float = parameter(0.05, "seconds that image and cloud of a pair may be apart", low=0.0001, high=10.0)
    sync_queue_size: int = parameter(10, "messages per topic that wait for a partner", low=1, high=100)
    sync_time_offset: float = parameter(0.0, "seconds added to the images' stamps before they are compared", low=-10.0,
                                        high=10.0)
    sync_max_age: float = parameter(10.0, "seconds by which a pair may be older or newer than the node's clock; 0: any",
                                    low=0.0, high=86400.0, live=True)

    prior_source: str = parameter("tf", "where the start comes from: the tree of TF, prior.file, prior.translation and "
                                  "prior.quaternion_xyzw, or nowhere: it is looked for from scratch",
                                  choices=("tf", "file", "parameters", "none"),
                                  live=True)
    prior_file: str = parameter("", "YAML file with T_cam_lidar, such as ~/save writes", live=True)
    prior_translation: tuple[float, ...] = parameter((0.0, 0.0, 0.0), "x, y, z in metres of the camera in the LiDAR "
                                                     "frame", live=True)
    prior_quaternion_xyzw: tuple[float, ...] = parameter((0.0, 0.0, 0.0, 0.0), "rotation of the optical frame in the "
                                                         "LiDAR frame; all zeros: not given", live=True)
    prior_max_deg: float = parameter(2.0, "degrees by which the start may be wrong", low=0.1, high=180.0, live=True)
    prior_max_m: float = parameter(0.2, "metres by which the start may be wrong", low=0.01, high=10.0, live=True)

    tf_publish: str = parameter("ok", "which answers become TF: only those that are ok, uncertain ones too, or none; "
                                "in_use: the reference alone, whatever single answers say",
                                choices=("ok", "uncertain", "in_use", "none"), live=True)
    tf_parent: str = parameter("", "with tf.child: own this edge of the tree instead of a frame of our own")
    tf_child: str = parameter("", "with tf.parent: the frame that the edge leads to")

    gate_fixed_frame: str = parameter("", "frame that stands still, such as odom; empty: no gate on motion", live=True)
    gate_max_turn: float = parameter(10.0, "degrees per second above which a pair is passed over", low=0.1, high=1000.0,
                                     live=True)
    gate_max_speed: float = parameter(30.0, "metres per second above which a pair is passed over", low=0.01,
                                      high=1000.0, live=True)

    warn_deviation_deg: float = parameter(0.45, "degrees between estimate and reference that are worth a WARN", low=0.0,
                                          high=180.0, live=True)
    warn_deviation_cm: float = parameter(8.0, "centimetres between estimate and reference that are worth a WARN",
                                         low=0.0, high=1000.0, live=True)
    warn_age: float = parameter(60.0, "seconds after which the last valid result is too old; 0: never; in the "
                                "mode periodic not before two periods", low=0.0,
                                high=86400.0, live=True)

    monitor_least_deg: float = parameter(0.5, "degrees by which the camera must have turned to count as moved",
                                         low=0.01, high=45.0)
    monitor_least_cm: float = parameter(10.0, "centimetres by which it must have shifted to count as moved", low=0.1,
                                        high=1000.0)
    monitor_false_alarms: float = parameter(0.0001, "false alarms per answer, while nothing has moved", low=0.000001,
                                            high=0.05)
    monitor_window: int = parameter(50, "answers looked back", low=5, high=500)

    repair_policy: str = parameter("report", "report: an estimate becomes the reference when ~/accept is called; "
                                   "propose: the node says when that is due; apply: by itself, once the watch says "
                                   "decalibrated and `repair.agreeing` answers agree, or ten together are sure; saved",
                                   choices=("report", "propose", "apply"), live=True)
    repair_agreeing: int = parameter(3, "ok answers, whatever is not ok between them, all beyond warn.deviation_... "
                                     "from the reference and within it of each other, that make a repair", low=1,
                                     high=100, live=True)

    def __post_init__(self) -> None:
        """What holds between values. Raises InputError."""
        if len(self.prior_translation) != 3 or len(self.prior_quaternion_xyzw) != 4:
            raise InputError("prior.translation has three numbers and prior.quaternion_xyzw four; give all of them")
        if bool(self.tf_parent) != bool(self.tf_child):
            raise InputError("tf.parent and tf.child name one edge together; give both or neither")
        if self.tf_parent and self.tf_parent == self.tf_child:
            raise InputError(f"tf.parent and tf.child are both {self.tf_parent!r}; an edge leads from one to another")
        if self.tf_parent and self.prior_source == "tf":
            raise InputError("with an edge of its own (tf.parent, tf.child) the node would start from its own answer; "
                             "set prior.source to file or parameters")
        for name, topic in (("image_topic", self.image_topic), ("cloud_topic", self.cloud_topic),
                            ("camera_info_topic", self.camera_info_topic or "/empty")):
            if not TOPIC.fullmatch(topic):
                raise InputError(f"{name} {topic!r} is no name of a topic; write words of letters, digits and _, "
                                 "with single slashes between")
        for name, path in (("config_file", self.config_file), ("weights", self.weights),
                           ("prior.file", self.prior_file), ("save_path", self.save_path)):
            _check_path(name, path)
        if self.prior_source == "file" and not self.prior_file:
            raise InputError("prior.source is file but prior.file is empty; name the file")
        if not self.save_path.endswith((".yaml", ".yml")):
            raise InputError(f"save_path {self.save_path!r} does not end in .yaml; name a YAML file")

    def worth_a_warning(self, degrees: float, centimetres: float) -> bool:
        """Whether estimate and reference are further apart than an estimate may be wrong."""
        return degrees > self.warn_deviation_deg or centimetres > self.warn_deviation_cm

    @property
    def monitor_config(self) -> MonitorConfig:
        """Settings of the watch."""
        return MonitorConfig(least_deg=self.monitor_least_deg, least_m=self.monitor_least_cm / 100,
                             false_alarms=self.monitor_false_alarms, window=self.monitor_window)

    @property
    def info_topic(self) -> str:
        """The CameraInfo that belongs to the image: as named, or beside it."""
        above, slash, _ = self.image_topic.removesuffix("/compressed").rpartition("/")
        return self.camera_info_topic or f"{above}{slash}camera_info"


def _check_path(name: str, path: str) -> None:
    """Raise InputError where no file can be called so."""
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{name} {path!r} begins with the home of somebody who has none here; write the whole path") \
            from error
    if "\0" in path:
        raise InputError(f"{name} {path!r} holds a zero character, which no path can; write another one")


KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text",
         "float[]": "a list of numbers"}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Parameter:
    """What is said of one parameter. kind: bool, int, float, str or float[]."""

    name: str
    field: str
    kind: str
    default: Any
    description: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool

    def read(self, value: Any) -> Any:
        """The value as its kind has it. People write 0 for 0.0, and YAML reads yes and no as bool. Raises InputError
        for another kind of value."""
        if isinstance(value, bool) and {"yes", "no"} <= set(self.choices):
            return "yes" if value else "no"
        if self.kind == "float" and _is_number(value):
            return float(value)
        if self.kind == "float[]" and isinstance(value, (list, tuple, array)) and all(map(_is_number, value)):
            return tuple(map(float, value))
        if type(value) is {"bool": bool, "int": int, "str": str}.get(self.kind):
            return value
        raise InputError(f"{self.name} must be {KINDS[self.kind]}; it is {value!r}")

    def why_not(self, value: Any) -> str:
        """Why a value cannot be had, empty where it can."""
        numbers = value if self.kind == "float[]" else [value] if self.kind in ("int", "float") else []
        if not all(math.isfinite(number) for number in numbers):
            return f"{self.name} must be finite; it is {value}"
        if self.choices and value not in self.choices:
            return f"{self.name} must be one of {', '.join(self.choices)}; it is {value!r}"
        for number in numbers:
            if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
                return f"{self.name} must lie in {self.low} .. {self.high}; it is {number}"
        return ""


def _table() -> tuple[Parameter, ...]:
    kinds = {bool: "bool", int: "int", float: "float", str: "str", tuple[float, ...]: "float[]"}
    hints = typing.get_type_hints(Settings)
    rows = []
    for field in dataclasses.fields(Settings):
        group, _, rest = field.name.partition("_")
        name = f"{group}.{rest}" if group in GROUPS else field.name
        rows.append(Parameter(name, field.name, kinds[hints[field.name]], field.default, **field.metadata))
    return tuple(rows)


PARAMETERS = _table()


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings of parameter names and values, defaults for what is missing. Raises InputError, with the reason."""
    chosen: dict[str, Any] = {}
    for row in PARAMETERS:
        if row.name not in values:
            continue
        value = row.read(values[row.name])
        if reason := row.why_not(value):
            raise InputError(reason)
        chosen[row.field] = value
    return Settings(**chosen)
