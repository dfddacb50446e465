"""How well texts survived the way there and back: a table for people, a file of the artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from polylm_core.progress import Progress
from polylm_core.storage import write_atomic
from polylm_core.translators.quality import Quality

QUALITY_FILE = "translation_quality.json"


def show(quality: Sequence[Quality], progress: Progress) -> None:
    """Show a row for each language that was translated back; no table if none was."""
    if quality:
        progress.table(
            f"translation-quality-{quality[0].texts.replace(' ', '-')}",
            [row.row() for row in quality],
            f"Texts of the {quality[0].texts}, translated and translated back, compared with what "
            "they were",
        )


def write(quality: Sequence[Quality], folder: Path) -> None:
    """Write the same rows; no file if there are none."""
    if quality:
        rows = [row.row() for row in quality]
        write_atomic(folder / QUALITY_FILE, json.dumps(rows, indent=1).encode())
