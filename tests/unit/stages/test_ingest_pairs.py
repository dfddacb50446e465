"""OPUS' pairs: Moses, TMX and TSV, English always on side a."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from polylm_core.artifacts import DocumentSet
from polylm_core.errors import SourceError
from polylm_core.stages.ingest.stage import ingest
from tests.support import make_run
from tests.unit.stages.ingest_inputs import (
    NAME,
    config_of,
    files_skipped,
    pairs_of,
    sha256_of,
    skipped_of,
)

ENGLISH = b"Good morning.\nThe sea is calm.\nOK\n\n"
SWAHILI = b"Habari za asubuhi.\nBahari ni shwari.\nOK\nTupu.\n"
LANGUAGES = ["eng_Latn", "swh_Latn"]
MOSES = {"format": "moses", "languages": LANGUAGES, "sides": ["en", "sw"]}
TMX = {"format": "tmx", "languages": LANGUAGES, "sides": ["en", "sw"]}
TSV = {"format": "tsv", "languages": LANGUAGES}
EXPECTED = [("Good morning.", "Habari za asubuhi."), ("The sea is calm.", "Bahari ni shwari.")]


def run_pairs(
    tmp_path: Path, declared: Mapping[str, Any], files: Mapping[str, bytes]
) -> DocumentSet:
    """Read a source of pairs beside one of documents, as a recipe has them."""
    folder = tmp_path / "sources" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    pinned = {name: sha256_of(content) for name, content in files.items()}
    text = tmp_path / "sources/text/a.txt"
    text.parent.mkdir(exist_ok=True)
    text.write_text("Some words of English.")
    words = {"format": "text", "document": "line", "language": "eng_Latn", "version": "1"}
    config = config_of({"files": pinned, **declared})
    beside = config_of({"files": {"a.txt": None}, **words}, "text")
    both = config.model_copy(update={"sources": {**config.sources, **beside.sources}})
    return ingest(both, tmp_path / "sources", make_run(tmp_path, languages=("eng_Latn",)))


def sides_of(made: DocumentSet) -> list[tuple[str, str]]:
    return [(pair.text_a, pair.text_b) for pair in pairs_of(made)]


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tmx(*units: Mapping[str, str]) -> bytes:
    body = "".join(
        "<tu>"
        + "".join(f'<tuv xml:lang="{code}"><seg>{t}</seg></tuv>' for code, t in unit.items())
        + "</tu>\n"
        for unit in units
    )
    head = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"><header/>'
    return f"{head}<body>{body}</body></tmx>".encode()


@pytest.mark.parametrize(
    "files",
    [
        {"X.en-sw.en": ENGLISH, "X.en-sw.sw": SWAHILI},
        {"X.en-sw.en.gz": gzip.compress(ENGLISH), "X.en-sw.sw.gz": gzip.compress(SWAHILI)},
        {
            "en-sw.txt.zip": zipped(
                {"README": b"about", "X.en-sw.en": ENGLISH, "X.en-sw.sw": SWAHILI, "X.ids": b""}
            )
        },
    ],
)
def test_the_two_files_of_moses_are_pairs_line_by_line(
    tmp_path: Path, files: Mapping[str, bytes]
) -> None:
    made = run_pairs(tmp_path, MOSES, files)
    assert sides_of(made) == EXPECTED
    assert made.counts["pair_drops"] == {NAME: {"empty-side": 1, "identical-sides": 1}}
    assert made.counts["pairs"] == {NAME: {"swh_Latn": 2}}


def test_english_is_side_a_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    turned = {**MOSES, "languages": ["swh_Latn", "eng_Latn"], "sides": ["sw", "en"]}
    made = run_pairs(tmp_path, turned, {"X.en": ENGLISH, "X.sw": SWAHILI})
    assert sides_of(made) == EXPECTED
    first = pairs_of(made)[0]
    assert (first.language_a, first.language_b) == ("eng_Latn", "swh_Latn")
    key = hashlib.sha256(b"Good morning.\tHabari za asubuhi.").hexdigest()[:32]
    assert first.id == f"{NAME}/eng_Latn-swh_Latn/{key}#1"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"X.en": ENGLISH, "X.sw": SWAHILI[:-6]}, r"X\.sw: side sw ends after line 3"),
        ({"X.en": ENGLISH, "Y.sw": SWAHILI}, r"expected X\.en and X\.sw"),
        ({"a.zip": zipped({"X.en": ENGLISH})}, r"a\.zip: has 0 files that end in \.sw"),
        (
            {"a.zip": zipped({"X.en": ENGLISH, "X.sw": SWAHILI})[:-40]},
            r"a\.zip: not a readable zip",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_named(
    tmp_path: Path, files: Mapping[str, bytes], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        run_pairs(tmp_path, MOSES, files)


@pytest.mark.parametrize("broken", ["en", "sw"])
def test_the_broken_side_is_named_and_both_are_one_file(tmp_path: Path, broken: str) -> None:
    texts = {"en": ENGLISH * 500, "sw": SWAHILI * 500}
    files = {f"X.{side}.gz": gzip.compress(text) for side, text in texts.items()}
    files[f"X.{broken}.gz"] = files[f"X.{broken}.gz"][:-12]
    with pytest.raises(SourceError, match=rf"mine/X\.{broken}\.gz: truncated or damaged"):
        run_pairs(tmp_path, MOSES, files)
    made = run_pairs(tmp_path, {**MOSES, "max_broken_files": 1}, files)
    assert pairs_of(made) == []
    assert made.counts["pair_drops"] == {}
    assert made.counts["skipped"] == {NAME: {"broken-file": 1}}
    assert files_skipped(made) == [f"X.{broken}.gz"]


def test_the_side_of_records_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    files = {"X.en": b"Nice.\nGood.\n", "X.sw": b"Sch\xf6n.\nNzuri.\n"}
    with pytest.raises(SourceError, match=r"mine/X\.sw: 1 of 2 records.*not-utf8 at 1"):
        run_pairs(tmp_path, MOSES, files)
    made = run_pairs(tmp_path, {**MOSES, "max_broken_share": 0.5}, files)
    assert sides_of(made) == [("Good.", "Nzuri.")]
    assert files_skipped(made) == ["X.sw"]


def test_a_zip_damaged_inside_is_named(tmp_path: Path) -> None:
    content = bytearray(zipped({"X.en": ENGLISH * 500, "X.sw": SWAHILI * 500}))
    content[60:64] = b"\xff\xff\xff\xff"
    with pytest.raises(SourceError, match=r"a\.zip: (not a readable zip|truncated or damaged)"):
        run_pairs(tmp_path, MOSES, {"a.zip": bytes(content)})


def test_units_of_a_translation_memory_are_pairs(tmp_path: Path) -> None:
    content = tmx(
        {"en": "Good <hi>morning</hi>.", "sw": "Habari za asubuhi."},
        {"sw": "Bahari ni shwari.", "EN": "The sea is calm.", "fr": "La mer."},
        {"en": "Alone.", "fr": "Seul."},
    )
    declared = {**TMX, "max_broken_share": 0.5}
    for name, packed in (("a.tmx", content), ("a.tmx.gz", gzip.compress(content, mtime=0))):
        made = run_pairs(tmp_path, declared, {name: packed})
        assert sides_of(made) == EXPECTED
        assert skipped_of(made) == [(3, "bad-record", "a unit with en, fr")]


def test_a_truncated_translation_memory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.tmx: not well-formed XML"):
        run_pairs(tmp_path, TMX, {"a.tmx": tmx({"en": "a", "sw": "b"})[:-20]})


def test_columns_of_a_table_are_pairs(tmp_path: Path) -> None:
    lines = ["0.9\tHabari za asubuhi.\tGood morning.", "0.1\tkosa"]
    lines.append("0.8\tBahari ni shwari.\tThe sea is calm.\r")
    content = "\n".join(lines).encode() + b"\n0.7\tSch\xf6n\tNice\n"
    declared = {
        **TSV,
        "languages": ["swh_Latn", "eng_Latn"],
        "columns": [1, 2],
        "max_broken_share": 0.5,
    }
    made = run_pairs(tmp_path, declared, {"a.tsv.gz": gzip.compress(content, mtime=0)})
    assert sides_of(made) == EXPECTED
    assert [row[:2] for row in skipped_of(made)] == [(2, "wrong-columns"), (4, "not-utf8")]
