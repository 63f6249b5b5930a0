"""What ~/save leaves on disk: YAML, a URDF snippet and a static_transform_publisher line, all of one extrinsic."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from crossi2p_core.calibrate.formats import static_transform
from crossi2p_core.calibration_file import Extrinsic, replace_keeping_former, write_calibration
from crossi2p_core.geometry import se3

from .outcome import Outcome
from .ros_compat.tf_transformations import euler_from_matrix


def save(outcome: Outcome, path: str | Path) -> list[Path]:
    """Write all three, each in one step, former ones kept as `.bak`; returns their paths, the YAML file's first.

    Beside NAME.yaml lie NAME.urdf.xml and NAME.static_transform.txt. Raises InputError where the place is not writable.
    """
    path = Path(path).expanduser()
    found = outcome.registration
    write_calibration(path, Extrinsic(
        found.T_cam_lidar, outcome.camera_frame, outcome.lidar_frame, found.covariance, found.status, found.reason,
        f"pair at {outcome.sample.name}"))
    texts = {path.with_suffix(".urdf.xml"): urdf_joint(outcome),
             path.with_suffix(".static_transform.txt"): static_transform_line(outcome)}
    for place, text in texts.items():
        replace_keeping_former(place, text.encode())
    return [path, *texts]


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
