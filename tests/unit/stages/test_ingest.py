"""Sources become documents and pairs; whatever is not as declared is named."""

from __future__ import annotations

import hashlib
import lzma
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from polylm_core.artifacts import DocumentSet
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import SourceError, UnknownLanguageError
from polylm_core.records import Document, Pair, read_documents, read_pairs
from polylm_core.stages.ingest.config import IngestConfig, PackageSource
from polylm_core.stages.ingest.package import key_hash
from polylm_core.stages.ingest.stage import ingest
from tests.architecture.closure import ROOT
from tests.support import make_run

KEYS = ["guide/start\t1", "guide/start\t2", "guide/end\t1", "guide/end\t2"]
ENGLISH = ["Open the file.", "Save it.", "Close.", "OK"]
GERMAN = ["Öffnen Sie die Datei.", "", "Schließen.", "OK"]
YORUBA = ["", "Pa á mọ́.", "", ""]


def write_source(
    sources: Path, name: str, files: Mapping[str, bytes], lines: Mapping[str, int]
) -> Path:
    folder = sources / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    declare(folder, lines)
    return folder


def declare(folder: Path, lines: Mapping[str, int]) -> None:
    """Write a source.yaml that agrees with the bytes there are."""
    declaration = {
        "name": folder.name,
        "licence": "MIT",
        "description": "texts for a test",
        "packages": [],
        "files": {
            file: {"sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest(), "lines": n}
            for file, n in lines.items()
        },
    }
    (folder / "source.yaml").write_text(yaml.safe_dump(declaration), encoding="utf-8")


def packed(lines: Sequence[str]) -> bytes:
    return lzma.compress("".join(f"{line}\n" for line in lines).encode())


ALIGNED = {
    "keys.txt.xz": packed(KEYS),
    "eng_Latn.txt.xz": packed(ENGLISH),
    "deu_Latn.txt.xz": packed(GERMAN),
    "yor_Latn.txt.xz": packed(YORUBA),
}
LINES = dict.fromkeys(ALIGNED, 4)
MANUAL = {"manual": PackageSource(format="package")}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    write_source(folder, "manual", ALIGNED, LINES)
    return folder


def run_ingest(
    sources: Path, tmp_path: Path, languages: tuple[str, ...] = ("eng_Latn", "deu_Latn")
) -> DocumentSet:
    return ingest(IngestConfig(sources=MANUAL), sources, make_run(tmp_path, languages=languages))


def documents_in(made: DocumentSet, language: str) -> list[Document]:
    rows = read_documents(made.path / "documents/manual")
    return [row for row in rows if row.language == language]


def pairs_in(made: DocumentSet, language: str) -> list[Pair]:
    return [row for row in read_pairs(made.path / "pairs/manual") if row.language_b == language]


def test_a_document_is_its_paragraphs_in_order(sources: Path, tmp_path: Path) -> None:
    made = run_ingest(sources, tmp_path)
    documents = documents_in(made, "deu_Latn")
    assert [(each.id, each.text) for each in documents] == [
        ("manual/deu_Latn/guide/start", "Öffnen Sie die Datei."),
        ("manual/deu_Latn/guide/end", "Schließen.\nOK"),
    ]
    assert {(each.language, each.source, each.license) for each in documents} == {
        ("deu_Latn", "manual", "MIT")
    }


def test_pairs_are_the_units_present_and_different_on_both_sides(
    sources: Path, tmp_path: Path
) -> None:
    made = run_ingest(sources, tmp_path)
    pairs = pairs_in(made, "deu_Latn")
    assert [(each.id, each.text_a, each.text_b) for each in pairs] == [
        ("manual/eng_Latn-deu_Latn/guide/start#1", "Open the file.", "Öffnen Sie die Datei."),
        ("manual/eng_Latn-deu_Latn/guide/end#1", "Close.", "Schließen."),
    ]
    assert made.counts["pair_drops"] == {"manual": {"identical-sides": 1}}


def test_languages_outside_the_recipe_give_pairs_but_no_documents(
    sources: Path, tmp_path: Path
) -> None:
    made = run_ingest(sources, tmp_path)
    assert documents_in(made, "yor_Latn") == []
    assert [pair.text_b for pair in pairs_in(made, "yor_Latn")] == ["Pa á mọ́."]


def test_pair_languages_can_be_named(sources: Path, tmp_path: Path) -> None:
    config = IngestConfig(sources=MANUAL, pair_languages=("yor_Latn",))
    made = ingest(config, sources, make_run(tmp_path))
    assert {pair.language_b for pair in read_pairs(made.path / "pairs/manual")} == {"yor_Latn"}


def test_counts_are_by_source_and_language(sources: Path, tmp_path: Path) -> None:
    counts = run_ingest(sources, tmp_path).counts
    assert counts["documents"] == {"manual": {"deu_Latn": 2, "eng_Latn": 2}}
    assert counts["document_bytes"]["manual"]["deu_Latn"] == 22 + 14
    assert counts["pairs"] == {"manual": {"deu_Latn": 2, "yor_Latn": 1}}
    assert counts["skipped"] == {}
    assert counts["licenses"] == {"manual": "MIT"}
    assert set(counts["source_fingerprints"]) == {"manual"}


def test_the_manifest_knows_which_sources_went_in(sources: Path, tmp_path: Path) -> None:
    before = run_ingest(sources, tmp_path).manifest.inputs["sources"]
    folder = sources / "manual"
    (folder / "deu_Latn.txt.xz").write_bytes(packed([*GERMAN[:3], "Gut"]))
    declare(folder, LINES)
    assert run_ingest(sources, tmp_path).manifest.inputs["sources"] != before


def test_parquet_text_is_read_beside_aligned_text(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    table = pa.table({"id": ["a", "b"], "text": ["Mein eigener Text.", "  "]})
    pq.write_table(table, folder / "deu_Latn.parquet")
    declare(folder, {**LINES, "deu_Latn.parquet": 2})
    made = run_ingest(sources, tmp_path)
    documents = documents_in(made, "deu_Latn")
    assert [each.id for each in documents][2:] == ["manual/deu_Latn/a"]


def test_a_process_for_each_language_gives_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    alone = run_ingest(sources, tmp_path / "alone")
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    run = replace(make_run(tmp_path / "together"), backend=backend)
    together = ingest(IngestConfig(sources=MANUAL), sources, run)
    assert together.fingerprint == alone.fingerprint


def test_an_unknown_language_is_answered_with_near_ones(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownLanguageError, match="deu_Latn"):
        run_ingest(sources, tmp_path, languages=("eng_Latn", "deu_Lat"))


def test_a_language_no_source_has_is_named(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no source has text in tha_Thai"):
        run_ingest(sources, tmp_path, languages=("eng_Latn", "tha_Thai"))


def test_a_language_of_empty_lines_only_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    (folder / "tha_Thai.txt.xz").write_bytes(packed(["", "", " ", ""]))
    declare(folder, {**LINES, "tha_Thai.txt.xz": 4})
    with pytest.raises(SourceError, match="every line is empty in tha_Thai"):
        run_ingest(sources, tmp_path, languages=("eng_Latn", "tha_Thai"))


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"manual: no such source"):
        run_ingest(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"source\.yaml: missing"),
        ("files: [", r"source\.yaml: not YAML"),
        ("- a list", r"source\.yaml: expected a mapping"),
        ("name: manual\nlicence: MIT\nfiles: {}\n", r"source\.yaml has 1 problem"),
        ("name: other\nlicence: MIT\nfiles: {a: {sha256: '" + "0" * 64 + "', lines: 1}}", "other"),
    ],
)
def test_a_faulty_declaration_is_named(
    sources: Path, tmp_path: Path, content: str | None, message: str
) -> None:
    path = sources / "manual" / "source.yaml"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SourceError, match=message):
        run_ingest(sources, tmp_path)


