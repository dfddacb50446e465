"""A token leads to its document and a document to its tokens, without reading whole files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polylm_core import document_map
from polylm_core.document_map import (
    DOCUMENTS_SCHEMA,
    DocumentMap,
    DocumentSpan,
    DocumentsWriter,
    documents_path,
)
from polylm_core.errors import CorruptArtifactError
from polylm_core.token_files import TokenFileWriter

SIZES = (3, 0, 2, 4, 1, 0, 5)


def write(stem: Path, sizes: tuple[int, ...] = SIZES, *, prefix: str = "d") -> Path:
    with TokenFileWriter(stem, vocab_size=100) as tokens, DocumentsWriter(stem) as documents:
        for number, size in enumerate(sizes):
            tokens.add([number] * size)
            documents.add([f"{prefix}{number}"], np.array([size]))
    return stem


@pytest.fixture(autouse=True)
def _small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_map, "ROW_GROUP_ROWS", 2)


def test_every_token_leads_to_its_document_and_language(tmp_path: Path) -> None:
    with DocumentMap(write(tmp_path / "deu_Latn")) as documents:
        seen = [documents.at(position) for position in range(sum(SIZES))]
    assert [span.number for span in seen] == [
        n for n, size in enumerate(SIZES) for _ in range(size)
    ]
    assert seen[4] == DocumentSpan("d2", ("deu_Latn",), number=2, begin=3, end=5)
    assert all(span.begin <= position < span.end for position, span in enumerate(seen))


def test_documents_are_looked_up_by_number_in_any_number(tmp_path: Path) -> None:
    with DocumentMap(write(tmp_path / "deu_Latn"), verified=True) as documents:
        found = documents.numbered([6, 0, 3, 6])
        alone = {number: documents.numbered([number])[number] for number in (0, 3, 6)}
    assert found == alone
    assert [span.id for span in found.values()] == ["d0", "d3", "d6"]


def test_a_pair_has_two_languages(tmp_path: Path) -> None:
    with DocumentMap(write(tmp_path / "eng_Latn-tha_Thai")) as documents:
        assert documents.at(0).languages == ("eng_Latn", "tha_Thai")


def test_documents_are_found_by_id_and_unknown_ones_are_not(tmp_path: Path) -> None:
    with DocumentMap(write(tmp_path / "deu_Latn")) as documents:
        found = documents.find({"d6", "d1", "elsewhere"})
    assert list(found) == ["d1", "d6"]
    assert (found["d1"].begin, found["d1"].end) == (3, 3)
    assert (found["d6"].begin, found["d6"].end) == (10, 15)


@pytest.mark.parametrize("position", [-1, 15])
def test_a_position_outside_the_stream_is_an_error(tmp_path: Path, position: int) -> None:
    with DocumentMap(write(tmp_path / "deu_Latn")) as documents, pytest.raises(IndexError):
        documents.at(position)


def test_one_row_group_is_read_for_one_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DocumentMap(write(tmp_path / "deu_Latn")) as documents:
        assert documents._rows.num_row_groups == 4
        read: list[int] = []
        original = documents._read_ids
        monkeypatch.setattr(
            documents, "_read_ids", lambda group: read.append(group) or original(group)
        )
        assert documents.at(10).id == "d6"
        assert read == [3]


def test_streams_put_together_keep_their_documents_in_order(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1"), write(tmp_path / "2", (2, 1), prefix="e")
    empty = write(tmp_path / "0", ())
    stem = tmp_path / "joined" / "deu_Latn"
    with TokenFileWriter(stem, vocab_size=100) as tokens, DocumentsWriter(stem) as documents:
        for part in (empty, first, second):
            tokens.add_file(part)
            documents.add_file(part)
    rows = pq.read_table(documents_path(stem)).to_pydict()
    assert rows["id"] == [*(f"d{n}" for n in range(7)), "e0", "e1"]
    assert rows["first_token"] == [0, 3, 3, 5, 9, 10, 10, 15, 17]
    with DocumentMap(stem) as joined:
        assert joined.file.tokens.tolist()[14:] == [6, 0, 0, 1]
        assert joined.at(17).id == "e1"


def test_a_map_that_does_not_fit_its_tokens_is_named(tmp_path: Path) -> None:
    stem = write(tmp_path / "deu_Latn")
    table = pa.table([["d0"], [0]], schema=DOCUMENTS_SCHEMA)
    pq.write_table(table, documents_path(stem))
    with pytest.raises(CorruptArtifactError, match=r"deu_Latn\.documents.*1 rows.*expected 7"):
        DocumentMap(stem)
    documents_path(stem).write_bytes(b"PAR1")
    with pytest.raises(CorruptArtifactError, match=r"deu_Latn\.documents.*run the stage"):
        DocumentMap(stem)
