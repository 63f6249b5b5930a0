"""Where the start of a registration comes from, which is also what its answer is compared with: the reference.

A transform that is missing is said to be missing; it never becomes the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from rclpy.time import Time

from crossi2p_core.calibration_file import read_calibration
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw

from .parameters import Settings
from .ros_compat.tf2 import Buffer, ExtrapolationException, TransformException


class Reference:
    """The extrinsic that counts as known: what was accepted, else what `prior.source` says."""

    def __init__(self, settings: Callable[[], Settings], buffer: Buffer) -> None:
        self._settings, self._buffer = settings, buffer
        self._accepted: tuple[np.ndarray, tuple[str, str]] | None = None

    @property
    def accepted(self) -> bool:
        """Whether an estimate has taken the place of the source."""
        return self._accepted is not None

    def accept(self, T_cam_lidar: np.ndarray, lidar_frame: str, camera_frame: str) -> None:
        """From now on this (4, 4) is the reference between these two frames."""
        self._accepted = se3.check_transform(T_cam_lidar, "the accepted extrinsic"), (lidar_frame, camera_frame)

    def reset(self) -> None:
        """Back to the source."""
        self._accepted = None

    def find(self, lidar_frame: str, camera_frame: str, stamp: int) -> np.ndarray | None:
        """T_cam_lidar (4, 4) for a scan with this stamp (ns); None where `prior.source` is none. Raises InputError that
        says what is missing.

        What was accepted for other sensors than these says nothing of them.
        """
        if self._accepted is not None and self._accepted[1] == (lidar_frame, camera_frame):
            return self._accepted[0]
        chosen = self._settings()
        if chosen.prior_source == "file":
            return read_calibration(Path(chosen.prior_file).expanduser())
        if chosen.prior_source == "parameters":
            return _from_parameters(chosen)
        if chosen.prior_source == "tf":
            return self._from_tf(lidar_frame, camera_frame, stamp)
        return None

    def _from_tf(self, lidar_frame: str, camera_frame: str, stamp: int) -> np.ndarray:
        """What the tree says of that moment, or else its newest: a late /tf must not stop us."""
        try:
            try:
                message = self._buffer.lookup_transform(camera_frame, lidar_frame, Time(nanoseconds=stamp))
            except ExtrapolationException:
                message = self._buffer.lookup_transform(camera_frame, lidar_frame, Time())
        except TransformException as error:
            raise InputError(f"TF does not lead from {lidar_frame} to {camera_frame} ({error}); publish the static "
                             "transform, or set prior.source to file or parameters") from error
        return transform_from_message(message.transform, f"TF from {lidar_frame} to {camera_frame}")


def _from_parameters(chosen: Settings) -> np.ndarray:
    """The inverse of where the camera is in the LiDAR frame."""
    if not any(chosen.prior_quaternion_xyzw):
        raise InputError("prior.source is parameters but prior.quaternion_xyzw is all zeros; set it and "
                         "prior.translation to where the camera is in the LiDAR frame")
    R = rotation_from_xyzw(chosen.prior_quaternion_xyzw, "prior.quaternion_xyzw")
    return se3.inverse(se3.make(R, np.asarray(chosen.prior_translation, dtype=np.float64)))
