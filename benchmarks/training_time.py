"""How long the training of a finished run took, as its own records say it.

In: the `data` folder of a run, and the `runs` folder with the records of its stages. Out: seconds
of the stage, its ranks' seconds of all phases together, and the steps of each phase; nothing where
the records of the run are gone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polylm_core.artifacts import ChatModelFolder
from polylm_core.errors import ArtifactError
from polylm_core.stages.report.timings import PROVENANCE
from polylm_core.training.spending import read_spent


def training_time(run: Path, runs: Path) -> dict[str, Any] | None:
    """What making `08_chat` took; none without a record of it."""
    try:
        chat = ChatModelFolder.open(run / "08_chat")
    except ArtifactError:
        return None
    for file in sorted(runs.glob(f"finetune-*/{PROVENANCE}")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.get("fingerprint") == chat.fingerprint:
            phases: dict[str, Any] = chat.counts["phases"]
            return {
                "stage_seconds": round(float(record["seconds"]), 1),
                "rank_seconds": round(read_spent(file.parent).worker_seconds, 1),
                "ranks": record["profile"]["training"]["workers"],
                "sharding": record["profile"]["training"]["sharding"],
                "steps": {name: counts["steps"] for name, counts in phases.items()},
            }
    return None


def in_words(took: dict[str, Any] | None, runs: Path) -> str:
    """The same as a line to read."""
    if took is None:
        return f"training time: unknown, {runs} has no record of this run"
    steps = ", ".join(f"{name} {number}" for name, number in took["steps"].items())
    minutes = took["rank_seconds"] / took["ranks"] / 60
    return (
        f"training: {minutes:.1f} minutes on {took['ranks']} ranks (sharding {took['sharding']}) "
        f"of the stage's {took['stage_seconds'] / 60:.1f}; steps: {steps}"
    )
