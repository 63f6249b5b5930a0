"""What ~/save leaves on disk: YAML, a URDF snippet and a static_transform_publisher line, all of one extrinsic."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from crossi2p_core.calibrate.formats import static_transform
from crossi2p_core.calibration_file import Extrinsic, read_extrinsic, replace_keeping_former, write_calibration
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3

from .outcome import Outcome
from .prior import is_of_others
from .ros_compat.tf_transformations import euler_from_matrix


def save(outcome: Outcome, path: str | Path) -> list[Path]:
    """Write all three, each in one step, former ones kept as `.bak`; returns their paths, the YAML file's first.

    Beside NAME.yaml lie NAME.urdf.xml and NAME.static_transform.txt. Where NAME.yaml is a link, what it leads
    to is written. Raises InputError where the place is not writable, or holds the extrinsic of other sensors.
    """
    path = _followed(Path(path).expanduser())
    found = outcome.registration
    late = _late_as_before(path, (outcome.lidar_frame, outcome.camera_frame))
    write_calibration(path, Extrinsic(
        found.T_cam_lidar, outcome.camera_frame, outcome.lidar_frame, found.covariance, found.status, found.reason,
        f"pair at {outcome.sample.name}", time_offset_s=late))
    texts = {path.with_suffix(".urdf.xml"): urdf_joint(outcome),
             path.with_suffix(".static_transform.txt"): static_transform_line(outcome)}
    for place, text in texts.items():
        replace_keeping_former(place, text.encode())
    return [path, *texts]


def _followed(path: Path) -> Path:
    """Where a link leads to: writing in one step would put a file in the link's place."""
    try:
        return path.resolve() if os.path.islink(path) else path  # of a name that cannot be, the writer says why
    except (OSError, RuntimeError) as error:
        raise InputError(f"save_path {path} is a link that leads nowhere ({error}); correct it") from error


def _late_as_before(path: Path, frames: tuple[str, str]) -> float | None:
    """s, the offset that the former file has: images are late whoever finds the camera. Raises InputError where that
    file is of other sensors; one that is none of ours is kept as `.bak` as any other."""
    if not os.path.isfile(path):
        return None
    try:
        former = read_extrinsic(path)
    except InputError:
        return None
    if is_of_others(former, *frames):
        raise InputError(f"{path} is of the LiDAR {former.lidar_frame} and the camera {former.camera_frame}, not of "
                         f"{frames[0]} and {frames[1]}; set save_path to a file of its own, or move that one away")
    return former.time_offset_s


def urdf_joint(outcome: Outcome) -> str:
    """A fixed joint from the LiDAR to the camera's optical frame."""
    T = se3.inverse(outcome.registration.T_cam_lidar)
    joint = f"{outcome.lidar_frame}_to_{outcome.camera_frame}".replace("/", "_")
    return (f'<joint name={quoteattr(joint)} type="fixed">\n  <parent link={quoteattr(outcome.lidar_frame)}/>\n'
            f'  <child link={quoteattr(outcome.camera_frame)}/>\n'
            f'  <origin xyz="{_line(T[:3, 3])}" rpy="{_line(euler_from_matrix(T))}"/>\n</joint>\n')


def static_transform_line(outcome: Outcome) -> str:
    """The command that publishes the extrinsic as TF."""
    return static_transform(outcome.registration.T_cam_lidar, outcome.lidar_frame, outcome.camera_frame)


def _line(values: np.ndarray | tuple[float, ...]) -> str:
    """Numbers that read back to the same bits."""
    return " ".join(repr(float(value)) for value in values)
