"""What a calibration tells: one JSON object, words for a terminal, and an HTML page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from ..geometry import se3
from ..viz.page import figure, page, rows
from .observability import sigmas
from .run import Calibration


def record(calibration: Calibration, name: str, truth: np.ndarray | None, seconds: float) -> dict[str, Any]:
    """Everything in plain numbers; NaN where something is not known. truth: (4, 4) to compare with, or None."""
    T, cross, way = calibration.T_cam_lidar, calibration.cross, calibration.moved
    deg, metres = sigmas(calibration.covariance, T)
    sure = calibration.verdict.status == "ok"  # else it may be another place altogether, and bounds nothing
    error = (float("nan"),) * 2 if truth is None else (
        float(se3.rotation_error_deg(T, truth)), 100 * float(se3.translation_error_m(T, truth)))
    return {
        "name": name, "status": calibration.verdict.status, "reason": calibration.verdict.reason,
        "start_was": calibration.verdict.start, "moved_deg": way.deg, "moved_cm": 100 * way.m,
        "moved_sigmas": way.sigmas, "start_off_at_most_deg": way.at_most_deg if sure else float("nan"),
        "start_off_at_most_cm": 100 * way.at_most_m if sure else float("nan"),
        "sigma_deg": deg, "sigma_cm": 100 * metres,
        "error_deg": error[0], "error_cm": error[1], "weak": list(calibration.weak),
        "used": list(calibration.used), "T_cam_lidar": T, "covariance": calibration.covariance,
        "frames": _frames(calibration), "cross_validation": None if cross is None else {
            "moved_deg": cross.moved_deg, "moved_cm": 100 * cross.moved_m},
        "time_offset": None if calibration.offset is None else {
            **asdict(calibration.offset), "words": calibration.offset.in_words()},
        "time_offset_not_looked_for": calibration.clocks,
        "seconds": seconds}


def between(records: Sequence[Mapping[str, Any]], recorded: Mapping[str, np.ndarray | None]) -> list[dict[str, Any]]:
    """Do cameras that were calibrated to one LiDAR stand to each other as the recording says?

    recorded: T_cam_lidar (4, 4) by camera, where known: what they say of each other may come from a stereo calibration,
    which no LiDAR had a part in. One entry for every two cameras.
    """
    told = []
    for i, a in enumerate(records):
        for b in records[i + 1:]:
            T = np.asarray(a["T_cam_lidar"]) @ se3.inverse(np.asarray(b["T_cam_lidar"]))
            known = recorded[a["name"]], recorded[b["name"]]
            entry: dict[str, Any] = {"cameras": [a["name"], b["name"]], "T": T}
            if known[0] is not None and known[1] is not None:
                reference = known[0] @ se3.inverse(known[1])
                entry |= {"apart_deg": float(se3.rotation_error_deg(T, reference)),
                          "apart_cm": 100 * float(se3.translation_error_m(T, reference))}
            told.append(entry)
    return told


def in_words(one: Mapping[str, Any]) -> str:
    """A few lines for a terminal."""
    lines = [f"{one['name']}: {one['status']}; {one['reason']}"]
    if np.isfinite(one["moved_deg"]):
        most = "" if not np.isfinite(one["start_off_at_most_deg"]) else (
            f", off by at most {one['start_off_at_most_deg']:.2f} deg, {one['start_off_at_most_cm']:.1f} cm (99 %)")
        judged = {"good": f"the calibration that was given is still good{most}",
                  "wrong": "the calibration that was given is wrong",
                  "unknown": f"whether the calibration that was given is good cannot be told{most}"}
        lines.append(f"  from the start: {one['moved_deg']:.2f} deg, {one['moved_cm']:.1f} cm "
                     f"({one['moved_sigmas']:.1f} sigmas of six numbers); {judged[one['start_was']]}")
    if np.isfinite(one["error_deg"]):
        lines.append(f"  from the recorded extrinsic: {one['error_deg']:.2f} deg, {one['error_cm']:.1f} cm")
    if one["cross_validation"] is not None:
        moved = one["cross_validation"]
        lines.append(f"  with a part of the frames left out: moves by up to {max(moved['moved_deg']):.2f} deg, "
                     f"{max(moved['moved_cm']):.1f} cm")
    lines.append("  " + (one["time_offset"]["words"] if one["time_offset"] is not None else
                         f"time offset: not looked for, stamps count as exact: {one['time_offset_not_looked_for']}"))
    failed = [frame for frame in one["frames"] if frame["sigmas"] is None]
    lines.append(f"  {len(one['frames'])} frames looked at, {len(failed)} of no use, {len(one['used'])} used jointly")
    return "\n".join(lines)


def write_page(one: Mapping[str, Any], pictures: Sequence[tuple[str, np.ndarray]]) -> str:
    """The page of one camera; pictures: captions with (H, W, 3) uint8 RGB, before and after."""
    lines = in_words(one).splitlines()
    parts = [f"<h1>{escape(str(one['name']))}: {escape(str(one['status']))}</h1>",
             *(f"<p>{escape(line.strip())}</p>" for line in lines),
             "<h2>T_cam_lidar</h2>", rows(("", "", "", ""), [[f"{x:.6f}" for x in row] for row in one["T_cam_lidar"]])]
    if one["weak"]:
        parts += ["<h2>What the frames leave open</h2>", *(f"<p>{escape(text)}</p>" for text in one["weak"])]
    parts += [f"<h2>Before and after</h2>{''.join(figure(*picture) for picture in pictures)}"] if pictures else []
    parts += ["<h2>Every frame by itself</h2>", "<p class=note>Distance from what all agree on, in the frame's own "
              "sigmas of six numbers: about 2.4 on average where they are honest. Weight: what it counted.</p>",
              rows(("frame", "status", "sigmas", "weight", "joint", "reason"), (
                  (frame["name"], frame["status"], _number(frame["sigmas"]), _number(frame["weight"]),
                   "yes" if frame["name"] in one["used"] else "", frame["reason"]) for frame in one["frames"]))]
    return page(f"crossi2p calibrate: {one['name']}", parts)


def _frames(calibration: Calibration) -> list[dict[str, Any]]:
    """What each frame said by itself; None where it said nothing."""
    told, answered = [], 0
    for one in calibration.looked:
        entry: dict[str, Any] = {"name": one.name, "status": "failed", "reason": one.reason, "sigmas": None,
                                 "weight": None}
        if one.found is not None:
            agreement = calibration.agreement
            entry |= {"status": one.found.status, "sigmas": float(agreement.distances[answered]),
                      "weight": float(agreement.weights[answered])}
            answered += 1
        told.append(entry)
    return told


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
