"""What `crossi2p register` reports: one record per registration, a summary of them, both ready for JSON."""

from __future__ import annotations

import math
import resource
import sys
from typing import Any

import numpy as np

from ..geometry import se3
from ..types import Registration

# Degrees and centimetres that the method leaves even when it succeeds; an error that grew but stays below is no harm.
FLOOR_ONE_FRAME = (0.45, 8.0)
FLOOR_MANY_FRAMES = (0.20, 4.0)
ERRORS = ("init_error_deg", "init_error_cm", "error_deg", "error_cm")


def make_record(name: str, start: np.ndarray | None, result: Registration, truth: np.ndarray | None,
                seconds: float) -> dict[str, Any]:
    """One registration in plain numbers.

    start, truth: (4, 4) T_cam_lidar; errors are None where the truth is unknown or there was no start. seconds: wall
    time of the registration, without reading files. peak_memory_mb: the most the process has held so far, on a GPU if
    it uses one.
    """
    return {
        "name": name,
        "from_scratch": start is None,
        **_errors(start, truth, "init_"),
        **_errors(result.T_cam_lidar, truth, ""),
        "status": result.status,
        "reason": result.reason,
        "cost_before": result.cost_before,
        "cost_after": result.cost_after,
        "reprojection_px": result.reprojection_px,
        "matches": result.matches,
        "inliers": result.inliers,
        "overlap": result.overlap,
        "doubt_before": result.doubt_before,
        "speeds_m_s": list(result.speeds),
        "timings_s": result.timings,
        "seconds": seconds,
        "T_cam_lidar": result.T_cam_lidar,
        "peak_memory_mb": _peak_memory_mb(),
    }


def lost_record(name: str, reason: str, seconds: float, truth: np.ndarray | None) -> dict[str, Any]:
    """Of a frame that has no answer at all, not even a start to hand on: unknown numbers are None. Where the truth is
    known, errors are infinite: no answer is no better than any."""
    nowhere = Registration(np.full((4, 4), np.nan), np.full((6, 6), np.nan), "failed", reason)
    errors = {} if truth is None else {"error_deg": math.inf, "error_cm": math.inf}
    return make_record(name, None, nowhere, None, seconds) | {"T_cam_lidar": None} | errors


def summarize(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by status, medians and 90th percentiles of the errors, share of runs made worse, seconds.

    Percentiles and share_worse are over all records whose truth is known, failed ones included, and None where there
    are none; a percentile is infinite where so many have no answer. share_worse: of those for which `is_worse` holds.
    """
    count = {status: sum(r["status"] == status for r in records) for status in ("ok", "uncertain", "failed")}
    judged = [r for r in records if r["error_deg"] is not None]
    summary: dict[str, Any] = {
        "frames": len(records), "registered": count["ok"], "uncertain": count["uncertain"], "failed": count["failed"],
    }
    for key in ERRORS:
        known = [r[key] for r in judged if r[key] is not None]
        summary[f"{key}_median"] = _percentile(known, 50)
        summary[f"{key}_p90"] = _percentile(known, 90)
    summary["share_worse"] = float(np.mean([is_worse(r) for r in judged])) if judged else None
    summary["seconds_median"] = _percentile([r["seconds"] for r in records], 50)
    summary["seconds_p90"] = _percentile([r["seconds"] for r in records], 90)
    summary["peak_memory_mb"] = max(r["peak_memory_mb"] for r in records)
    return summary


def is_worse(record: dict[str, Any]) -> bool:
    """Whether rotation or translation is further from the truth than at the start, and beyond the method's floor.

    Never where there was no start.
    """
    if record["init_error_deg"] is None:
        return False
    floor = FLOOR_MANY_FRAMES if len(record.get("used", ())) > 1 else FLOOR_ONE_FRAME
    return any(record[f"error_{unit}"] > max(record[f"init_error_{unit}"], least)
               for unit, least in zip(("deg", "cm"), floor, strict=True))


def exit_code(summary: dict[str, Any]) -> int:
    """0 where every registration has an answer, sure or uncertain; 1 where one or more failed."""
    return 1 if summary["failed"] else 0


def plain(value: Any) -> Any:
    """Numbers, lists and dicts that JSON can hold: arrays become lists, NaN and infinity become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _errors(T: np.ndarray | None, truth: np.ndarray | None, prefix: str) -> dict[str, float | None]:
    if T is None or truth is None:
        return {f"{prefix}error_deg": None, f"{prefix}error_cm": None}
    return {
        f"{prefix}error_deg": float(se3.rotation_error_deg(T, truth)),
        f"{prefix}error_cm": 100 * float(se3.translation_error_m(T, truth)),
    }


def _percentile(values: list[float], percent: float) -> float | None:
    if not values:
        return None
    return float(np.percentile(values, percent, method="higher" if math.inf in values else "linear"))


def _peak_memory_mb() -> float:
    """Megabytes: of GPU memory if this process has used any, else of resident memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # bytes there, KiB on Linux
