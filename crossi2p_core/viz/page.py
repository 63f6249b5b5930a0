"""HTML pages with everything inside them: a table, a picture, and what holds them together. They need no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

PICTURE_WIDTH = 900
LONG = 40  # characters
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;margin:.6rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td{white-space:nowrap}td.long{white-space:normal}th:first-child,td:first-child{text-align:left}
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots svg{width:28rem;max-width:100%;font:11px system-ui,sans-serif}
.legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.9rem;height:.25rem;
margin:0 .35rem .2rem 0}figure{margin:1rem 0}img{max-width:100%}td.main{font-weight:600}.note{color:#555}"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page, of parts that are HTML already."""
    return (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")


def rows(head: Sequence[str], lines: Iterable[Iterable[Any]]) -> str:
    """A table."""
    top = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(_cell(str(each)) for each in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    """Numbers stay on one line, sentences need not."""
    return f"<td{' class=long' if len(text) > LONG else ''}>{escape(text)}</td>"


def figure(caption: str, picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 RGB, at most PICTURE_WIDTH wide, and what it shows."""
    factor = min(1.0, PICTURE_WIDTH / picture.shape[1])
    smaller = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(smaller[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    text = base64.b64encode(data.tobytes()).decode()
    return (f'<figure><img alt="{escape(caption)}" src="data:image/jpeg;base64,{text}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")
