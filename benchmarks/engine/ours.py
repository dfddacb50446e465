"""PolyLM's side: what each comparison asks of it, in one function each.

The stages run in processes of their own (`benchmarks.engine.run_stage`), pinned to as many
processors as the peer. What is imported of the core is imported where it is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.peer import single_threaded
from benchmarks.engine.sample import Sample
from polylm_core.records import Document


class NotConnectedError(Exception):
    """The stages have no way yet to answer this question."""


@dataclass(frozen=True)
class OurRun:
    """What one run of `curate` took and decided."""

    seconds: float
    """Of the stage alone, in a process whose kernels are compiled."""
    dropped: Mapping[str, tuple[str, str]]
    """Filter and reason by id of each dropped document."""


def ours_curate(
    sample: Path, out: Path, *, identify: bool, cpus: Sequence[int], params: Path
) -> OurRun:
    """Run `curate` on a sample's documents; without `identify` every claim is believed."""
    if not identify:
        raise NotConnectedError("curate has no way to leave identification out")
    options = ["--workers", str(len(cpus)), "--params", str(params), "--warm-with", str(sample)]
    run_stage("curate", sample, out, options, cpus=cpus)
    timing = json.loads((out / "timing.json").read_text())
    return OurRun(timing["seconds"], drops(out / "02_shards" / "drops"))


def run_stage(
    stage: str, source: Path, out: Path, options: Sequence[str], *, cpus: Sequence[int]
) -> None:
    """Run one stage in a process of its own; raises SystemExit with the log's name."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.engine.run_stage", stage, str(source), str(out)]
    log = out / "log.txt"
    with log.open("w") as file:
        done = subprocess.run(
            [*command, *options],
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            env=single_threaded(),
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
    if done.returncode:
        raise SystemExit(f"error: {stage} ended with {done.returncode}; see {log}")


def drops(folder: Path) -> dict[str, tuple[str, str]]:
    """Return filter and reason of each dropped document of a ShardSet's `drops`."""
    import pyarrow.parquet as pq

    found = {}
    for part in sorted(folder.glob("documents/*/*.parquet")):
        for row in pq.read_table(part, columns=["id", "filter", "reason"]).to_pylist():
            found[row["id"]] = (row["filter"], row["reason"])
    return found


def ours_labels(documents: Sequence[Document]) -> tuple[list[str], list[str]]:
    """Return the label of each document by its declared sample, and by its full text."""
    from polylm_core import identify

    model = identify._load_model()
    sampled, full = [], []
    for document in documents:
        sampled.append(identify.identify(document.text))
        labels, _ = model.predict(" ".join(document.text.split()))
        full.append(str(labels[0]).removeprefix("__label__") if labels else "")
    return sampled, full


def ours_decisions(sample: Sample, settings: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """Return, by document id, what each shared rule decides on the untouched text.

    Filters and reasons have datatrove's names (`gopher_repetition`: `top_2_gram`, ...); None keeps.
    """
    raise NotConnectedError("curate's rules do not read datatrove's settings")


def ours_near_duplicates(sample: Sample) -> set[str]:
    """Return the ids that the near-duplicate step alone drops; the texts are simplified already."""
    raise NotConnectedError("the near-duplicate step cannot be called on its own")
