"""Trusted text is read from the usual files, and split by what it says."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polylm_core.errors import SourceError
from polylm_core.stages.curate.seed_text import read_texts, split

TEXTS = ["Eins und\nzwei.", "สวัสดี", "three"]
PLAIN = "\n\n".join(TEXTS) + "\n"
JSON = "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in TEXTS)


def packed(name: str, text: str, folder: Path) -> Path:
    path, content = folder / name, text.encode()
    if name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    elif name.endswith(".xz"):
        content = lzma.compress(content)
    elif name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize(("kind", "text"), [("txt", PLAIN), ("jsonl", JSON)])
def test_plain_text_and_json_lines_are_read_packed_or_not(
    kind: str, text: str, suffix: str, tmp_path: Path
) -> None:
    path = packed(f"seed.{kind}{suffix}", text, tmp_path)

    assert [each.strip() for each in read_texts(path)] == TEXTS


def test_a_column_of_parquet_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2, 3], "text": TEXTS}), tmp_path / "00000.parquet")

    assert list(read_texts(tmp_path / "00000.parquet")) == TEXTS


def test_a_file_can_be_one_document(tmp_path: Path) -> None:
    path = packed("book.one.txt", PLAIN, tmp_path)

    assert list(read_texts(path, whole_files=True)) == [PLAIN]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("seed.pdf", b"x", "name files .txt or .jsonl"),
        ("seed", b"x", "name files .txt or .jsonl"),
        ("seed.txt", "größer".encode("latin-1"), "not UTF-8"),
        ("seed.txt.gz", b"no gzip", "cannot be read"),
        ("seed.txt.xz", b"no xz", "cannot be read"),
        ("seed.txt.zst", b"no zst", "cannot be read"),
        ("seed.txt.gz", gzip.compress(PLAIN.encode(), mtime=0)[:-9], "cannot be read"),
        ("seed.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: not JSON"),
        ("seed.jsonl", b'{"content": "a"}\n', "line 1: no field 'text'"),
        ("seed.jsonl", b'["text"]\n', "line 1: no field 'text'"),
        ("seed.jsonl", b'{"text": "\\ud800"}\n', "not UTF-8"),
        ("seed.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError, match=name) as error:
        list(read_texts(tmp_path / name))

    assert said in str(error.value)


def test_a_missing_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file"):
        list(read_texts(tmp_path / "none.parquet"))
    pq.write_table(pa.table({"body": TEXTS}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="no column 'text' among body"):
        list(read_texts(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match="holds None"):
        list(read_texts(tmp_path / "b.parquet"))


def test_a_fifth_is_held_out_whatever_the_order_and_nothing_is_on_both_sides() -> None:
    texts = [f"document {number}" for number in range(1000)]
    seed, held_out = split(texts)

    assert 150 < len(held_out) < 250
    assert sorted(seed + held_out) == sorted(texts)
    assert split([*reversed(texts), *texts]) == (seed, held_out)


def test_the_same_text_in_another_normal_form_is_the_same_document() -> None:
    seed, held_out = split(["été", "e\u0301te\u0301", " été\n"])

    assert seed + held_out == ["été"]


def test_much_text_is_cut_to_the_bound_whatever_the_order() -> None:
    texts = [f"document {number:04}" for number in range(1000)]
    seed, held_out = split(texts, max_bytes=1300)

    assert len(seed + held_out) == 100
    assert split(texts[::-1], max_bytes=1300) == (seed, held_out)
