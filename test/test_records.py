"""What `crossi2p register` reports, from answers made by hand: errors, counts, percentiles, exit codes, valid JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossi2p_core.commands.records import exit_code, is_worse, lost_record, make_record, plain, summarize
from crossi2p_core.commands.words import report_in_words
from crossi2p_core.geometry import se3
from crossi2p_core.types import Registration

TRUTH = se3.exp_se3(np.array([0.2, -1.1, 0.5, 0.1, -0.2, 0.3]))


def off_by(degrees: float, centimetres: float) -> np.ndarray:
    """The true extrinsic, wrong by exactly that much."""
    T = TRUTH.copy()
    T[:3, :3] = se3.exp_so3(np.array([0, math.radians(degrees), 0])) @ T[:3, :3]
    T[0, 3] += centimetres / 100
    return T


def record(found: np.ndarray, status: str = "ok", truth: np.ndarray | None = TRUTH, seconds: float = 1.0
           ) -> dict[str, Any]:
    result = Registration(found, np.full((6, 6), np.nan), status, f"because {status}", timings={"search": 0.5})
    return make_record("frame", off_by(2.0, 20.0), result, truth, seconds)


def test_errors_are_in_degrees_and_centimetres() -> None:
    one = record(off_by(0.25, 3.0))
    assert one["init_error_deg"] == pytest.approx(2.0)
    assert one["init_error_cm"] == pytest.approx(20.0)
    assert one["error_deg"] == pytest.approx(0.25)
    assert one["error_cm"] == pytest.approx(3.0)
    assert one["peak_memory_mb"] > 10


def test_frames_without_an_answer_make_no_figure_better() -> None:
    good, lost = record(off_by(0.1, 1.0)), lost_record("lost", "no place fits", 1.0, TRUTH)
    for records, median, p90 in (([good] * 9 + [lost] * 2, 0.1, None), ([good] * 2 + [lost] * 9, None, None),
                                 ([good, lost_record("unjudged", "no place fits", 1.0, None)], 0.1, 0.1)):
        report = plain({"frames": records, "summary": summarize(records)})
        found = [report["summary"][f"error_deg_{name}"] for name in ("median", "p90")]
        assert found == [None if each is None else pytest.approx(each) for each in (median, p90)]
        assert "no answer" in report_in_words(report, None)


def test_what_nobody_knows_is_null_in_valid_json() -> None:
    records = [record(off_by(1, 1), truth=None)]
    report = plain({"frames": records, "summary": summarize(records)})
    back = json.loads(json.dumps(report, allow_nan=False))
    assert back["frames"][0]["error_deg"] is back["frames"][0]["cost_before"] is None
    assert back["summary"]["error_deg_median"] is back["summary"]["share_worse"] is None
    assert np.allclose(back["frames"][0]["T_cam_lidar"], off_by(1, 1))


def test_an_answer_from_scratch_has_no_start_and_makes_nothing_worse() -> None:
    result = Registration(off_by(5.0, 90.0), np.full((6, 6), np.nan), "uncertain", "because")
    one = make_record("frame", None, result, TRUTH, 1.0)
    assert one["from_scratch"] and one["init_error_deg"] is None and one["error_deg"] == pytest.approx(5.0)
    report = plain({"frames": [one, one], "summary": summarize([one, one])})
    assert report["summary"]["share_worse"] == 0 and report["summary"]["init_error_cm_p90"] is None
    assert "made worse" not in report_in_words(report, None) and "from scratch" in report_in_words(report, None)


def test_summary_counts_failures_and_keeps_them_in_the_percentiles() -> None:
    records = [record(off_by(d, 1.0), status, seconds=s) for d, status, s in
               ((0.1, "ok", 1.0), (0.2, "ok", 2.0), (0.3, "uncertain", 3.0), (3.0, "failed", 4.0))]
    summary = summarize(records)
    assert [summary[k] for k in ("frames", "registered", "uncertain", "failed")] == [4, 2, 1, 1]
    assert summary["error_deg_median"] == pytest.approx(0.25)
    assert summary["error_deg_p90"] == pytest.approx(np.percentile([0.1, 0.2, 0.3, 3.0], 90))
    assert summary["init_error_cm_median"] == pytest.approx(20.0)
    assert summary["share_worse"] == pytest.approx(0.25)
    assert summary["seconds_median"] == pytest.approx(2.5)


@pytest.mark.parametrize(("start", "found", "used", "worse"), [
    ((2, 20), (1, 19), 1, False), ((2, 20), (2.1, 1), 1, True), ((2, 20), (0.1, 21), 1, True),
    ((0.1, 2), (0.4, 7), 1, False), ((0.1, 2), (0.4, 1), 10, True), ((0.1, 2), (0.1, 5), 10, True),
])
def test_worse_is_worse_in_rotation_or_translation_beyond_the_floor(
    start: tuple[float, float], found: tuple[float, float], used: int, worse: bool
) -> None:
    keys = ("init_error_deg", "init_error_cm", "error_deg", "error_cm")
    assert is_worse(dict(zip(keys, start + found, strict=True)) | {"used": ["frame"] * used}) is worse


@pytest.mark.parametrize(("statuses", "code"), [
    (["ok"], 0), (["uncertain"], 0), (["ok", "uncertain"], 0), (["failed"], 1), (["ok", "failed"], 1),
])
def test_exit_code_is_1_where_a_frame_has_no_answer(statuses: list[str], code: int) -> None:
    assert exit_code(summarize([record(off_by(1, 1), status) for status in statuses])) == code


def test_words_tell_start_end_status_and_place() -> None:
    records = [record(off_by(0.25, 3.0)), record(off_by(2.0, 20.0), "failed"), record(TRUTH, "uncertain", truth=None)]
    text = report_in_words(plain({"frames": records, "summary": summarize(records)}), Path("results"))
    for words in ("2.00 deg, 20.0 cm", "0.25 deg, 3.0 cm", "failed: because failed", "truth unknown",
                  "1 ok, 1 uncertain, 1 failed", "made worse: 0%", "results"):
        assert words in text
