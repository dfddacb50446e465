"""What has been made, how long each stage took, and where to look: read from small JSON files.

Nothing is loaded or verified here, and whether a stage is up to date is DVC's answer to give
(`dvc status`); so this costs no heavy import and can end every `make run`.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polylm_core.errors import ArtifactError
from polylm_core.pipeline import RUNS, STAGES, Stage

PROVENANCE = "provenance.json"
PREFECT_RECORD = Path(".prefect/polylm-server.json")
ANSWER_SECONDS = 0.5


@dataclass(frozen=True)
class Row:
    """One stage as the summary shows it."""

    stage: str
    out: Path
    made: bool
    bytes: int = 0
    seconds: float | None = None
    """How long making this artifact took; none when no record of it is left."""


def rows(root: Path) -> list[Row]:
    """Return one row a stage, in the order of the data."""
    took = _seconds_by_fingerprint(root / RUNS)
    return [_row(root, stage, took) for stage in STAGES.values()]


def _row(root: Path, stage: Stage, took: dict[str, float]) -> Row:
    try:
        artifact = stage.artifact.open(root / stage.out)
    except ArtifactError:
        return Row(stage.name, stage.out, made=False)
    return Row(
        stage=stage.name,
        out=stage.out,
        made=True,
        bytes=sum(entry.bytes for entry in artifact.manifest.files.values()),
        seconds=took.get(artifact.fingerprint),
    )


def _seconds_by_fingerprint(runs: Path) -> dict[str, float]:
    """Return the seconds of the latest execution that made each artifact."""
    records = [_read_json(file) for file in sorted(runs.glob(f"*/{PROVENANCE}"))]
    found = [record for record in records if record and "fingerprint" in record]
    found.sort(key=lambda record: str(record.get("ended", "")))
    return {str(record["fingerprint"]): float(record.get("seconds", 0.0)) for record in found}


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or none when there is no readable mapping."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def content(shown: Sequence[Row], where: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer of the command: each stage, their time together, the places."""
    return {
        "stages": [
            {
                "stage": row.stage,
                "made": row.made,
                "took_seconds": row.seconds,
                "artifact": str(row.out),
                "bytes": row.bytes if row.made else None,
            }
            for row in shown
        ],
        "together": {"took_seconds": sum(row.seconds or 0.0 for row in shown)},
        "places": dict(where),
    }


def places(root: Path) -> dict[str, str]:
    """Return where the report, the model and the Prefect UI are."""
    report, model = STAGES["report"].out / "report.html", STAGES["finetune"].out
    return {
        "report": _place(root, report, "report"),
        "model": _place(root, model, "finetune"),
        "prefect_ui": prefect_ui(root),
    }


def _place(root: Path, path: Path, stage: str) -> str:
    return str(path) if (root / path).exists() else f"not made yet: dvc repro {stage}"


def prefect_ui(root: Path) -> str:
    """Return the address of the Prefect UI, and whether it answers."""
    given = os.environ.get("PREFECT_API_URL")
    record = _read_json(root / PREFECT_RECORD)
    if given is None and record is None:
        return "not running: make ui"
    api = given or f"http://127.0.0.1:{record['port'] if record else ''}/api"
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=ANSWER_SECONDS):
            return api.removesuffix("/api")
    except (urllib.error.URLError, OSError, ValueError):
        return f"{api.removesuffix('/api')} does not answer" + ("" if given else ": make ui")
