"""Curves as SVG text, to stand inside a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLORS = ("#0b6e4f", "#c8553d", "#3d5a98", "#b8860b", "#7b4b94", "#4a4a4a", "#1f9ac0", "#a23b72")
WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40  # margins in px

Curve = tuple[str, str, Sequence[Sequence[float]]]
"""Label, dash pattern (empty: solid), points (x, share)."""


def share_plot(curves: Sequence[Curve], x_label: str, limit: float) -> str:
    """Shares of 0..1 over an error as one SVG; a dotted line stands at `limit`. Colours go by label, in order."""
    most = max((point[0] for _, _, points in curves for point in points), default=1.0) or 1.0
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="share of pairs over {escape(x_label)}">']
    parts += _axes(most, x_label)
    parts.append(_line([(_x(limit, most), _y(0)), (_x(limit, most), _y(1))], "#888", "2 3", 1.0))
    labels = list(dict.fromkeys(label for label, _, _ in curves))
    for label, dash, points in curves:
        place = [(_x(x, most), _y(share)) for x, share in points]
        parts.append(_line(place, COLORS[labels.index(label) % len(COLORS)], dash, 2.0))
    return "".join([*parts, "</svg>"])


def legend(labels: Sequence[str]) -> str:
    """What the colours of `share_plot` mean, as HTML."""
    marks = (f'<span><i style="background:{COLORS[i % len(COLORS)]}"></i>{escape(label)}</span>'
             for i, label in enumerate(labels))
    lines = "<span>solid: right image; dashed: wrong image; dotted: no image</span>"
    return f'<p class="legend">{"".join(marks)}{lines}</p>'


def _axes(most: float, x_label: str) -> list[str]:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line([(LEFT, _y(share)), (WIDTH - RIGHT, _y(share))], "#ddd", "", 1.0))
        parts.append(_text(LEFT - 6, _y(share) + 4, f"{share:.0%}", "end"))
    for step in range(5):
        value = most * step / 4
        parts.append(_text(_x(value, most), HEIGHT - BOTTOM + 16, f"{value:.3g}", "middle"))
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle")]


def _x(value: float, most: float) -> float:
    return LEFT + value / most * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def _line(points: Sequence[tuple[float, float]], color: str, dash: str, width: float) -> str:
    place = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (f'<polyline points="{place}" fill="none" stroke="{color}" stroke-width="{width}"'
            + (f' stroke-dasharray="{dash}"' if dash else "") + "/>")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
