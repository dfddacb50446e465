"""Who made the artifacts, when and how fast: what `runs/` keeps of executions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.stages.report import figures, words
from polylm_core.stages.report.blocks import Figure, Table
from polylm_core.stages.report.reading import Row

PROVENANCE = "provenance.json"
THROUGHPUT = "throughput.jsonl"
TRAINING = {"pretrain": "base model", "finetune": "chat model"}
MAX_POINTS = 400
TABLE_POINTS = 12


@dataclass(frozen=True)
class Timings:
    """The executions behind a run's artifacts."""

    executions: Table
    throughput: Figure | None
    speeds: dict[str, tuple[list[int], list[float]]]
    """Tokens a second by optimizer step, of each model that was trained."""


def read_timings(runs: Path, lineage: Sequence[Row]) -> Timings:
    """Read the latest execution that made each artifact; what has no record says so."""
    records = {str(record["fingerprint"]): record for record in _records(runs)}
    rows, speeds = [], {}
    for row in lineage:
        record = records.get(row["fingerprint"])
        rows.append(_cells(row["stage"], record))
        points = _speeds(record["folder"]) if record and row["stage"] in TRAINING else None
        if points:
            speeds[TRAINING[row["stage"]]] = points
    names = ("Stage", "Commit", "Started", "Took", "Host", "Machine", "torch", "Python")
    table = Table(names, rows, left=(0, 1, 2, 4, 5, 6, 7))
    return Timings(table, speed_figure(speeds), speeds)


def _records(runs: Path) -> list[dict[str, Any]]:
    """The records of executions, the latest last."""
    found = []
    for file in sorted(runs.glob(f"*/{PROVENANCE}")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # of an execution that was cut short while it wrote
        if isinstance(record, dict) and "fingerprint" in record:
            found.append({**record, "folder": file.parent})
    return sorted(found, key=lambda record: str(record.get("ended", "")))


def _cells(stage: str, record: dict[str, Any] | None) -> tuple[str, ...]:
    if record is None:
        return (stage, "no record left", *[words.NOTHING] * 6)
    real = record.get("realisation", {})
    commit = str(record.get("commit", ""))
    dirty = " with changes" if commit.endswith("-dirty") else ""
    return (
        stage,
        (commit.removesuffix("-dirty")[:12] + dirty) or words.NOTHING,
        str(record.get("started", words.NOTHING)),
        words.duration(float(record.get("seconds", 0.0))),
        str(record.get("host", words.NOTHING)),
        str(real.get("processor", words.NOTHING)),
        str(real.get("packages", {}).get("torch", words.NOTHING)),
        str(real.get("python", words.NOTHING)),
    )


def _speeds(folder: Path) -> tuple[list[int], list[float]] | None:
    """Tokens a second by step, phases one after another; a step that was done again counts last."""
    steps: list[int] = []
    values: list[float] = []
    for file in sorted(folder.rglob(THROUGHPUT)):
        found: dict[int, float] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            found[int(row["step"])] = float(row["tokens_per_second"])
        before = steps[-1] if steps else 0
        steps += [before + step for step in sorted(found)]
        values += [found[step] for step in sorted(found)]
    return (steps, values) if steps else None


def speed_figure(speeds: dict[str, tuple[list[int], list[float]]]) -> Figure | None:
    """Curves of tokens a second; none where no training left a record."""
    if not speeds:
        return None
    series = {name: _thinned(*points, MAX_POINTS) for name, points in speeds.items()}
    rows = [
        (name, words.count(step), words.count(value))
        for name, (steps, values) in speeds.items()
        for step, value in zip(*_thinned(steps, values, TABLE_POINTS), strict=True)
    ]
    ends = [
        f"{name} {words.count(sum(values) / len(values))} on average"
        for name, (_, values) in speeds.items()
    ]
    return Figure(
        id="throughput",
        chart=figures.curves(series, measure="Tokens a second, by optimizer step"),
        caption="Speed of training on the machine of this execution, pauses left out.",
        alt=f"Tokens a second over steps: {words.listed(ends)}.",
        table=Table(("Model", "Step", "Tokens a second"), rows),
    )


def _thinned(
    steps: Sequence[int], values: Sequence[float], most: int
) -> tuple[list[int], list[float]]:
    every = max(1, -(-len(steps) // most))
    return list(steps[::every]), list(values[::every])
