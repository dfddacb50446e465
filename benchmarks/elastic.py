"""A run whose number of ranks changes, and one where it does not: `python -m benchmarks.elastic`.

A small model in float32 (products too) trains under ZeRO-3 with 2 ranks, goes on with 1, with 3 and
with 2 again, each time from the checkpoint of the ranks before. Ends with status 1 unless both runs
computed on the same rows at every step, their losses are within 1e-4 of each other at every step,
and all is equal bit for bit up to the first change. `--quick` does fewer steps and keeps no result.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.engine.elastic_rank import STOP_AFTER, rows_of
from benchmarks.results import tell
from polylm_core.compute.local import LocalBackend
from polylm_core.storage import write_atomic
from polylm_core.training.events import read_events
from polylm_core.training.job import TrainJob
from polylm_core.training.metrics import MetricsFile
from tests.training_job import make_job

PACKAGES = ("polylm", "torch", "deepspeed")
SIZES = (2, 1, 3, 2)
BATCH_WINDOWS = 12
STEPS, QUICK_STEPS = 50, 5
"""With each number of ranks."""
CEILING_DIFFERENCE = 1e-4
"""Of the loss, nats a token."""
WORKER = "benchmarks.engine.elastic_rank:train_part"
WHY_NOT_BITWISE = (
    "the gradient of the batch is a float32 sum over ranks and micro-batches, and with another "
    "number of ranks it is added up in another order"
)


def elastic_job(folder: Path, steps: int) -> TrainJob:
    """Write the input of a run below a folder; products are in float32."""
    job = make_job(folder, steps=steps, checkpoint_every_steps=steps, batch=BATCH_WINDOWS)
    assert job.new_model is not None
    shape = job.new_model.model_copy(update={"num_layers": 2, "hidden_size": 64})
    # A rate at which no step spikes, else the guard leaves it out and there is nothing to compare.
    schedule = job.schedule.model_copy(update={"peak": 1e-3, "final": 1e-4})
    changes = {"new_model": shape, "schedule": schedule, "matmul_precision": "highest"}
    return job.model_copy(update=changes)


def train_part(job: TrainJob, ranks: int, steps: int | None) -> None:
    """Train with so many ranks for so many steps, or to the end."""
    job.work.mkdir(parents=True, exist_ok=True)
    file = job.work / STOP_AFTER
    file.unlink(missing_ok=True)
    if steps is not None:
        write_atomic(file, str(steps).encode())
    LocalBackend(map_workers=1, training_workers=ranks, threads_per_worker=1).launch(
        WORKER,
        job.model_dump(mode="json"),
        work=job.work,
        sizes=[ranks],
        on_report=lambda _: None,
        on_note=lambda note: print(note, file=sys.stderr, flush=True),
    )


def losses(job: TrainJob) -> dict[int, float]:
    """Return a run's losses by step."""
    rows = MetricsFile(job.work / "metrics.jsonl").read()
    return {row.step: row.value for row in rows if row.metric == "loss"}


def compare(folder: Path, steps: int) -> dict[str, Any]:
    """Run both ways below a folder and return how far they are apart, by number of ranks."""
    constant, changing = (
        elastic_job(folder / name, steps * len(SIZES)) for name in ("constant", "changing")
    )
    train_part(constant, SIZES[0], None)
    for number, ranks in enumerate(SIZES):
        train_part(changing, ranks, steps if number + 1 < len(SIZES) else None)
    before, after = losses(constant), losses(changing)
    starts = [r for r in read_events(changing.work / "events.jsonl") if r["event"] == "start"]
    rows = rows_of(constant.work), rows_of(changing.work)
    phases = []
    for number, start in enumerate(starts):
        part = range(start["step"] + 1, start["step"] + steps + 1)
        apart = [
            abs(before[step] - after[step]) for step in part if step in before and step in after
        ]
        phases.append(
            {
                "ranks": start["world_size"],
                "first_step": part[0],
                "last_step": part[-1],
                "steps_again": start["steps_again"],
                "greatest_difference": max(apart),
                "equal_bit_for_bit": apart.count(0.0),
            }
        )
        assert start["world_size"] == SIZES[number]
    return {
        "steps": steps * len(SIZES),
        "steps_measured": [len(before), len(after)],
        "batch_windows": BATCH_WINDOWS,
        "same_rows_at_every_step": rows[0] == rows[1] and len(rows[0]) == steps * len(SIZES),
        "first_loss": before[1],
        "last_loss": before[max(before)],
        "phases": phases,
        "greatest_difference": max(phase["greatest_difference"] for phase in phases),
        "not_bit_for_bit_because": WHY_NOT_BITWISE,
    }


def shortfalls(result: dict[str, Any]) -> list[str]:
    """Say what was to be equal and is not."""
    found = []
    if not result["same_rows_at_every_step"]:
        found.append("the rows of a step differ")
    if not result["greatest_difference"] <= CEILING_DIFFERENCE:
        found.append(f"losses differ by {result['greatest_difference']}")
    if result["steps_measured"] != [result["steps"]] * 2:
        found.append(f"of {result['steps']} steps {result['steps_measured']} have a loss")
    first = result["phases"][0]
    if first["greatest_difference"] != 0:
        found.append("losses differ before the first change")
    if [phase["ranks"] for phase in result["phases"]] != list(SIZES):
        found.append("a change is missing")
    return found


def main() -> int:
    """Train both ways and compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick: bool = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="polylm-elastic-") as scratch:
        result = compare(Path(scratch), QUICK_STEPS if quick else STEPS)
    result = {"ceiling_difference": CEILING_DIFFERENCE, **result, "apart": shortfalls(result)}
    tell("elastic", result, PACKAGES, keep=not quick)
    return int(bool(result["apart"]))


if __name__ == "__main__":
    sys.exit(main())
