"""Charts of what the two training runs measured of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from polylm_core.stages.report import figures, words
from polylm_core.stages.report.blocks import Figure, Table
from polylm_core.stages.report.material import Material
from polylm_core.stages.report.reading import Row

MEAN = "mean of all languages"
MAX_POINTS = 400
"""Points of one curve in the report; a longer one is thinned evenly."""
TABLE_POINTS = 12


def curve(rows: Sequence[Row], metric: str, language: str = "") -> tuple[list[int], list[float]]:
    """Steps and values of a metric, thinned to `MAX_POINTS`; empty where it was not measured."""
    points = sorted(
        (row["step"], row["value"])
        for row in rows
        if row["metric"] == metric and row["language"] == language
    )
    step = -(-len(points) // MAX_POINTS)
    kept = [*points[:: max(1, step)], *points[-1:]]
    kept = sorted(dict(kept).items())
    return [x for x, _ in kept], [y for _, y in kept]


def loss(material: Material) -> Figure:
    """Training loss of both runs."""
    runs = {"base model": material.base_curves, "chat model": material.chat_curves}
    return figure(
        "loss", {name: curve(rows, "loss") for name, rows in runs.items()}, "Loss (nats a token)",
        caption="Training loss: of the base model over all text, of the chat model over answers.",
    )  # fmt: skip


def learning_rate(material: Material) -> Figure:
    """Learning rate of both runs."""
    runs = {"base model": material.base_curves, "chat model": material.chat_curves}
    series = {name: curve(rows, "learning_rate") for name, rows in runs.items()}
    return figure(
        "learning-rate", series, "Learning rate",
        caption="Learning rate: a linear rise, then a cosine for the base model.",
    )  # fmt: skip


def figure(
    name: str,
    series: dict[str, tuple[list[int], list[float]]],
    title: str,
    *,
    caption: str,
) -> Figure:
    """Curves of several models or runs in one chart; `title` names what is measured."""
    shown = {name: points for name, points in series.items() if points[0]}
    rows = [
        (name, words.count(step), f"{value:.4g}")
        for name, (steps, values) in shown.items()
        for step, value in _thinned(list(zip(steps, values, strict=True)))
    ]
    ends = [
        f"{name} from {values[0]:.4g} to {values[-1]:.4g}" for name, (_, values) in shown.items()
    ]
    return Figure(
        id=name,
        chart=figures.curves(shown, measure=f"{title}, by optimizer step"),
        caption=caption,
        alt=f"{title} over steps: {words.listed(ends)}.",
        table=Table(("Model", "Step", title), rows),
    )


T = TypeVar("T")


def _thinned(points: list[T]) -> list[T]:
    step = max(1, -(-len(points) // TABLE_POINTS))
    return [*points[:-1:step], *points[-1:]]


def bits_over_steps(material: Material, languages: Sequence[str]) -> Figure | None:
    """Held-out bits per byte of each language while the base model learned; none if it did not."""
    if not material.base_curves:
        return None
    series = {
        words.name(code): curve(material.base_curves, "bits_per_byte", code) for code in languages
    }
    shown = {name: points for name, points in series.items() if points[0]}
    steps = sorted({step for points, _ in shown.values() for step in points})
    rows = []
    for name, (xs, ys) in shown.items():
        at = dict(zip(xs, ys, strict=True))
        rows.append((name, *(words.decimal(at.get(step)) for step in steps)))
    return Figure(
        id="bits-over-steps",
        chart=figures.curves(shown, measure="Bits per byte, by optimizer step"),
        caption="Each language's held-out text while the base model was trained; lower is better.",
        alt=f"Lines of {len(shown)} languages that fall with the steps.",
        table=Table(("Language", *(f"Step {step:,}" for step in steps)), rows),
    )


def mean_bits(material: Material, languages: Sequence[str]) -> tuple[list[int], list[float]]:
    """Held-out bits per byte over steps, the mean of the languages; empty where none were taken."""
    curves = [curve(material.base_curves, "bits_per_byte", code) for code in languages]
    found = [dict(zip(*points, strict=True)) for points in curves if points[0]]
    steps = sorted(set.intersection(*(set(each) for each in found))) if found else []
    return steps, [sum(each[step] for each in found) / len(found) for step in steps]


def bits_of_language(material: Material, code: str, languages: Sequence[str]) -> Figure | None:
    """Held-out bits per byte of one language beside the mean of all; none where none were taken."""
    steps, values = curve(material.base_curves, "bits_per_byte", code)
    if not steps:
        return None
    mean = dict(zip(*mean_bits(material, languages), strict=True))
    averages = [mean[step] for step in steps]
    name = words.name(code)
    rows = [
        (words.count(step), words.decimal(value), words.decimal(other))
        for step, value, other in _thinned(list(zip(steps, values, averages, strict=True)))
    ]
    return Figure(
        id=f"bits-{code}",
        chart=figures.curves(
            {name: (steps, values), MEAN: (steps, averages)},
            measure="Bits per byte, by optimizer step",
        ),
        caption=f"Held-out {name} text while the base model was trained; lower is better.",
        alt=f"A line from {values[0]:.2f} to {values[-1]:.2f} bits per byte; the mean of all "
        f"languages ends at {averages[-1]:.2f}.",
        table=Table(("Step", name, "Mean of all languages"), rows),
    )
