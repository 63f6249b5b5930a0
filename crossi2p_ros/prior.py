"""Where the start of a registration comes from, which is also what its answer is compared with: the reference.

A transform that is missing is said to be missing; it never becomes the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from rclpy.time import Time

from crossi2p_core.calibration_file import Extrinsic, read_extrinsic
from crossi2p_core.datasets.messages.transforms import transform_from_message
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.geometry.quaternion import rotation_from_xyzw

from .parameters import Settings
from .ros_compat.tf2 import Buffer, ExtrapolationException, TransformException

SAME_OFFSET_S = 0.001  # by which two offsets may differ and still be one


class Reference:
    """The extrinsic that counts as known: what was accepted, else what `prior.source` says."""

    def __init__(self, settings: Callable[[], Settings], buffer: Buffer,
                 warn: Callable[[str], None] = lambda words: None) -> None:
        """warn: takes, once, what speaks against a start that can be had."""
        self._settings, self._buffer, self._warn = settings, buffer, warn
        self._warned = ""
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

    def find(self, lidar_frame: str, camera_frame: str, stamp: int,
             then: np.ndarray | None = None) -> np.ndarray | None:
        """T_cam_lidar (4, 4) for a scan with this stamp (ns); None where `prior.source` is none. Raises InputError that
        says what is missing.

        What was accepted for other sensors than these says nothing of them. then: (4, 4), what the tree said of that
        moment when it was asked before; counts where it remembers it no more.
        """
        if self._accepted is not None and self._accepted[1] == (lidar_frame, camera_frame):
            return self._accepted[0]
        chosen = self._settings()
        if chosen.prior_source == "file":
            return self._from_file(Path(chosen.prior_file).expanduser(), lidar_frame, camera_frame)
        if chosen.prior_source == "parameters":
            return _from_parameters(chosen)
        if chosen.prior_source == "tf":
            return self._from_tf(lidar_frame, camera_frame, stamp, then)
        return None

    def _from_file(self, path: Path, lidar_frame: str, camera_frame: str) -> np.ndarray:
        """What the file says of these two; one of other sensors would be a wrong start that looks like a good one."""
        said = read_extrinsic(path)
        if is_of_others(said, lidar_frame, camera_frame):
            raise InputError(f"prior.file {path} is of the LiDAR {said.lidar_frame} and the camera "
                             f"{said.camera_frame}, not of "
                             f"{lidar_frame} and {camera_frame}; name another file, or correct the names in it")
        self._compare_offset(path, said.time_offset_s)
        return said.T_cam_lidar

    def _compare_offset(self, path: Path, late: float | None) -> None:
        """Warn, once, where the file has another offset (s) than the pairs are made by."""
        set_to = self._settings().sync_time_offset
        if late is None or abs(late - set_to) <= SAME_OFFSET_S:
            return
        words = (f"prior.file {path} holds where images are {late:g} s late (time_offset_s), and sync.time_offset is "
                 f"{set_to:g}; set it to {late:g}, or calibrate anew")
        if words != self._warned:
            self._warned = words
            self._warn(words)

    def _from_tf(self, lidar_frame: str, camera_frame: str, stamp: int, then: np.ndarray | None) -> np.ndarray:
        """What the tree says of that moment, or else its newest: a late /tf must not stop us."""
        if lidar_frame == camera_frame:  # of which TF says that nothing lies between
            raise InputError(f"image and cloud both name the frame {lidar_frame}; set camera_frame or lidar_frame to "
                             "the sensor's own, or prior.source to file or parameters")
        try:
            try:
                message = self._buffer.lookup_transform(camera_frame, lidar_frame, Time(nanoseconds=stamp))
            except ExtrapolationException:
                if then is not None:
                    return then
                message = self._buffer.lookup_transform(camera_frame, lidar_frame, Time())
        except TransformException as error:
            raise InputError(f"TF does not lead from {lidar_frame} to {camera_frame} ({error}); publish the static "
                             "transform, or set prior.source to file or parameters") from error
        return transform_from_message(message.transform, f"TF from {lidar_frame} to {camera_frame}")


def is_of_others(said: Extrinsic, *frames: str) -> bool:
    """Whether a file names other frames than these, of a LiDAR and of a camera. The general names, which are written
    where nobody knows better, name nobody."""
    named = (said.lidar_frame, Extrinsic.lidar_frame), (said.camera_frame, Extrinsic.camera_frame)
    return any(name not in (general, "") and name.lstrip("/") != frame.lstrip("/")
               for (name, general), frame in zip(named, frames, strict=True))


def _from_parameters(chosen: Settings) -> np.ndarray:
    """The inverse of where the camera is in the LiDAR frame."""
    if not any(chosen.prior_quaternion_xyzw):
        raise InputError("prior.source is parameters but prior.quaternion_xyzw is all zeros; set it and "
                         "prior.translation to where the camera is in the LiDAR frame")
    R = rotation_from_xyzw(chosen.prior_quaternion_xyzw, "prior.quaternion_xyzw")
    return se3.inverse(se3.make(R, np.asarray(chosen.prior_translation, dtype=np.float64)))
