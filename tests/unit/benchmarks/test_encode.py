"""The comparison with SentencePiece runs on today's code and finds no different id."""

from __future__ import annotations

from pathlib import Path

from benchmarks.encode import compare
from polylm_core.records import DOCUMENT_SCHEMA, Document, write_parts

LINES = ("Save the file as", "Speichern Sie die Datei", "ファイルを保存します", "Сохраните файл")


def test_both_sides_give_the_same_ids(tmp_path: Path) -> None:
    parts = []
    for number, line in enumerate(LINES):
        texts = [f"{line} {word} {number}\n{line}" for number, word in enumerate(line.split() * 90)]
        rows = [Document(f"a/b/{n}", text, "eng_Latn", "a", "MIT") for n, text in enumerate(texts)]
        write_parts(tmp_path / str(number), rows, DOCUMENT_SCHEMA)
        parts.append(tmp_path / str(number) / "00000.parquet")

    found = compare(parts, 360, tmp_path, rounds=1)

    assert found.different_documents == 0
    assert found.tokens > 0
