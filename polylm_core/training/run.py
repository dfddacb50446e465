"""What the two training stages share: launch the ranks, watch them, write their curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.compute.backend import Backend
from polylm_core.progress import Progress
from polylm_core.storage import no_space_named
from polylm_core.training.job import TrainJob
from polylm_core.training.metrics import Measurement, MetricsFile

RANK = "polylm_core.training.loop:train_rank"
"""Named, not imported: torch and DeepSpeed cost the driver seconds that only ranks need."""
EXPORT_FOLDER = "export"
CURVES_FILE = "curves.parquet"
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

    The exported Hugging Face folder is then at `job.work / EXPORT_FOLDER`.
    """
    done = 0
    with progress.track(what, num_steps, "steps") as tracker:

        def on_report(metrics: Mapping[str, float]) -> None:
            nonlocal done
            step = int(metrics["step"])
            tracker.advance(max(0, step - done), f"loss {metrics['loss']:.3f}")
            done = max(done, step)

        backend.launch(RANK, job.model_dump(mode="json"), work=job.work, on_report=on_report)
    return MetricsFile(job.work / "metrics.jsonl").read()


def write_curves(path: Path, rows: list[Measurement]) -> None:
    """Write measurements as Parquet (step, metric, language, value)."""
    with no_space_named(path):
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=CURVES_SCHEMA)
        pq.write_table(table, path, compression="zstd")
