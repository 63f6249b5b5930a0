"""The report of `crossi2p register` as a person reads it: a line per registration, then the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def report_in_words(report: dict[str, Any], out: Path | None) -> str:
    """Plain text of a report as `--json` prints it; out: where pictures and extrinsics were written, or None."""
    records, summary = report["frames"], report["summary"]
    width = max(len(record["name"]) for record in records)
    lines = [f"{'frame':<{width}}  {'start':>17}  {'found':>17}  status"]
    lines += [_line(record, width) for record in records]
    lines += ["", f"{summary['registered']} ok, {summary['uncertain']} uncertain, {summary['failed']} failed; "
                  f"{summary['seconds_median']:.2f} s each (median)"]
    if summary["share_worse"] is not None:
        lines += [_medians("start", "init_error", summary), _medians("found", "error", summary),
                  f"made worse: {summary['share_worse']:.0%}"]
    if out is not None:
        lines.append(f"pictures and extrinsics: {out}")
    return "\n".join(lines)


def error_in_words(record: dict[str, Any], which: str = "", lead: str = "") -> str:
    """`0.12 deg   1.9 cm` after `lead`; empty where the truth is unknown. which: `init_` for the error of the start."""
    degrees, centimetres = record[f"{which}error_deg"], record[f"{which}error_cm"]
    return "" if degrees is None else lead + _error(degrees, centimetres)


def _line(record: dict[str, Any], width: int) -> str:
    """Name, error before and after, status and, where it is not ok, the reason."""
    start, found = error_in_words(record, "init_") or "?", error_in_words(record) or "?"
    reason = "" if record["status"] == "ok" else f": {record['reason']}"
    return f"{record['name']:<{width}}  {start:>17}  {found:>17}  {record['status']}{reason}"


def _medians(label: str, key: str, summary: dict[str, Any]) -> str:
    median = _error(summary[f"{key}_deg_median"], summary[f"{key}_cm_median"])
    p90 = _error(summary[f"{key}_deg_p90"], summary[f"{key}_cm_p90"])
    return f"{label}: median {median}, 90th percentile {p90}"


def _error(degrees: float, centimetres: float) -> str:
    return f"{degrees:.2f} deg {centimetres:5.1f} cm"
