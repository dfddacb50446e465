"""Confidence is that of the whole held-out table, whatever order its sources stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.artifacts import ShardSet, partial_folder, publish
from polylm_core.records import DOCUMENT_SCHEMA, Document, write_parts
from polylm_core.stages.report import identification
from polylm_core.stages.report.identification import read_identification

ENGLISH = "Everyone has the right to life, liberty and the security of their own person."
GERMAN = "Jeder hat das Recht auf Leben, Freiheit und Sicherheit der eigenen Person."


def held_out(folder: Path, texts: dict[str, str], number: int) -> ShardSet:
    """So many English documents of each source, which all have the same text."""
    partial = partial_folder(folder / "02_shards")
    rows = [
        Document(
            id=f"{source}/{key:03}", text=text, language="eng_Latn", source=source, license="MIT"
        )
        for source, text in texts.items()
        for key in range(number)
    ]
    write_parts(partial / "held_out/documents/eng_Latn", rows, DOCUMENT_SCHEMA)
    return publish(ShardSet, partial, folder / "02_shards", inputs={}, params={}, counts={})


def test_documents_are_drawn_from_all_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identification, "MAX_DOCUMENTS", 20)
    (found,) = read_identification(
        held_out(tmp_path, {"books": ENGLISH, "web": GERMAN}, 20), ["eng_Latn"]
    )
    assert found["documents"] == 20
    assert 0 < found["unsure_share"] < 1, "those of one source alone would be all sure, or none"


def test_an_empty_table_has_no_figures(tmp_path: Path) -> None:
    (found,) = read_identification(held_out(tmp_path, {}, 0), ["eng_Latn"])
    assert (found["documents"], found["median"]) == (0, None)
