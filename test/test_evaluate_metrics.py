"""Figures of predictions made by hand, whose answers are known."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from crossi2p_core.evaluate.metrics import all_metrics, judge, limit_in_words, percentile
from crossi2p_core.evaluate.predict import NOT_APPLICABLE
from crossi2p_core.evaluate.protocols import PROTOCOLS
from crossi2p_core.evaluate.report import table_in_words, write_page
from crossi2p_core.geometry import se3

TRUTH = se3.make(se3.exp_so3(np.array([0.3, -0.4, 1.0])), np.array([0.1, 0.2, 0.3]))


def off(deg: float, metres: float) -> list[list[float]]:
    """The truth, wrong by so much."""
    turned = se3.exp_so3(np.radians(deg) * np.array([0.0, 0.6, 0.8])) @ TRUTH[:3, :3]
    return se3.make(turned, TRUTH[:3, 3] + [metres, 0, 0]).tolist()


def answer(method: str, image: str, T: Any, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"method": method, "image": image, "T_cam_lidar": T, "status": status, "reason": "", **more}


def prediction(number: int, *answers: dict[str, Any], failed: str | None = None) -> dict[str, Any]:
    return {"pair": number, "frame": f"00{number}", "wrong": None, "rig": "a" if number < 2 else "b",
            "truth": TRUTH.tolist(), "overlap": 0.15, "distance_m": 25.0, "failed": failed, "answers": list(answers)}


@pytest.fixture
def four() -> list[dict[str, Any]]:
    """Right by 1 deg / 1 m and by 3 deg / 0.5 m; near but told to have failed; no answer. Wrong image: one right."""
    right = ((off(1, 1.0), "ok"), (off(3, 0.5), "uncertain"), (off(2, 0.1), "failed"), (None, "failed"))
    wrong = (off(90, 1.0), off(3, 0.1), off(120, 9.0), None)
    control = (off(1, 0.1), off(1, 0.1), off(20, 0.1), off(1, 0.1))
    return [prediction(i, answer("image-free", "none", control[i]),
                       answer("network", "right", T, status, sigma=[1.1, 0.5], recall=0.25 * i),
                       answer("network", "wrong", wrong[i]))
            for i, (T, status) in enumerate(right)]


def test_errors_are_those_that_were_made(four: list[dict[str, Any]]) -> None:
    judged = judge(four)["network", "right"]
    np.testing.assert_allclose(judged.rre, [1, 3, 2, math.inf], atol=1e-9)
    np.testing.assert_allclose(judged.rte, [1, 0.5, 0.1, math.inf], atol=1e-9)
    assert (judged.euler[:3] > judged.rre[:3]).all()  # a sum of three angles


def test_all_pairs_count_and_failures_are_failures(four: list[dict[str, Any]]) -> None:
    one = all_metrics(four, PROTOCOLS["A"])["methods"]["network"]["right"]
    assert one["share_within"] == {"5 deg, 2 m": 0.5, "1 deg, 30 cm": 0.0}
    assert (one["pairs"], one["unanswered"], one["failed"]) == (4, 1, 2)
    assert one["rre_deg"]["median"] == pytest.approx(2.5) and one["rre_deg"]["p90"] is None
    assert one["rre_deg"]["mean"] == pytest.approx(2.0)  # of what has an answer
    assert one["rre_deg"]["mean_successes"] == pytest.approx(2.0)
    assert one["coarse_recall"] == pytest.approx(0.375)


def test_protocol_b_means_over_successes_alone(four: list[dict[str, Any]]) -> None:
    four[2]["answers"][1] |= {"T_cam_lidar": off(40, 8.0), "status": "ok"}
    one = all_metrics(four, PROTOCOLS["B"])["methods"]["network"]["right"]
    assert one["rre_deg"]["mean"] == pytest.approx(2.0) and one["rte_m"]["mean"] == pytest.approx(0.75)
    assert one["rre_deg"]["mean_all"] == pytest.approx(44 / 3)


def test_the_table_holds_all_three_and_their_differences(four: list[dict[str, Any]]) -> None:
    (row,) = all_metrics(four, PROTOCOLS["A"])["table"]
    assert (row["right"], row["wrong"], row["image_free"]) == (0.5, 0.25, 0.75)
    assert (row["right_minus_wrong"], row["right_minus_image_free"]) == (0.25, -0.25)
    words = table_in_words(all_metrics(four, PROTOCOLS["A"]), PROTOCOLS["A"])
    for word in ("right image", "wrong image", "no image", "50.0 %", "25.0 %", "75.0 %", "-25.0 %"):
        assert word in words


def test_a_control_that_is_not_applicable_is_no_score_of_nothing(four: list[dict[str, Any]]) -> None:
    for one in four:
        one["answers"][0] = answer("image-free", "none", None, NOT_APPLICABLE)
    (row,) = all_metrics(four, PROTOCOLS["A"])["table"]
    assert row["image_free"] is None and row["right_minus_image_free"] is None


def test_shares_of_one_error_leave_failures_out_as_all_do(four: list[dict[str, Any]]) -> None:
    told = all_metrics(four, PROTOCOLS["A"])["methods"]["network"]["right"]
    assert told["share_deg_only"] == told["share_m_only"] == 0.5  # the third is near, and said that it had failed


def test_a_control_counts_where_it_is_applicable(four: list[dict[str, Any]]) -> None:
    for one in four[1:]:
        one["answers"][0] = answer("image-free", "none", None, NOT_APPLICABLE)
    metrics = all_metrics(four, PROTOCOLS["A"])
    (row,) = metrics["table"]
    assert (row["right"], row["image_free"], row["right_minus_image_free"], row["control_pairs"]) == (0.5, 1.0, 0.0, 1)
    assert "applicable to 1 of 4 pairs" in table_in_words(metrics, PROTOCOLS["A"])


def test_confidence_tells_whether_ok_means_right(four: list[dict[str, Any]]) -> None:
    told = all_metrics(four, PROTOCOLS["A"])["methods"]["network"]["right"]["confidence"]
    assert told["ok"] == {"pairs": 1, "share_right": 1.0}
    assert told["failed"] == {"pairs": 2, "share_right": 0.5}
    assert told["share_of_right_told_ok"] == 0.5
    assert told["share_within_3_sigma"] == pytest.approx(0.75)  # 3.3 deg, 1.5 m: all but the unanswered


def test_groups_and_curves_agree_with_the_whole(four: list[dict[str, Any]]) -> None:
    one = all_metrics(four, PROTOCOLS["A"])["methods"]["network"]["right"]
    assert {name: group["pairs"] for name, group in one["groups"]["rig"].items()} == {"a": 2, "b": 2}
    assert list(one["groups"]["distance"]) == ["20 m or more"] and list(one["groups"]["overlap"]) == ["0.1 to 0.2"]
    # from small to large, not by the alphabet
    spread = [replaced | {"distance_m": metres} for replaced, metres in zip(four, (25.0, 12.0, 3.0, None), strict=True)]
    told = all_metrics(spread, PROTOCOLS["A"])["methods"]["network"]["right"]["groups"]["distance"]
    assert list(told) == ["below 10 m", "10 to 20 m", "20 m or more", "unknown"]
    # two of four are near: the third is, too, and was told to have failed
    assert one["curves"]["rre_deg"][-1] == [10.0, 0.5] and one["curves"]["rre_deg"][0] == [0.0, 0.0]


def test_limits_and_percentiles_in_words() -> None:
    assert [limit_in_words(limit) for limit in PROTOCOLS["C"].limits] == ["2 deg, 5 cm", "0.5 deg, 5 cm"]
    assert percentile(np.array([math.inf, math.inf]), 50) is None and percentile(np.array([]), 50) is None
    assert percentile(np.array([1.0, 2.0, math.inf]), 50) == 2.0


class Tags(HTMLParser):
    """What a page consists of and refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.seen: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_the_page_holds_everything_and_asks_no_network(four: list[dict[str, Any]]) -> None:
    four[3]["failed"] = "frame <b>003</b> is broken"
    metrics, picture = all_metrics(four, PROTOCOLS["A"]), np.zeros((40, 60, 3), np.uint8)
    page = write_page(metrics, PROTOCOLS["A"], {"source": "a<script>"}, [("best: 000", picture)])
    tags = Tags(page)
    assert not tags.open and {"svg", "polyline", "table", "img"} <= tags.seen and "script" not in tags.seen
    assert tags.sources and all(source.startswith("data:image/jpeg;base64,") for source in tags.sources)
    assert "http" not in page and "url(" not in page
    assert "details" not in tags.seen


def test_a_page_of_many_rigs_is_not_all_table(four: list[dict[str, Any]]) -> None:
    many = [each | {"pair": 4 * i + j, "rig": f"rig {i}"} for i in range(41) for j, each in enumerate(four)]
    assert "details" in Tags(write_page(all_metrics(many, PROTOCOLS["A"]), PROTOCOLS["A"], {}, [])).seen