def test_a_file_of_other_bytes_than_declared_is_named(sources: Path, tmp_path: Path) -> None:
    (sources / "manual" / "deu_Latn.txt.xz").write_bytes(packed(["x"] * 4))
    with pytest.raises(SourceError, match=r"deu_Latn\.txt\.xz: sha256 is [0-9a-f]{64}, source"):
        run_ingest(sources, tmp_path)


def test_a_declared_file_that_is_gone_is_named(sources: Path, tmp_path: Path) -> None:
    (sources / "manual" / "yor_Latn.txt.xz").unlink()
    with pytest.raises(SourceError, match=r"yor_Latn\.txt\.xz: missing"):
        run_ingest(sources, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lzma.compress(b"Gut.\nGut.\nSch\xf6n.\nGut.\n"), "line 3 is not UTF-8 .byte 0xf6"),
        (packed(GERMAN)[:-20], "truncated or not xz"),
        (b"plain text", "truncated or not xz"),
        (packed(GERMAN[:3]), "3 lines, source.yaml declares 4"),
        (packed([]), "empty"),
    ],
)
def test_a_text_that_cannot_be_read_is_named_though_its_sha256_is_declared(
    sources: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    folder = sources / "manual"
    (folder / "deu_Latn.txt.xz").write_bytes(content)
    declare(folder, LINES)
    with pytest.raises(SourceError, match=rf"deu_Latn\.txt\.xz: {message}"):
        run_ingest(sources, tmp_path)


def test_a_text_without_a_line_for_every_key_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    (folder / "deu_Latn.txt.xz").write_bytes(packed(GERMAN[:3]))
    declare(folder, {**LINES, "deu_Latn.txt.xz": 3})
    with pytest.raises(SourceError, match=r"deu_Latn\.txt\.xz: 3 lines, but keys\.txt\.xz has 4"):
        run_ingest(sources, tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["guide 1", *KEYS[1:]], "line 1 is not <document><tab><unit>"),
        ([KEYS[0], KEYS[2], KEYS[1], KEYS[3]], "line 3 goes back to document 'guide/start'"),
    ],
)
def test_faulty_keys_are_named_by_line(
    sources: Path, tmp_path: Path, keys: list[str], message: str
) -> None:
    folder = sources / "manual"
    (folder / "keys.txt.xz").write_bytes(packed(keys))
    declare(folder, LINES)
    with pytest.raises(SourceError, match=message):
        run_ingest(sources, tmp_path)


