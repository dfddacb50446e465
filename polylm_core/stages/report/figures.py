"""The report's charts as Plotly figures: data in, one figure out, nothing read or written.

All are horizontal by language, so that names are readable and a phone can show them. Colours
differ in lightness as well as hue (Okabe and Ito's order, adapted), for readers who see few hues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io

Trace = dict[str, Any]

BLUE, ORANGE, GREEN, PINK = "#1f5fbf", "#e08a1e", "#1a8f6b", "#c2527f"
SKY, PLUM, OLIVE, GREY = "#6fb1e6", "#6a4c93", "#a3a533", "#8a94a6"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, PLUM, OLIVE, GREY)
INK, GRID = "#1c2430", "#e6e9ef"

ROW_PIXELS = 24
FRAME_PIXELS = 110
"""Height of a chart beside its rows: legend and axis."""


@dataclass(frozen=True)
class Span:
    """A value with its interval."""

    value: float
    low: float | None = None
    high: float | None = None


def _figure(traces: Sequence[Trace], height: int, **layout: Any) -> str:
    """The figure as JSON that is the same for the same data."""
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
                "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
                **layout,
            },
        }
    )
    text = plotly.io.to_json(figure, engine="json", remove_uids=True)
    return text if isinstance(text, str) else str(text)


def _values(title: str, **more: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def _names(rows: Sequence[str]) -> dict[str, Any]:
    return {
        "automargin": True,
        "fixedrange": True,
        "categoryorder": "array",
        "categoryarray": list(reversed(rows)),
        "ticklabelstandoff": 6,
    }


def bars(
    rows: Sequence[str], series: Mapping[str, Sequence[float | None]], *, title: str, unit: str
) -> str:
    """Stacked horizontal bars: one row a name, one colour a series."""
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": list(rows),
            "x": list(values),
            "marker": {"color": PALETTE[number % len(PALETTE)]},
            "hovertemplate": f"%{{y}}, {name}: %{{x:,.4~g}} {unit}<extra></extra>",
        }
        for number, (name, values) in enumerate(series.items())
    ]
    return _figure(
        traces,
        FRAME_PIXELS + ROW_PIXELS * len(rows),
        barmode="stack",
        bargap=0.28,
        showlegend=len(series) > 1,
        xaxis=_values(title),
        yaxis=_names(rows),
    )


def groups(rows: Sequence[str], series: Mapping[str, Sequence[float]], *, title: str) -> str:
    """Horizontal bars side by side: one row a name, one bar a series."""
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": list(rows),
            "x": list(values),
            "marker": {"color": PALETTE[number % len(PALETTE)]},
            "hovertemplate": f"%{{y}}, {name}: %{{x:,.4~g}}<extra></extra>",
        }
        for number, (name, values) in enumerate(series.items())
    ]
    return _figure(
        traces,
        FRAME_PIXELS + (ROW_PIXELS + 4) * len(rows),
        barmode="group",
        bargap=0.3,
        bargroupgap=0.08,
        # Plotly draws the first series of a group at the bottom; the legend should agree.
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        xaxis=_values(title),
        yaxis=_names(rows),
    )


def dots(
    rows: Sequence[str],
    series: Mapping[str, Sequence[Span | None]],
    *,
    title: str,
    hollow: Sequence[str] = (),
    line_at: tuple[float, str] | None = None,
) -> str:
    """Dots with intervals: one row a name, one colour a series; baselines are hollow."""
    traces = []
    for number, (name, spans) in enumerate(series.items()):
        known = [(row, span) for row, span in zip(rows, spans, strict=True) if span is not None]
        is_hollow = name in hollow
        colour = GREY if is_hollow else PALETTE[number % len(PALETTE)]
        trace: Trace = {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "y": [row for row, _ in known],
            "x": [span.value for _, span in known],
            "marker": {
                "color": colour,
                "size": 9,
                "symbol": "line-ns-open" if is_hollow else "circle",
                "line": {"width": 2, "color": colour},
            },
            "hovertemplate": f"%{{y}}, {name}: %{{x:.4~g}}<extra></extra>",
        }
        if any(span.low is not None for _, span in known):
            trace["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": [(span.high or span.value) - span.value for _, span in known],
                "arrayminus": [
                    span.value - (span.value if span.low is None else span.low) for _, span in known
                ],
                "thickness": 1.5,
                "width": 0,
                "color": colour,
            }
        traces.append(trace)
    layout: dict[str, Any] = {"xaxis": _values(title, rangemode="tozero"), "yaxis": _names(rows)}
    layout["yaxis"] |= {"showgrid": True, "gridcolor": GRID}
    if line_at is not None:
        layout |= _marked(*line_at)
    return _figure(
        traces, FRAME_PIXELS + ROW_PIXELS * len(rows), showlegend=len(traces) > 1, **layout
    )


def _marked(value: float, label: str) -> dict[str, Any]:
    """A vertical line with a label at its foot."""
    return {
        "shapes": [
            {
                "type": "line",
                "x0": value,
                "x1": value,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": GREY, "width": 2, "dash": "dot"},
            }
        ],
        "annotations": [
            {
                "x": value,
                "y": 0,
                "yref": "paper",
                "xanchor": "left",
                "yanchor": "bottom",
                "text": f" {label}",
                "showarrow": False,
                "font": {"color": "#5b6474", "size": 12},
            }
        ],
    }


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x_title: str, y_title: str
) -> str:
    """Lines of (x, y) points, one colour a series; past eight series the dash changes."""
    dashes = ("solid", "dot", "dash")
    traces = [
        {
            "type": "scatter",
            "mode": "lines" if len(x) > 40 else "lines+markers",
            "name": name,
            "x": list(x),
            "y": list(y),
            "line": {
                "width": 2,
                "color": PALETTE[number % len(PALETTE)],
                "dash": dashes[number // len(PALETTE) % len(dashes)],
            },
            "marker": {"size": 5},
            "hovertemplate": f"{name}, step %{{x:,}}: %{{y:.4~g}}<extra></extra>",
        }
        for number, (name, (x, y)) in enumerate(series.items())
    ]
    crowded = len(traces) > len(PALETTE)
    return _figure(
        traces,
        520 if crowded else 340,
        showlegend=len(traces) > 1,
        # Many names go below the chart, where they may take as many lines as they need.
        legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top"}
        if crowded
        else {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        xaxis=_values(x_title),
        yaxis=_values(y_title),
    )
