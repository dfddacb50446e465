"""The report's charts as Plotly figures: data in, one chart out, nothing read or written.

All but the curves are horizontal by language, so that names are readable and a phone can show
them; titles and legends are left to the page, where they wrap. Colours differ in lightness as well
as hue (after Okabe and Ito), for readers who see few hues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go
import plotly.io

Trace = dict[str, Any]

BLUE, ORANGE, GREEN, PINK = "#1f5fbf", "#e08a1e", "#1a8f6b", "#c2527f"
SKY, PLUM, OLIVE, GREY = "#6fb1e6", "#6a4c93", "#a3a533", "#8a94a6"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, PLUM, OLIVE, GREY)
Mark = Literal["block", "dot", "tick", "solid", "dotted", "dashed"]
DASHES: tuple[tuple[str, Mark], ...] = (("solid", "solid"), ("dot", "dotted"), ("dash", "dashed"))
"""Plotly's name of a line's dash, and CSS's."""
INK, SOFT, GRID = "#1c2430", "#5b6474", "#e6e9ef"

ROW_PIXELS = 24
AXIS_PIXELS = 60
CURVE_PIXELS = 340
MANY_CURVES_PIXELS = 460


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    name: str
    colour: str
    mark: Mark


@dataclass(frozen=True)
class Chart:
    """A Plotly figure as JSON, with what the page writes around it."""

    json: str
    measure: str
    """What the values are, with their unit."""
    legend: tuple[Key, ...]
    """Empty where there is one series only."""
    height_pixels: int
    """Kept free on the page, so that nothing moves when the chart is drawn."""


@dataclass(frozen=True)
class Span:
    """A value with its interval."""

    value: float
    low: float | None = None
    high: float | None = None


def _chart(
    traces: Sequence[Trace], keys: Sequence[Key], measure: str, height: int, **layout: Any
) -> Chart:
    figure = go.Figure(
        {
            "data": list(traces),
            "layout": {
                "template": "none",
                "height": height,
                "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
                "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
                "paper_bgcolor": "rgba(0,0,0,0)",
                "plot_bgcolor": "rgba(0,0,0,0)",
                "dragmode": False,
                "hovermode": "closest",
                "showlegend": False,
                **layout,
            },
        }
    )
    # Without the json engine named, the bytes depend on whether orjson is installed.
    text = str(plotly.io.to_json(figure, engine="json", remove_uids=True))
    return Chart(text, measure, tuple(keys) if len(keys) > 1 else (), height)


def _values(**more: Any) -> dict[str, Any]:
    return {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def _names(rows: Sequence[str], **more: Any) -> dict[str, Any]:
    return {
        "automargin": True,
        "fixedrange": True,
        "categoryorder": "array",
        "categoryarray": list(rows),
        "autorange": "reversed",
        "ticklabelstandoff": 6,
        **more,
    }


def bars(
    rows: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    measure: str,
    side_by_side: bool = False,
) -> Chart:
    """Horizontal bars: one row a name, one colour a series, stacked or side by side."""
    keys = [Key(name, PALETTE[n % len(PALETTE)], "block") for n, name in enumerate(series)]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": key.name,
            "y": list(rows),
            "x": list(values),
            "marker": {"color": key.colour},
            "hovertemplate": f"%{{y}}, {key.name}: %{{x:,.4~g}}<extra></extra>",
        }
        for key, values in zip(keys, series.values(), strict=True)
    ]
    return _chart(
        traces,
        keys,
        measure,
        AXIS_PIXELS + ROW_PIXELS * len(rows),
        barmode="group" if side_by_side else "stack",
        bargap=0.28,
        xaxis=_values(),
        yaxis=_names(rows),
    )


def dots(
    rows: Sequence[str],
    series: Mapping[str, Sequence[Span | None]],
    *,
    measure: str,
    baselines: Sequence[str] = (),
    line_at: tuple[float, str] | None = None,
) -> Chart:
    """Dots with intervals: one row a name, one colour a series; baselines are grey ticks."""
    keys = [
        Key(name, GREY, "tick") if name in baselines else Key(name, PALETTE[n], "dot")
        for n, name in enumerate(series)
    ]
    traces = [_dots(key, rows, spans) for key, spans in zip(keys, series.values(), strict=True)]
    return _chart(
        traces,
        keys,
        measure,
        AXIS_PIXELS + ROW_PIXELS * len(rows),
        xaxis=_values(rangemode="tozero"),
        yaxis=_names(rows, showgrid=True, gridcolor=GRID),
        **(_marked(*line_at) if line_at else {}),
    )


def _dots(key: Key, rows: Sequence[str], spans: Sequence[Span | None]) -> Trace:
    known = [(row, span) for row, span in zip(rows, spans, strict=True) if span is not None]
    above = [0.0 if span.high is None else span.high - span.value for _, span in known]
    below = [0.0 if span.low is None else span.value - span.low for _, span in known]
    error = {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.5,
        "width": 0,
        "color": key.colour,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "name": key.name,
        "y": [row for row, _ in known],
        "x": [span.value for _, span in known],
        "marker": {
            "color": key.colour,
            "size": 9,
            "symbol": "line-ns-open" if key.mark == "tick" else "circle",
            "line": {"width": 2, "color": key.colour},
        },
        "hovertemplate": f"%{{y}}, {key.name}: %{{x:.4~g}}<extra></extra>",
        **({"error_x": error} if any(above) or any(below) else {}),
    }


def _marked(value: float, label: str) -> dict[str, Any]:
    """A vertical line with a label above it, where no dot can be."""
    line = {
        "type": "line",
        "x0": value,
        "x1": value,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": SOFT, "width": 2, "dash": "dot"},
    }
    note = {
        "x": value,
        "y": 1,
        "yref": "paper",
        "xanchor": "center",
        "yanchor": "bottom",
        "text": label,
        "showarrow": False,
        "font": {"color": SOFT, "size": 12},
    }
    margin = {"l": 8, "r": 12, "t": 26, "b": 8}
    return {"shapes": [line], "annotations": [note], "margin": margin}


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, measure: str) -> Chart:
    """Lines of (step, value) points, one colour a series; past eight series the dash changes."""
    keys, traces = [], []
    for number, (name, (x, y)) in enumerate(series.items()):
        colour = PALETTE[number % len(PALETTE)]
        dash, mark = DASHES[number // len(PALETTE) % len(DASHES)]
        keys.append(Key(name, colour, mark))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(x) > 40 else "lines+markers",
                "name": name,
                "x": list(x),
                "y": list(y),
                "line": {"width": 2, "color": colour, "dash": dash},
                "marker": {"size": 5},
                "hovertemplate": f"{name}, step %{{x:,}}: %{{y:.4~g}}<extra></extra>",
            }
        )
    return _chart(
        traces,
        keys,
        measure,
        CURVE_PIXELS if len(traces) <= len(PALETTE) else MANY_CURVES_PIXELS,
        xaxis=_values(rangemode="tozero"),
        yaxis=_values(),
    )
