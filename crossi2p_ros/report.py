"""From a snapshot of the node to what its diagnostics say: level, one sentence, values. Pure, without ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .outcome import Outcome
from .parameters import Settings

OK, WARN, ERROR = 0, 1, 2  # diagnostic_msgs/DiagnosticStatus
REASONS_SHOWN = 20


@dataclass(frozen=True)
class Snapshot:
    """The node at one moment. now and all times: steady seconds. rates: Hz by name of the input.

    deviation: (deg, cm) of the last valid answer from the present reference, None where either is missing.
    refused: reasons and counts. last_refusal: reason and time. watch: state of the calibration, empty where there is
    none to watch; watch_words: what that rests on. gate_problem: in words, that the gate on motion does nothing.
    """

    state: str
    now: float
    device: str = ""
    memory_mb: float = float("nan")
    warm: bool = True
    why_no_pairs: str = ""
    missing: str = ""
    tf_problem: str = ""
    last: Outcome | None = None
    last_valid: Outcome | None = None
    deviation: tuple[float, float] | None = None
    accepted: bool = False
    rates: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    refused: tuple[tuple[str, int], ...] = ()
    last_refusal: tuple[str, float] | None = None
    cannot_configure: str = ""
    watch: str = ""
    watch_words: str = ""
    gate_problem: str = ""


@dataclass(frozen=True)
class Report:
    """level: OK, WARN or ERROR. message: the reason in words. values: what is shown beside it, with units."""

    level: int
    message: str
    values: dict[str, str]


def report(snapshot: Snapshot, settings: Settings) -> Report:
    """What is to be said of the node: the gravest thing first, everything in the values."""
    level, message = _verdict(snapshot, settings)
    return Report(level, message, _values(snapshot, settings))


def _verdict(s: Snapshot, settings: Settings) -> tuple[int, str]:
    if s.cannot_configure:
        return ERROR, f"cannot configure: {s.cannot_configure}"
    if s.state != "active":
        return OK, f"{s.state}; nothing is registered before the node is active"
    if not s.warm:
        return WARN, "warming up"
    for trouble in (s.why_no_pairs, _refusal(s), s.missing, s.tf_problem):
        if trouble:
            return ERROR, trouble
    if s.last is None:
        waiting = "call ~/calibrate" if settings.mode == "manual" else "waiting for the first"
        return WARN, f"no result yet; {waiting}"
    found = s.last.registration
    if found.status == "failed":
        return ERROR, f"the registration failed: {found.reason}"
    if s.last_valid is None:
        return WARN, f"no valid result yet; the last is {found.status}: {found.reason}"
    return _verdict_on_valid(s, settings, s.last_valid)


def _verdict_on_valid(s: Snapshot, settings: Settings, valid: Outcome) -> tuple[int, str]:
    """Where there is a valid result: is it fresh, and does it agree with the reference?"""
    age, (limit, named) = s.now - valid.finished, _oldest(settings)
    if age > limit:
        return WARN, f"the last valid result is {age:.0f} s old ({named} {limit:g} s)"
    if s.deviation and settings.worth_a_warning(*s.deviation):
        remedy = (f"the estimate becomes the reference once {settings.repair_agreeing} answers in a row agree and the "
                  "watch says decalibrated" if settings.repair_policy == "apply" else
                  "look at ~/overlay, then ~/accept the estimate and ~/save it, or correct the reference")
        degrees, centimetres = s.deviation
        return WARN, f"the camera is {degrees:.2f} deg and {centimetres:.1f} cm from the reference; {remedy}"
    if s.watch == "decalibrated":
        return WARN, f"the camera has moved: {s.watch_words}"
    if s.gate_problem:
        return WARN, s.gate_problem
    last = s.last.registration if s.last else valid.registration
    if last.status != "ok":
        return WARN, f"the last result is {last.status}: {last.reason}"
    return OK, f"registered: {last.reason}"


def _oldest(settings: Settings) -> tuple[float, str]:
    """Seconds that a valid result may be old, and what says so: by a long period each is old before the next comes."""
    if not settings.warn_age or settings.mode == "manual":
        return math.inf, ""
    if settings.mode == "periodic" and 2 * settings.period > settings.warn_age:
        return 2 * settings.period, "two periods:"
    return settings.warn_age, "warn.age"


def _refusal(s: Snapshot) -> str:
    """What is said of the last refusal if nothing has been registered since."""
    if s.last_refusal is None:
        return ""
    words, at = s.last_refusal
    return "" if s.last is not None and s.last.finished >= at else words


def _values(s: Snapshot, settings: Settings) -> dict[str, str]:
    """Everything that is known, in the order of interest."""
    values = {"state": s.state, "mode": settings.mode,
              "reference": "accepted estimate" if s.accepted else settings.prior_source}
    if s.watch:
        values |= {"calibration": s.watch, "why": s.watch_words}
    if s.last is not None:
        values |= _values_of(s.last)
    if s.deviation is not None:
        values |= {"deviation rotation [deg]": f"{s.deviation[0]:.3f}",
                   "deviation translation [cm]": f"{s.deviation[1]:.2f}"}
    age = s.now - s.last_valid.finished if s.last_valid is not None else float("nan")
    values["age of last valid result [s]"] = _number(age, 1)
    values |= {f"rate {name} [Hz]": f"{rate:.1f}" for name, rate in s.rates.items()}
    values |= {name: str(count) for name, count in s.counts.items()}
    values |= {"device": s.device, "memory [MB]": _number(s.memory_mb, 0)}
    values |= {f"refused: {reason}": str(count) for reason, count in s.refused[:REASONS_SHOWN]}
    return values


def _values_of(outcome: Outcome) -> dict[str, str]:
    found = outcome.registration
    sigma = np.sqrt(np.clip(np.diag(found.covariance), 0, None))
    degrees, centimetres = np.degrees(np.linalg.norm(sigma[:3])), 100 * np.linalg.norm(sigma[3:])
    return {
        "last result": found.status, "reason": found.reason,
        "reprojection error [px]": _number(found.reprojection_px, 2),
        "edges in view": str(found.matches), "edges with an image edge": str(found.inliers),
        "overlap of cloud and image": _number(found.overlap, 3),
        "standard deviation rotation [deg]": _number(float(degrees), 3),
        "standard deviation translation [cm]": _number(float(centimetres), 2),
        "doubt about the start": _number(found.doubt_before, 2),
        "image to cloud [ms]": f"{1e3 * outcome.apart:.1f}",
        "latency in all [ms]": f"{1e3 * outcome.latency:.0f}",
    } | {f"latency {stage} [ms]": f"{1e3 * seconds:.1f}" for stage, seconds in outcome.seconds.items()}


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "unknown"
