"""What is said of a calibration, and how one statement follows another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from .config import MonitorConfig
from .evidence import Evidence
from .sequential import Reading

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


def score_threshold(false_alarms: float) -> float:
    """The test's score that is exceeded so often per frame while nothing has moved.

    A line above what drives of 10 000 frames give (`benchmarks/monitor.py`): the residuals of 125 real KITTI frames in
    random order, no floor. In their own order, with the floor that the settings allow for, the score stays below half.
    """
    return 10.5 + 7.5 * math.log10(1 / false_alarms)


def doubt_threshold(false_alarms: float) -> float:
    """The sum of doubts' likelihood ratios that is exceeded so often: Page's test takes 1/p frames or more to exceed
    log(1/p) (Lorden, "Procedures for reacting to a change in distribution", 1971)."""
    return math.log(1 / false_alarms)


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
    within = reading.usable >= config.least_frames and _within(reading, config)
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
    """The deviation is no accident, and large enough to matter, half of what is to be found; or the frames' doubts
    cannot be one."""
    matters = reading.turned_deg > 0.5 * config.least_deg or reading.shifted_m > 0.5 * config.least_m
    return (matters and reading.score > score_threshold(false_alarms)) or reading.doubts > doubt_threshold(false_alarms)


def _within(reading: Reading, config: MonitorConfig) -> bool:
    """The camera has moved by less than is to be found, as sure as the window allows."""
    degrees, metres = reading.bounds
    return degrees < config.least_deg and metres < config.least_m
