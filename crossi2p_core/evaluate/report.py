"""The report: one HTML page with everything inside it, and the table as a terminal shows it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from .metrics import limit_in_words
from .plots import legend, share_plot
from .protocols import Protocol

COLUMNS = (("method", "method"), ("right", "right image"), ("wrong", "wrong image"), ("image_free", "no image"),
           ("right_minus_wrong", "right − wrong"), ("right_minus_image_free", "right − no image"))
RECALLS = (("recall_right", "recall, right"), ("recall_wrong", "recall, wrong"))
DASHES = {"right": "", "wrong": "7 4", "none": "2 4"}
PICTURE_WIDTH = 900
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;margin:.6rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots svg{width:28rem;max-width:100%;font:11px system-ui,sans-serif}
.legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.9rem;height:.25rem;
margin:0 .35rem .2rem 0}figure{margin:1rem 0}img{max-width:100%}td.main{font-weight:600}.note{color:#555}"""


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
        parts += ["<h2>Best, median and worst</h2>", *(_figure(*one) for one in pictures)]
    if metrics["bad_frames"]:
        parts += ["<h2>Frames that could not be used</h2>", _rows(("frame", "reason"), metrics["bad_frames"].items())]
    parts += ["<h2>What was evaluated</h2>", _rows(("", ""), about.items())]
    return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>crossi2p evaluate, protocol '
            f"{protocol.name}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")


def _control_in_words(metrics: Mapping[str, Any]) -> list[str]:
    """A sentence where the control without image had nothing to say on some pairs."""
    counts = {row["control_pairs"] for row in metrics["table"]} - {metrics["pairs"], 0}
    return [f"no image: applicable to {count} of {metrics['pairs']} pairs; its column, and the difference to it, are "
            "over these" for count in sorted(counts)]


def _table(metrics: Mapping[str, Any]) -> str:
    rows = metrics["table"]
    columns = [*COLUMNS, *(RECALLS if any(row["recall_right"] is not None for row in rows) else ())]
    told = "".join(f"<p class=note>{escape(sentence)}</p>" for sentence in _control_in_words(metrics))
    return _rows([title for _, title in columns], ([_cell(row[key]) for key, _ in columns] for row in rows)) + told


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
    return f"{_rows(head, lines)}<p class=note>Degrees and metres; means over {over}; – is infinite or unknown.</p>"


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
    return _rows(("method", "ok", "uncertain", "failed", "of the right ones told ok", "errors within 3 sigma"), lines)


def _groups(metrics: Mapping[str, Any], protocol: Protocol, way: str) -> str:
    limit = limit_in_words(protocol.limits[0])
    return _rows(("method", "group", "pairs", "right", "RRE median", "RTE median"), (
        (name, group, str(found["pairs"]), _cell(found["share_within"][limit]), _number(found["rre_deg"]["median"]),
         _number(found["rte_m"]["median"]))
        for name, one in _headline(metrics).items() for group, found in one["groups"][way].items()))


def _headline(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every method with the right image, the controls with none."""
    return {name: images.get("right") or images["none"] for name, images in metrics["methods"].items()}


def _figure(caption: str, picture: np.ndarray) -> str:
    factor = min(1.0, PICTURE_WIDTH / picture.shape[1])
    smaller = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(smaller[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    text = base64.b64encode(data.tobytes()).decode()
    return (f'<figure><img alt="{escape(caption)}" src="data:image/jpeg;base64,{text}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def _rows(head: Sequence[str], lines: Any) -> str:
    top = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _counted(one: Mapping[str, Any]) -> str:
    return "successes" if one["mean_over"] == "successes" else "all"


def _cell(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
