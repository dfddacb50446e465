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

from benchmarks.engine import neutral
from benchmarks.engine.peer import single_threaded
from benchmarks.engine.sample import Sample
from polylm_core.records import Document


@dataclass(frozen=True)
class OurRun:
    """What one run of `curate` took and decided."""

    seconds: float
    """Of the stage alone, in a process whose kernels are compiled."""
    dropped: Mapping[str, tuple[str, str]]
    """Filter and reason by id of each dropped document."""


def ours_curate(sample: Path, out: Path, *, cpus: Sequence[int], params: Path) -> OurRun:
    """Run `curate` on a sample's documents."""
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


def ours_labels(documents: Sequence[Document], params: Path) -> tuple[list[int], list[int]]:
    """Return the label of each document by the recipe's sample of it, and by its full text."""
    from polylm_core.characters import composed, from_strings
    from polylm_core.identify_batch import load_identifier
    from polylm_core.params import load_params

    config = load_params(params).curate.identify
    identifier, texts = load_identifier(), from_strings(composed([row.text for row in documents]))
    sampled = identifier.probabilities(
        texts, config.sample_characters, windows=config.sample_windows
    )
    full = identifier.probabilities(texts, len(texts.values))
    return sampled.argmax(axis=1).tolist(), full.argmax(axis=1).tolist()


@dataclass(frozen=True)
class Place:
    """Where and with which processors a question is asked."""

    sample: Path
    """The written sample."""
    work: Path
    params: Path
    cpus: Sequence[int]

    def curate(self, name: str, rules: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Return what curate drops with these rules, duplicates and nothing else."""
        recipe = neutral.write_recipe(self.params, self.work / f"{name}.yaml", rules)
        run = ours_curate(self.sample, self.work / name, cpus=self.cpus, params=recipe)
        return dict(run.dropped)


def ours_prepared(place: Place) -> Sample:
    """Return the sample's documents as curate repairs them: a second repair changes nothing."""
    from polylm_core.records import read_documents

    place.curate("prepared", neutral.NO_RULES)
    shards = place.work / "prepared" / "02_shards"
    parts = sorted(shards.glob("documents/*/*.parquet"))
    parts += sorted(shards.glob("held_out/documents/*/*.parquet"))
    found: dict[str, list[Document]] = {}
    for row in (row for part in parts for row in read_documents(part)):
        found.setdefault(row.language, []).append(row)
    return found


def ours_decisions(
    place: Place, sample: Sample, settings: Mapping[str, Any]
) -> dict[str, dict[str, str | None]]:
    """Return, by document id, our reason under each of datatrove's filters; None keeps."""
    ids = [row.id for rows in sample.values() for row in rows]
    verdicts: dict[str, dict[str, str | None]] = {identifier: {} for identifier in ids}
    for name in neutral.PEER_DEFAULTS:
        dropped = place.curate(name, neutral.rules(name, settings))
        for identifier in ids:
            found = dropped.get(identifier)
            verdicts[identifier][name] = found[1] if found and found[0] == "rules" else None
    return verdicts


def ours_near_duplicates(place: Place) -> set[str]:
    """Return the ids that curate drops as duplicates of a sample, with no rules."""
    dropped = place.curate("duplicates", neutral.NO_RULES)
    return {identifier for identifier, (name, _) in dropped.items() if "duplicates" in name}
