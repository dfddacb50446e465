"""JSONL, Parquet and plain text: rows become documents, broken ones are counted and sampled."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polylm_core import lines
from polylm_core.errors import SourceError
from polylm_core.lines import iter_blocks, iter_lines
from polylm_core.stages.ingest import rows
from tests.support import make_run
from tests.unit.stages.ingest_inputs import (
    documents_of,
    run_files,
    skipped_of,
    texts_of,
    zstd,
)

SWAHILI = {"format": "jsonl", "language": "swh_Latn"}
TEXTS = ["Watu wote wamezaliwa huru.", "Hadhi na haki zao ni sawa."]


def jsonl(*rows: Any) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


GOOD = jsonl(*({"text": text} for text in TEXTS))


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".zst", zstd),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
    ],
)
def test_a_compressed_file_is_read_by_its_ending(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    # Two members or frames one after the other, as parallel compressors write them.
    content = pack(GOOD[:40]) + pack(GOOD[40:])
    made = run_files(tmp_path, SWAHILI, {f"a.jsonl{ending}": content})
    assert texts_of(made) == TEXTS


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".zst", zstd), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_a_truncated_file_is_named(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    content = pack(GOOD * 50)[:-9]
    with pytest.raises(SourceError, match=rf"mine/a\.jsonl{ending}: truncated or damaged"):
        run_files(tmp_path, SWAHILI, {f"a.jsonl{ending}": content})


def test_without_an_id_the_text_makes_it_wherever_the_row_stands(tmp_path: Path) -> None:
    key = hashlib.sha256(TEXTS[1].encode()).hexdigest()[:32]
    made = run_files(tmp_path, SWAHILI, {"a.jsonl": GOOD})
    assert documents_of(made)[1].id == f"mine/swh_Latn/{key}"
    turned = jsonl(*({"text": text} for text in reversed(TEXTS)))
    made = run_files(tmp_path, SWAHILI, {"a.jsonl": turned})
    assert documents_of(made)[0].id == f"mine/swh_Latn/{key}"


def test_columns_say_id_address_and_language(tmp_path: Path) -> None:
    declared = {
        "format": "jsonl",
        "text_column": "body",
        "id_column": "n",
        "url_column": "from",
        "language_column": "lang",
        "languages": {"sw": "swh_Latn", "en": "eng_Latn", "fr": "fra_Latn"},
    }
    content = jsonl(
        {"body": "Habari.", "n": 7, "from": "https://example.org/a", "lang": "sw"},
        {"body": "News.", "n": 8, "from": None, "lang": "en"},
        {"body": "Nouvelles.", "n": 9, "lang": "fr"},
        {"body": "Xin chào.", "n": 10, "lang": "vi"},
    )
    run = make_run(tmp_path, languages=("swh_Latn", "eng_Latn"))
    made = run_files(tmp_path, declared, {"a.jsonl": content}, run=run)
    assert [(d.id, d.language, d.url) for d in documents_of(made)] == [
        ("mine/swh_Latn/7", "swh_Latn", "https://example.org/a"),
        ("mine/eng_Latn/8", "eng_Latn", ""),
    ]
    assert made.counts["skipped"] == {
        "mine": {"language-outside-recipe": 1, "unknown-language-label": 1}
    }


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_share_of_the_rows_is_drawn_by_their_text(tmp_path: Path, format: str) -> None:
    texts = [f"Habari namba {number} ya leo." for number in range(400)]

    def drawn(share: float, texts: list[str]) -> list[str]:
        tables = {
            "jsonl": jsonl(*({"text": text} for text in texts)),
            "parquet": parquet(pa.table({"text": texts})),
        }
        declared = {**SWAHILI, "format": format, "share": share}
        name = f"{share}-{texts[0]}".replace(" ", "-")
        made = run_files(tmp_path / name, declared, {f"a.{format}": tables[format]})
        left = len(texts) - made.counts["documents"]["mine"]["swh_Latn"]
        assert made.counts["skipped"] == ({"mine": {"not-drawn": left}} if left else {})
        return texts_of(made)

    tenth, half = drawn(0.1, texts), drawn(0.5, texts)
    assert 20 < len(tenth) < 60
    assert 160 < len(half) < 240
    assert set(tenth) < set(half)
    assert drawn(0.5, texts[::-1]) == half[::-1]
    assert drawn(1.0, texts) == texts


def test_a_language_nobody_says_is_left_to_curate(tmp_path: Path) -> None:
    made = run_files(tmp_path, {"format": "jsonl"}, {"a.jsonl": GOOD})
    assert [document.language for document in documents_of(made)] == ["", ""]
    assert documents_of(made)[0].id.startswith("mine/und/")
    assert made.counts["documents"] == {"mine": {"und": 2}}


def test_broken_records_are_counted_and_sampled(tmp_path: Path) -> None:
    bad = [b'{"text": "a"', b'{"text": "Sch\xf6n"}', b"[1, 2]", b'{"body": "x"}']
    bad += [b'{"text": null}', b'{"text": 5}', b'{"text": "\\ud800"}', b'{"text": " "}', b""]
    declared = {**SWAHILI, "max_broken_share": 0.9}
    made = run_files(tmp_path, declared, {"a.jsonl": GOOD + b"\n".join(bad) + b"\n" + GOOD[:44]})
    assert texts_of(made)[:2] == TEXTS
    assert [(position, reason) for position, reason, _ in skipped_of(made)] == [
        (3, "bad-json"),
        (4, "not-utf8"),
        (5, "bad-json"),
        (6, "no-text-column"),
        (7, "null-text"),
        (8, "text-not-a-string"),
        (9, "bad-json"),
        (10, "empty-text"),
        (13, "bad-json"),
    ]
    assert skipped_of(made)[1][2] == '{"text": "Sch�n"}'
    assert made.counts["skipped"]["mine"]["bad-json"] == 4


def test_a_file_of_too_many_broken_records_is_named(tmp_path: Path) -> None:
    message = r"a\.jsonl: 1 of 3 records are broken.*0\.1 \(the first: bad-json at 3.*max_broken"
    with pytest.raises(SourceError, match=message):
        run_files(tmp_path, SWAHILI, {"a.jsonl": GOOD + b"{\n"})


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_file_without_a_record_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"mine/a\.jsonl: holds no record"):
        run_files(tmp_path, SWAHILI, {"a.jsonl": content})


def test_a_tolerated_broken_file_gives_nothing_and_is_counted(tmp_path: Path) -> None:
    files = {"a.jsonl.gz": gzip.compress(GOOD * 9)[:-12], "b.jsonl": GOOD}
    made = run_files(tmp_path, {**SWAHILI, "max_broken_files": 1}, files)
    assert texts_of(made) == TEXTS
    assert made.counts["skipped"] == {"mine": {"broken-file": 1}}
    [(position, reason, why)] = skipped_of(made)
    assert (position, reason) == (0, "broken-file")
    assert "truncated" in why


def test_an_endless_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK_BYTES", 10)
    found = iter_lines(io.BytesIO(b"short\n" + b"x" * 95 + b"\nafter\n" + b"y" * 50), 20)
    assert list(found) == [b"short", None, b"after", None]
    assert list(iter_lines(io.BytesIO(b"a\n\nb"), 20)) == [b"a", b"", b"b"]


def test_blocks_end_at_empty_lines() -> None:
    text = b"\n\none\ntwo\n \n\nthree\n" + b"x\n" * 30 + b"\nfour"
    assert list(iter_blocks(io.BytesIO(text), 20)) == [
        (3, b"one\ntwo"),
        (7, None),
        (39, b"four"),
    ]


def test_parquet_rows_are_read_whatever_the_row_groups(tmp_path: Path) -> None:
    table = pa.table({"text": TEXTS * 10, "n": list(range(20)), "other": [0.5] * 20})
    declared = {"format": "parquet", "language": "swh_Latn", "id_column": "n"}
    made = run_files(tmp_path, declared, {"a.parquet": parquet(table, row_group_size=3)})
    assert texts_of(made) == TEXTS * 10
    assert documents_of(made)[19].id == "mine/swh_Latn/19"


def test_bad_cells_of_a_table_are_counted_by_row(tmp_path: Path) -> None:
    cells = pa.array([b"Sawa.", b"Sch\xf6n", None, b"", b"Ndiyo."], pa.binary()).view(pa.string())
    declared = {"format": "parquet", "language": "swh_Latn", "max_broken_share": 0.5}
    made = run_files(tmp_path, declared, {"a.parquet": parquet(pa.table({"text": cells}))})
    assert texts_of(made) == ["Sawa.", "Ndiyo."]
    assert [row[:2] for row in skipped_of(made)] == [
        (2, "not-utf8"),
        (3, "null-text"),
        (4, "empty-text"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (parquet(pa.table({"text": TEXTS}))[:-20], "not a readable Parquet file"),
        (b"", "not a readable Parquet file"),
        (parquet(pa.table({"body": TEXTS})), "has no column 'text', only body"),
        (parquet(pa.table({"text": [1, 2]})), "column 'text' is int64, not text"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=rf"mine/a\.parquet: {message}"):
        run_files(tmp_path, {"format": "parquet"}, {"a.parquet": content})


def test_long_rows_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = rows._cells
    monkeypatch.setattr(rows, "_cells", lambda column: seen.append(len(column)) or real(column))
    monkeypatch.setattr(rows, "BATCH_BYTES", 40_000)
    texts = [f"{number} " + "neno " * 2_000 for number in range(20)]
    content = parquet(pa.table({"text": texts}), compression="none", use_dictionary=False)
    made = run_files(tmp_path, {"format": "parquet"}, {"a.parquet": content})
    assert texts_of(made) == texts
    assert max(seen) <= 4


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("line", ["Mstari wa kwanza.", "Wa pili.", "Wa tatu."]),
        ("block", ["Mstari wa kwanza.\nWa pili.", "Wa tatu."]),
        ("file", ["Mstari wa kwanza.\nWa pili.\n\nWa tatu.\n"]),
    ],
)
def test_a_text_file_is_documents_by_line_block_or_file(
    tmp_path: Path, document: str, expected: list[str]
) -> None:
    declared = {"format": "text", "document": document, "language": "swh_Latn"}
    content = b"Mstari wa kwanza.\nWa pili.\n\nWa tatu.\n"
    assert texts_of(run_files(tmp_path, declared, {"a.txt": content})) == expected


def test_many_small_files_are_documents_with_their_names(tmp_path: Path) -> None:
    files = {f"pages/{number}.txt": f"Ukurasa {number}.".encode() for number in range(30)}
    files["pages/bad.txt"] = b"\xff"
    declared = {"format": "text", "document": "file", "language": "swh_Latn", "max_broken_share": 1}
    run = make_run(tmp_path, languages=("eng_Latn", "swh_Latn"))
    with pytest.raises(SourceError, match="no source has text in eng_Latn"):
        run_files(tmp_path, declared, files, run=run)
    made = run_files(tmp_path, declared, files, run=make_run(tmp_path, languages=("swh_Latn",)))
    assert documents_of(made)[1].id == "mine/swh_Latn/pages/1.txt"
    assert len(list((made.path / "documents/mine").iterdir())) == 1
    assert [row[1] for row in skipped_of(made)] == ["not-utf8"]
