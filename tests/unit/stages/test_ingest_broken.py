"""Broken files: each is named, and it alone is lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from polylm_core import lines, records
from polylm_core.errors import SourceError
from tests.unit.stages.ingest_inputs import documents_of, files_skipped, run_files, texts_of

PAGES = {"format": "text", "document": "file", "language": "swh_Latn"}
TEXTS = [f"Ukurasa wa {number:02d}. " + "Habari za leo. " * number for number in range(20)]


def pages(*broken: int) -> dict[str, bytes]:
    """Twenty small files, some without their end."""
    packed = [gzip.compress(text.encode(), mtime=0) for text in TEXTS]
    return {
        f"{number:02d}.txt.gz": content[:-9] if number in broken else content
        for number, content in enumerate(packed)
    }


def test_a_truncated_file_among_twenty_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mine/07\.txt\.gz: truncated or damaged"):
        run_files(tmp_path, PAGES, pages(7))


def test_a_truncated_file_among_twenty_is_alone_lost(tmp_path: Path) -> None:
    made = run_files(tmp_path, {**PAGES, "max_broken_files": 1}, pages(7))
    whole = TEXTS[:7] + TEXTS[8:]
    assert texts_of(made) == whole
    assert made.counts["documents"] == {"mine": {"swh_Latn": 19}}
    assert made.counts["document_bytes"] == {"mine": {"swh_Latn": len("".join(whole))}}
    assert made.counts["skipped"] == {"mine": {"broken-file": 1}}
    assert files_skipped(made) == ["07.txt.gz"]


def test_each_broken_file_of_a_unit_counts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mine/12\.txt\.gz: .*\(2 broken files of mine\)"):
        run_files(tmp_path, {**PAGES, "max_broken_files": 1}, pages(7, 12))
    made = run_files(tmp_path, {**PAGES, "max_broken_files": 2}, pages(7, 12))
    assert texts_of(made) == [text for text in TEXTS if text not in (TEXTS[7], TEXTS[12])]


def test_all_files_of_a_unit_can_be_broken(tmp_path: Path) -> None:
    declared = {**PAGES, "language": None, "max_broken_files": 20}
    made = run_files(tmp_path, declared, pages(*range(20)))
    assert documents_of(made) == []
    assert made.counts["skipped"] == {"mine": {"broken-file": 20}}


def test_the_share_of_broken_records_is_that_of_one_file(tmp_path: Path) -> None:
    files = {**pages(), "07.txt.gz": gzip.compress(b"Sch\xf6n")}
    with pytest.raises(SourceError, match=r"mine/07\.txt\.gz: 1 of 1 records are broken.*not-utf8"):
        run_files(tmp_path, PAGES, files)
    made = run_files(tmp_path, {**PAGES, "max_broken_share": 1}, files)
    assert len(texts_of(made)) == 19
    assert made.counts["skipped"] == {"mine": {"not-utf8": 1}}


def test_the_first_broken_record_is_told_not_the_first_empty_one(tmp_path: Path) -> None:
    rows = [{"text": " "}, {"text": None}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with pytest.raises(SourceError, match=r"a\.jsonl: 1 of 2 .*the first: null-text at 2"):
        run_files(tmp_path, {"format": "jsonl"}, {"a.jsonl": content})


def test_a_unit_with_a_broken_file_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        run_files(tmp_path, PAGES, pages(7))
    assert list((tmp_path / "work").rglob("done.json")) == []
    assert texts_of(run_files(tmp_path, PAGES, pages())) == TEXTS


def test_of_a_file_that_breaks_in_the_middle_nothing_stays_or_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PART_ROWS", 2)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 100)
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS) + "{\n"
    # Stored, not packed: its first rows are there before its end is missed.
    cut = gzip.compress(rows.encode() * 40, compresslevel=0)[:-9]
    declared = {"format": "jsonl", "language": "swh_Latn", "max_broken_files": 1}
    made = run_files(tmp_path, declared, {"a.jsonl.gz": cut, "b.jsonl": rows.encode()})
    assert texts_of(made) == TEXTS
    assert made.counts["documents"] == {"mine": {"swh_Latn": 20}}
    assert made.counts["skipped"] == {"mine": {"broken-file": 1, "bad-json": 1}}
