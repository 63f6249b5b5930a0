"""The report of an evaluation: one HTML page, and the table as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..viz.page import figure, page, rows
from .metrics import limit_in_words
from .plots import legend, share_plot
from .protocols import Protocol

COLUMNS = (("method", "method"), ("right", "right image"), ("wrong", "wrong image"), ("image_free", "no image"),
           ("right_minus_wrong", "right − wrong"), ("right_minus_image_free", "right − no image"))
RECALLS = (("recall_right", "recall, right"), ("recall_wrong", "recall, wrong"))
FOLDED = 40  # rows; a longer table is folded away
DASHES = {"right": "", "wrong": "7 4", "none": "2 4"}


def table_in_words(metrics: Mapping[str, Any], protocol: Protocol) -> str:
    """Rows of right image, wrong image, no image, and their differences; then the errors with the right image."""
    rows = metrics["table"]
    columns = [*COLUMNS, *(RECALLS if any(row["recall_right"] is not None for row in rows) else ())]
    cells = [[title for _, title in columns], *([_cell(row[key]) for key, _ in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [f"protocol {protocol.name}: share of pairs within {limit_in_words(protocol.limits[0])}"]
    lines += ["  ".join(f"{text:<{w}}" if i == 0 else f"{text:>{w}}" for i, (text, w) in enumerate(
        zip(line, widths, strict=True))) for line in cells]
    lines += _control_in_words(metrics)
    lines += [f"{name}: median {_number(one['rre_deg']['median'])} deg {_number(one['rte_m']['median'])} m, 90th "
              f"percentile {_number(one['rre_deg']['p90'])} deg {_number(one['rte_m']['p90'])} m, mean over "
              f"{_counted(one)} {_number(one['rre_deg']['mean'])} deg {_number(one['rte_m']['mean'])} m, "
              f"{one['failed']} of {one['pairs']} failed" for name, one in _headline(metrics).items()]
    return "\n".join(lines)


def write_page(metrics: Mapping[str, Any], protocol: Protocol, about: Mapping[str, Any],
               pictures: Sequence[tuple[str, np.ndarray]]) -> str:
    """The page as text. about: what was evaluated, by name. pictures: captions with (H, W, 3) uint8 RGB."""
    parts = [f"<h1>Protocol {protocol.name}: {escape(str(about.get('source', '')))}</h1>",
             f"<p class=note>Right: an answer within {limit_in_words(protocol.limits[0])}, over all pairs. What a "
             "method reaches with a wrong image, or the control with none, does not prove that it looks at the image; "
             "only the differences do.</p>", _table(metrics), "<h2>Errors</h2>", _errors(metrics, protocol),
             "<h2>Share of pairs below an error</h2>", _plots(metrics, protocol),
             "<h2>Does “ok” mean right?</h2>", _confidence(metrics)]
    for way, title in (("rig", "By rig"), ("distance", "By distance of what is seen"),
                       ("overlap", "By share of the scan in the image")):
        parts += [f"<h2>{title}</h2>", _groups(metrics, protocol, way)]
    if pictures:
        parts += ["<h2>Best, median and worst</h2>", *(figure(*one) for one in pictures)]
    if metrics["bad_frames"]:
        parts += ["<h2>Frames that could not be used</h2>", rows(("frame", "reason"), metrics["bad_frames"].items())]
    parts += ["<h2>What was evaluated</h2>", rows(("", ""), about.items())]
    return page(f"crossi2p evaluate, protocol {protocol.name}", parts)


def _control_in_words(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence where the control without image had nothing to say on some pairs."""
    counts = {row["control_pairs"] for row in metrics["table"]} - {metrics["pairs"], 0}
    return [f"no image: applicable to {count} of {metrics['pairs']} pairs; its column, and the difference to it, are "
            "over these" for count in sorted(counts)]


def _table(metrics: Mapping[str, Any]) -> str:
    lines = metrics["table"]
    columns = [*COLUMNS, *(RECALLS if any(row["recall_right"] is not None for row in lines) else ())]
    told = "".join(f"<p class=note>{escape(sentence)}</p>" for sentence in _control_in_words(metrics))
    return rows([title for _, title in columns], ([_cell(row[key]) for key, _ in columns] for row in lines)) + told


def _errors(metrics: Mapping[str, Any], protocol: Protocol) -> str:
    """All methods and images: geodesic and Euler-sum rotation errors, translation errors, shares."""
    limits = [limit_in_words(limit) for limit in protocol.limits]
    head = ("method", "image", "RRE median", "RRE p90", "RRE mean", "Euler sum mean", "RTE median", "RTE p90",
            "RTE mean", *limits, "failed")
    lines = [(name, image, *(_number(one["rre_deg"][k]) for k in ("median", "p90", "mean")),
              _number(one["euler_sum_deg"]["mean"]), *(_number(one["rte_m"][k]) for k in ("median", "p90", "mean")),
              *(_cell(one["share_within"][limit]) for limit in limits), f"{one['failed']} of {one['pairs']}")
             for name, images in metrics["methods"].items() for image, one in images.items()]
    over = "the successes alone" if protocol.mean_over == "successes" else "all pairs with an answer"
    return f"{rows(head, lines)}<p class=note>Degrees and metres; means over {over}; – is infinite or unknown.</p>"


def _plots(metrics: Mapping[str, Any], protocol: Protocol) -> str:
    drawn = []
    for key, label, limit in (("rre_deg", "rotation error, deg", protocol.limits[0][0]),
                              ("rte_m", "translation error, m", protocol.limits[0][1])):
        curves = [(name, DASHES[image], one["curves"][key]) for name, images in metrics["methods"].items()
                  for image, one in images.items()]
        drawn.append(share_plot(curves, label, limit))
    return f"{legend(list(metrics['methods']))}<div class=plots>{''.join(drawn)}</div>"


def _confidence(metrics: Mapping[str, Any]) -> str:
    lines = []
    for name, one in _headline(metrics).items():
        told = one["confidence"]
        lines.append((name, *(f"{told[status]['pairs']}, right {_cell(told[status]['share_right'])}"
                              for status in ("ok", "uncertain", "failed")),
                      _cell(told["share_of_right_told_ok"]), _cell(told["share_within_3_sigma"])))
    return rows(("method", "ok", "uncertain", "failed", "of the right ones told ok", "errors within 3 sigma"), lines)


def _groups(metrics: Mapping[str, Any], protocol: Protocol, way: str) -> str:
    limit = limit_in_words(protocol.limits[0])
    lines = [(name, group, str(found["pairs"]), _cell(found["share_within"][limit]),
              _number(found["rre_deg"]["median"]), _number(found["rte_m"]["median"]))
             for name, one in _headline(metrics).items() for group, found in one["groups"][way].items()]
    table = rows(("method", "group", "pairs", "right", "RRE median", "RTE median"), lines)
    return table if len(lines) <= FOLDED else f"<details><summary>{len(lines)} rows</summary>{table}</details>"


def _headline(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every method with the right image, the controls with none."""
    return {name: images.get("right") or images["none"] for name, images in metrics["methods"].items()}


def _counted(one: Mapping[str, Any]) -> str:
    return "successes" if one["mean_over"] == "successes" else "all"


def _cell(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
