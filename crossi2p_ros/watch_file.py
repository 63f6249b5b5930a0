"""The guard's memory: what it knew before a restart, for which sensors, and what was repaired then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crossi2p_core.calibration_file import read_extrinsic
from crossi2p_core.errors import InputError
from crossi2p_core.geometry import se3
from crossi2p_core.monitor.config import MonitorConfig
from crossi2p_core.monitor.state_file import SAME, read_told, write_watch
from crossi2p_core.monitor.watch import Watch

from .outcome import Outcome
from .parameters import Settings

Frames = tuple[str, str]  # of the LiDAR and of the camera


@dataclass(frozen=True)
class Kept:
    """What the file holds. instead_of: the reference that a repair took the place of, None without a repair."""

    watch: Watch
    frames: Frames
    instead_of: np.ndarray | None


@dataclass(frozen=True)
class Before:
    """What the last run ended with. in_use: an outcome that tells the calibration that was in use then, where that is
    not what the reference says now."""

    kept: Kept
    in_use: Outcome | None


class Memory:
    """NAME.watch.json beside the NAME.yaml of ~/save."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    @property
    def path(self) -> Path:
        """Where it is by the settings of now."""
        return Path(self._settings().save_path).expanduser().with_suffix(".watch.json")

    def write(self, kept: Kept) -> list[str]:
        """Atomically; returns why not, where that fails."""
        before = None if kept.instead_of is None else kept.instead_of.tolist()
        lidar_frame, camera_frame = kept.frames
        told = {"lidar_frame": lidar_frame, "camera_frame": camera_frame, "instead_of": before}
        if others := self._others(kept.frames):
            return [f"the state of the watch is not kept: {self.path} is of the LiDAR {others[0]} and the camera "
                    f"{others[1]}; set save_path to a file of its own, or remove that one"]
        try:
            write_watch(self.path, kept.watch, told)
        except InputError as error:
            return [str(error)]
        return []

    def read(self, frames: Frames | None) -> tuple[Kept | None, list[str]]:
        """What is kept of these sensors, None where that is nothing; and why, where that is to be said."""
        try:
            kept = read_kept(self.path, self._settings().monitor_config)
        except InputError as error:
            return None, [f"the watch begins anew: {error}"]
        return (kept if kept is not None and kept.frames == frames else None), []

    def take_up(self, outcome: Outcome, frames: Frames) -> tuple[Before | None, list[str]]:
        """What the last run ended with between these sensors, if that was with the reference of this outcome, with what
        was repaired instead of it, or, where the outcome has none, with what was found and saved; and what is to be
        said."""
        kept, log = self.read(frames)
        if kept is None:
            return None, log
        if same(outcome.reference, kept.watch.T_in_use):
            words = f"the watch goes on: {kept.watch.state.value}, after {kept.watch.frames} answers"
            return Before(kept, None), [words]
        if self._settings().repair_policy != "apply":
            return None, []
        in_use, saved = in_use_before(outcome, kept.watch.T_in_use, self._settings().save_path)
        if same(outcome.reference, kept.instead_of):
            return Before(kept, in_use), ["goes on with the calibration that was repaired before; ~/reset takes it "
                                          f"back ({self.path})"]
        if outcome.reference is None and saved:
            return Before(kept, in_use), ["goes on with the calibration that was found before; ~/reset looks for it "
                                          f"anew ({self.path})"]
        return None, []

    def remove(self, frames: Frames | None) -> None:
        """What is known of these sensors, None: of any. What cannot be removed could not be written either."""
        if frames is None or not self._others(frames):
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _others(self, frames: Frames) -> Frames | None:
        """The sensors that the file is of, if not of these: another node may keep its watch there."""
        with suppress(InputError):
            told = read_told(self.path)
            if told is not None and (kept := _frames_of(told)) != frames and all(kept):
                return kept
        return None


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Both are there, and (4, 4) of one calibration."""
    return one is not None and other is not None and bool(np.allclose(one, other, atol=SAME))


def read_kept(path: Path, config: MonitorConfig) -> Kept | None:
    """None where there is no file. Raises InputError for one that is no watch's."""
    told = read_told(path)
    if told is None:
        return None
    watch, before = Watch.from_dict(told, config), told.get("instead_of")
    if before is not None:
        try:
            before = se3.check_transform(np.asarray(before, dtype=np.float64), f"instead_of in {path}")
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"instead_of in {path} is no transform ({error}); remove the file") from error
    return Kept(watch, _frames_of(told), before)


def _frames_of(told: Mapping[str, Any]) -> Frames:
    """Empty names where the file has none."""
    return str(told.get("lidar_frame") or ""), str(told.get("camera_frame") or "")


def in_use_before(outcome: Outcome, T_cam_lidar: np.ndarray, save_path: str) -> tuple[Outcome, bool]:
    """An outcome with the calibration (4, 4) that was in use before a restart instead, as sure as the file of ~/save
    says; and whether that file holds it at all."""
    path, covariance, there = Path(save_path).expanduser(), None, False
    with suppress(InputError):  # it is not there, or somebody has changed it: then nobody knows how sure it was
        saved = read_extrinsic(path)
        there = bool(np.allclose(saved.T_cam_lidar, T_cam_lidar, atol=SAME))
        covariance = saved.covariance if there else None
    found = replace(outcome.registration, T_cam_lidar=T_cam_lidar, status="ok", reason="in use before the restart",
                    covariance=np.full((6, 6), np.inf) if covariance is None else covariance)
    return replace(outcome, registration=found), there