def test_a_truncated_parquet_file_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    path = folder / "deu_Latn.parquet"
    pq.write_table(pa.table({"id": ["a"], "text": ["Text."]}), path)
    path.write_bytes(path.read_bytes()[:-30])
    declare(folder, {**LINES, "deu_Latn.parquet": 1})
    with pytest.raises(SourceError, match=r"deu_Latn\.parquet: not a readable Parquet file"):
        run_ingest(sources, tmp_path)


@pytest.mark.parametrize("again", ["k0", None])
def test_a_row_without_an_id_of_its_own_is_told(
    sources: Path, tmp_path: Path, again: str | None
) -> None:
    folder = sources / "manual"
    ids = [*(f"k{number}" for number in range(3_000)), again]
    pq.write_table(pa.table({"id": ids, "text": ["Text."] * 3_001}), folder / "deu_Latn.parquet")
    declare(folder, {**LINES, "deu_Latn.parquet": 3_001})
    with pytest.raises(SourceError, match=r"deu_Latn\.parquet: an id or a text is null, or an id"):
        run_ingest(sources, tmp_path)


def test_keys_have_the_same_hash_in_every_process() -> None:
    program = "from polylm_core.stages.ingest.package import key_hash; print(key_hash('Öl/1'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {f"{key_hash('Öl/1')}\n"}
    assert key_hash("Öl/1") != key_hash("Öl/2")


def test_a_parquet_text_that_is_not_utf8_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    bad = pa.array([b"Sch\xf6n."], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": ["a"], "text": bad}), folder / "deu_Latn.parquet")
    declare(folder, {**LINES, "deu_Latn.parquet": 1})
    with pytest.raises(SourceError, match=r"deu_Latn\.parquet: not a readable Parquet file"):
        run_ingest(sources, tmp_path)


def test_a_declaration_that_is_not_utf8_is_named(sources: Path, tmp_path: Path) -> None:
    (sources / "manual" / "source.yaml").write_bytes(b"license: Sch\xf6n\n")
    with pytest.raises(SourceError, match=r"source\.yaml"):
        run_ingest(sources, tmp_path)


def test_a_parquet_file_without_the_text_column_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    pq.write_table(pa.table({"id": ["a"], "body": ["Text."]}), folder / "deu_Latn.parquet")
    declare(folder, {**LINES, "deu_Latn.parquet": 1})
    with pytest.raises(SourceError, match=r"deu_Latn\.parquet: not a readable Parquet file"):
        run_ingest(sources, tmp_path)


def test_a_file_that_is_no_language_is_named(sources: Path, tmp_path: Path) -> None:
    folder = sources / "manual"
    (folder / "german.txt.xz").write_bytes(packed(GERMAN))
    declare(folder, {**LINES, "german.txt.xz": 4})
    with pytest.raises(SourceError, match=r"german\.txt\.xz: files are named <language>"):
        run_ingest(sources, tmp_path)


def test_nothing_is_published_when_a_source_is_wrong(sources: Path, tmp_path: Path) -> None:
    (sources / "manual" / "yor_Latn.txt.xz").unlink()
    run = make_run(tmp_path)
    with pytest.raises(SourceError):
        ingest(IngestConfig(sources=MANUAL), sources, run)
    assert not run.out.exists()
