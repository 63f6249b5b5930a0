"""The tables that benchmarks make: what they rest on is in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import evaluation, monitor_table
from benchmarks.monitor_table import Frames, false_alarms, roc, standing
from crossi2p_core.datasets import open_source
from crossi2p_core.evaluate.run import Wanted, evaluate
from crossi2p_core.monitor.evidence import Evidence
from crossi2p_core.train.distributed import World

SIGMA = np.array([2e-3] * 3 + [0.02] * 3)


def drive(count: int) -> Frames:
    """Frames that say the truth, at every level of a move as at none."""
    one = Evidence("one", np.zeros(6), np.diag(SIGMA**2), "", 0.0)
    return {("drive", level): dict.fromkeys(range(count), one) for level in range(8)}


def test_an_area_from_few_windows_is_left_out() -> None:
    lines = list(roc(drive(22), [("drive", ["drive"])]))
    assert lines[1:3] == ["| drive | windows, off and not | 22 and 22 | 8 and 9 | 3 and 3 | 1 and 1 |",
                          "| drive | 0.25 deg | 0.500 | 0.500 | few | few |"]


def test_false_alarms_are_told_by_ten_thousand_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_table, "RUN_FRAMES", 50)
    monkeypatch.setattr(monitor_table, "_alarms", lambda *_: 3)
    *_, row = false_alarms(drive(3), [("drive", ["drive"])])
    assert row == "| drive | 3 of 3 | 200 | 600 |"


def test_a_robot_that_is_parked_where_frames_err_is_told_from_one_that_is_knocked() -> None:
    wrong = Evidence("one", 2 * SIGMA, np.diag(SIGMA**2), "", 0.0)
    *_, row = standing({("drive", 0): {0: wrong, 1: wrong}}, [("drive", ["drive"])])
    assert row.startswith("| drive | 2 | 0 | 2 | 2 | ")


def row(method: str, right: float) -> evaluation.Row:
    return {"source": evaluation.SYNTHETIC, "asked": "D", "method": method, "pairs": 80, "weights": "", "right": right,
            "rre_deg_median": 1.0, "rre_deg_p90": None, "rte_m_median": 2.0, "rte_m_p90": 3.0, "wrong": 0.0,
            "image_free": 0.0, "very_right": 0.0, "very_wrong": 0.0, "recall_right": 0.25, "recall_wrong": None}


def test_what_is_measured_again_takes_the_place_of_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "RECORDS", tmp_path / "evaluation.jsonl")
    evaluation.keep([row("light", 0.1), row("refine", 0.2)])
    evaluation.keep([row("light", 0.3)])
    title, _, *lines = evaluation.table(evaluation.read())
    assert title == "\n### synthetic, unseen worlds, protocol D (right: 5 deg, 2 m; very right: 1 deg, 0.3 m)\n"
    assert lines == ["| light | 80 | 1.00 | – | 2.00 | 3.00 | 30 % | 0 % | 0 % | 0 % | 0 % | 0.25 | – |",
                     "| refine | 80 | 1.00 | – | 2.00 | 3.00 | 20 % | 0 % | 0 % | 0 % | 0 % | 0.25 | – |"]


def test_the_page_shows_the_records_of_the_evaluation() -> None:
    page = Path(__file__).parent.parent / evaluation.PAGE
    assert "\n".join(evaluation.table(evaluation.read())) in page.read_text()


def test_what_was_asked_alike_is_judged_by_other_limits_without_being_asked_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("synthetic:street?seed=6&frames=2&camera=small&lidar=vlp16")
    a, b, other = (Wanted(source, [0, 1], protocol, tmp_path / name, Path("none"), seed=seed)
                   for name, protocol, seed in (("A", "A", 0), ("B", "B", 0), ("other", "B", 1)))
    evaluate(a, World(), lambda *_: None)
    for wanted in (b, other):
        evaluation.take_over(wanted, a.out)
    assert not other.out.exists(), "other questions were taken for the same"
    monkeypatch.setattr("crossi2p_core.evaluate.run.predict", lambda *_: pytest.fail("asked again"))
    judged = evaluate(b, World(), lambda *_: None)
    assert judged is not None and judged["about"]["protocol"] == "B"
    T, taken = ([[answer["T_cam_lidar"] for answer in one["answers"]] for one in map(
        json.loads, next(folder.glob("predictions-*")).open())] for folder in (a.out, b.out))
    assert taken == T
