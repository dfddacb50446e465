"""What the two training stages share: launch the ranks, watch them, write their curves."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.compute.backend import Backend
from polylm_core.progress import Progress
from polylm_core.storage import no_space_named
from polylm_core.training.job import TrainJob
from polylm_core.training.metrics import Measurement, MetricsFile
from polylm_core.training.shares import world_sizes
from polylm_core.training.skips import SKIPS_FILE
from polylm_core.training.spending import require_left

RANK = "polylm_core.training.loop:train_rank"
"""Named, not imported: torch and DeepSpeed cost the driver seconds that only ranks need."""
EXPORT_FOLDER = "export"
CURVES_FILE = "curves.parquet"
STEPS_FILE = "plots/steps.csv"
BITS_FILE = "plots/bits_per_byte.csv"
STEP_METRICS = ("loss", "learning_rate", "gradient_norm")
CURVES_SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("metric", pa.string()),
        ("language", pa.string()),
        ("value", pa.float64()),
    ]
)


def run_job(
    job: TrainJob, backend: Backend, progress: Progress, *, num_steps: int, what: str
) -> list[Measurement]:
    """Train on the backend's ranks to the end and return what was measured.

    The exported Hugging Face folder is then at `job.work / EXPORT_FOLDER`. Raises StageError when
    the run has cost what it may, before or on the way.
    """
    storage = job.execution.checkpoints.storage
    require_left(job.account or job.work, job.execution.budget, storage)
    metrics = MetricsFile(job.work / "metrics.jsonl")
    done = max((row.step for row in metrics.read()), default=0)
    with progress.track(what, num_steps, "steps", done=done) as tracker:

        def on_report(report: Mapping[str, float]) -> None:
            nonlocal done
            step = int(report["step"])
            tracker.advance(max(0, step - done), described(report))
            done = max(done, step)

        backend.launch(
            RANK,
            job.model_dump(mode="json"),
            work=job.work,
            sizes=world_sizes(job.data.batches.divisor, job.execution),
            on_report=on_report,
            on_note=progress.say,
        )
    return metrics.read()


def described(report: Mapping[str, float]) -> str:
    """Return what a bar says of a report of the ranks."""
    parts = [f"loss {report['loss']:.3f}", f"{report['tokens_per_second']:,.0f} tokens/s"]
    if "mfu" in report:
        parts.append(f"{100 * report['mfu']:.1f} % MFU")
    return ", ".join(parts)


def write_record(folder: Path, work: Path, rows: list[Measurement]) -> None:
    """Write what a model's folder tells of its training.

    The measurements as Parquet (step, metric, language, value), what `dvc plots` draws, and the
    steps that were left out, if any, from the run's work folder.
    """
    with no_space_named(folder):
        if (work / SKIPS_FILE).is_file():
            shutil.copyfile(work / SKIPS_FILE, folder / SKIPS_FILE)
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=CURVES_SCHEMA)
        pq.write_table(table, folder / CURVES_FILE, compression="zstd")
        (folder / STEPS_FILE).parent.mkdir()
        by_step: dict[int, dict[str, float]] = {}
        bits: dict[int, list[float]] = {}
        for row in rows:
            if row.metric in STEP_METRICS:
                by_step.setdefault(row.step, {})[row.metric] = row.value
            elif row.metric == "bits_per_byte":
                bits.setdefault(row.step, []).append(row.value)
        _write_csv(
            folder / STEPS_FILE,
            ("step", *STEP_METRICS),
            [
                (step, *(found.get(name) for name in STEP_METRICS))
                for step, found in by_step.items()
            ],
        )
        _write_csv(
            folder / BITS_FILE,
            ("step", "mean_bits_per_byte"),
            [(step, sum(values) / len(values)) for step, values in bits.items()],
        )


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
