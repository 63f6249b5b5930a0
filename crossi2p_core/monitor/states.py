"""What is said of a calibration, and how one statement follows another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..geometry import se3
from ..geometry.pose_covariance import SAME
from .config import MonitorConfig
from .doubts import doubt_threshold
from .evidence import Evidence
from .sequential import Reading

Array = np.ndarray
SUSPICIOUS = 1e-2  # false alarms per frame at which suspicion begins
MISFITS = 10  # frames in a row that show enough, and nothing fits


class State(str, Enum):
    """unknown: cannot tell. repaired: another calibration took the place of one that was off, and has not been
    confirmed yet."""

    UNKNOWN = "unknown"
    CALIBRATED = "calibrated"
    SUSPECT = "suspect"
    DECALIBRATED = "decalibrated"
    REPAIRED = "repaired"


@dataclass(frozen=True)
class Standing:
    """A state and what it rests on. calm: usable frames without suspicion in a row. blind: frames in a row that could
    not tell. misfits: frames in a row that show enough, and nothing fits; those that cannot tell do not count."""

    state: State = State.UNKNOWN
    calm: int = 0
    blind: int = 0
    misfits: int = 0

    @property
    def lost(self) -> bool:
        """Nothing fits near the calibration in use: what was known of where the camera is says nothing any more."""
        return self.misfits >= MISFITS


def score_threshold(false_alarms: float) -> float:
    """The test's score that is exceeded so often per frame while nothing has moved.

    A line above what drives of 10 000 frames give (`benchmarks/monitor.py`): the residuals of 125 real KITTI frames in
    random order, no floor. In their own order, with the floor that the settings allow for, the score stays below half.
    """
    return 10.5 + 7.5 * math.log10(1 / false_alarms)


def is_measured(reading: Reading, config: MonitorConfig, false_alarms: float = SUSPICIOUS) -> bool:
    """The frames tell by how much the camera has moved, and since when: the deviation is no accident, and large enough
    to matter. Doubts alone do not."""
    rate = max(false_alarms, config.false_alarms)
    return _matters(reading.xi, config) and reading.score > score_threshold(rate)


def differs(T: Array, covariance: Array, T_in_use: Array, config: MonitorConfig) -> bool:
    """Another calibration T (4, 4) with its covariance (6, 6) is not the one in use (4, 4) over again: what lies
    between them is no accident, and large enough to matter. Only then is there something to be repaired."""
    xi = se3.log_se3(T @ se3.inverse(T_in_use))
    floor = [math.radians(config.floor_deg) ** 2] * 3 + [config.floor_m**2] * 3
    return _matters(xi, config) and float(xi @ np.linalg.solve(covariance + np.diag(floor), xi)) > SAME**2


def next_standing(before: Standing, reading: Reading, evidence: Evidence, config: MonitorConfig) -> Standing:
    """The standing after a frame."""
    # 1. what the frames have in common
    alarm = reading.usable >= config.least_frames and _moved(reading, config.false_alarms, config)
    misfits = 0 if evidence.usable else before.misfits + evidence.misfit
    suspicious = _moved(reading, max(SUSPICIOUS, config.false_alarms), config) or misfits >= MISFITS
    calm = before.calm if not evidence.usable else 0 if suspicious else before.calm + 1
    blind = 0 if evidence.usable else before.blind + 1
    # 2. what follows
    state = _follow(before.state, alarm, suspicious, calm, reading, config)
    if blind >= config.blind_after and misfits < MISFITS and state in (State.CALIBRATED, State.SUSPECT, State.REPAIRED):
        state = State.UNKNOWN
    return Standing(state, calm, blind, misfits)


def _follow(state: State, alarm: bool, suspicious: bool, calm: int, reading: Reading, config: MonitorConfig) -> State:
    """An alarm stays until so many calm frames; suspicion goes with what raised it."""
    within = reading.places >= config.least_frames and _within(reading, config)
    if alarm:
        return State.DECALIBRATED
    if state is State.DECALIBRATED:
        return State.CALIBRATED if calm >= config.calm and within else state
    if suspicious:
        return State.SUSPECT
    if within:
        return State.CALIBRATED
    return State.UNKNOWN if state is State.SUSPECT else state


def _moved(reading: Reading, false_alarms: float, config: MonitorConfig) -> bool:
    """The deviation is no accident, and large enough to matter; or the frames' doubts cannot be one."""
    return is_measured(reading, config, false_alarms) or reading.doubts > doubt_threshold(false_alarms)


def _matters(xi: Array, config: MonitorConfig) -> bool:
    """A deviation (6,) of at least half of what is to be found."""
    return bool(np.degrees(np.linalg.norm(xi[:3])) > 0.5 * config.least_deg
                or np.linalg.norm(xi[3:]) > 0.5 * config.least_m)


def _within(reading: Reading, config: MonitorConfig) -> bool:
    """The camera has moved by less than is to be found, as sure as the window allows."""
    degrees, metres = reading.bounds
    return degrees < config.least_deg and metres < config.least_m
