"""A line chart as SVG, both axes logarithmic; a static picture needs no browser to be drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 720, 440, 64
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Points = Sequence[tuple[float, float]]


def line_chart(lines: Mapping[str, Points], x_title: str, y_title: str) -> str:
    """Draw one line a name over positive values."""
    values = [point for points in lines.values() for point in points]
    across = _Scale([x for x, _ in values], MARGIN, WIDTH - 2 * MARGIN)
    up = _Scale([y for _, y in values], HEIGHT - MARGIN, MARGIN / 2)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _label(WIDTH / 2, HEIGHT - 12, x_title, "middle"),
        _label(14, MARGIN / 3, y_title, "start"),
    ]
    for x in dict.fromkeys(x for x, _ in values):
        drawn.append(_grid(across.at(x), MARGIN / 2, across.at(x), HEIGHT - MARGIN))
        drawn.append(_label(across.at(x), HEIGHT - MARGIN + 18, f"{x:g}", "middle"))
    for y in up.decades():
        drawn.append(_grid(MARGIN, up.at(y), WIDTH - 2 * MARGIN, up.at(y)))
        drawn.append(_label(MARGIN - 6, up.at(y) + 4, f"{y:g}", "end"))
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = points[-1]
        drawn.append(_label(across.at(x) + 8, up.at(y) + 4, name, "start", colour))
    return "\n".join([*drawn, "</svg>", ""])


class _Scale:
    """Logarithms of positive values onto a range of pixels."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self._low, self._high = math.log10(min(values)), math.log10(max(values))
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        width = self._high - self._low or 1.0
        return self._begin + (math.log10(value) - self._low) / width * (self._end - self._begin)

    def decades(self) -> list[float]:
        powers = range(math.ceil(self._low), math.floor(self._high) + 1)
        return [10.0**power for power in powers]


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _label(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    style = f'text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
