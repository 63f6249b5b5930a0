"""The report of `crossi2p register` as a person reads it: a line per registration, then the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def report_in_words(report: dict[str, Any], out: Path | None) -> str:
    """Plain text of a report as `--json` prints it; out: where pictures and extrinsics were written, or None."""
    records, summary = report["frames"], report["summary"]
    width = max(len(record["name"]) for record in records)
    lines = [f"{'frame':<{width}}  {'start':>18}  {'found':>18}  status"]
    lines += [_line(record, width) for record in records]
    lines += ["", f"{summary['registered']} ok, {summary['uncertain']} uncertain, {summary['failed']} failed; "
                  f"{summary['seconds_median']:.2f} s each (median)"]
    if len(records) > 1 and summary["share_worse"] is not None:
        started = summary["init_error_deg_median"] is not None
        lines += [_medians("start", "init_", summary)] if started else []
        lines += [_medians("found", "", summary)]
        lines += [f"made worse: {summary['share_worse']:.0%}"] if started else []
    if out is not None:
        lines.append(f"pictures and extrinsics: {out}")
    return "\n".join(lines)


def error_in_words(record: dict[str, Any], which: str = "") -> str:
    """`0.12 deg, 1.9 cm`, or that the truth is unknown, or that there was no start, or no answer.

    which: `init_` for the error of the start.
    """
    degrees, centimetres = record[f"{which}error_deg"], record[f"{which}error_cm"]
    if which == "init_" and record.get("from_scratch"):
        return "from scratch"
    if degrees is None and record.get("T_cam_lidar", record) is None:
        return "no answer"
    return "truth unknown" if degrees is None else f"{degrees:.2f} deg, {centimetres:.1f} cm"


def _line(record: dict[str, Any], width: int) -> str:
    """Name, error before and after, status and, where it is not ok, the reason."""
    start, found = error_in_words(record, "init_"), error_in_words(record)
    reason = "" if record["status"] == "ok" else f": {record['reason']}"
    return f"{record['name']:<{width}}  {start:>18}  {found:>18}  {record['status']}{reason}"


def _medians(label: str, which: str, summary: dict[str, Any]) -> str:
    """Median and 90th percentile of the errors at the start (`init_`) or at the end; None where so many have none."""
    degrees, centimetres = ([summary[f"{which}error_{unit}_{name}"] for name in ("median", "p90")]
                            for unit in ("deg", "cm"))
    median, p90 = ("no answer" if deg is None else f"{deg:.2f} deg, {cm:.1f} cm"
                   for deg, cm in zip(degrees, centimetres, strict=True))
    return f"{label}: median {median}; 90th percentile {p90}"
