"""From package files to the parts of a corpus, its manifest and its size by language."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from benchmarks.corpora.catalogue import DESCRIPTIONS, SOURCES, Source
from infra.sources.packages import PackageFile, unpack

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "text", "language", "source", "license", "url")]
)
PART_BYTES = 32_000_000
ROW_GROUP = 2_000

Text = tuple[str, str, str]
"""Language, key and text."""


@dataclass
class Tally:
    """Documents and UTF-8 bytes by language, and what was seen before."""

    documents: Counter[str] = field(default_factory=Counter)
    num_bytes: Counter[str] = field(default_factory=Counter)
    seen: set[bytes] = field(default_factory=set)

    def is_new(self, language: str, text: str) -> bool:
        """Count the text, unless an equal one was counted."""
        content = text.encode()
        digest = hashlib.sha256(content).digest()
        if digest in self.seen:
            return False
        self.seen.add(digest)
        self.documents[language] += 1
        self.num_bytes[language] += len(content)
        return True


def package_texts(name: str, file: PackageFile) -> list[Text]:
    """Return the documents of one package of the source with that name."""
    source = next(source for source in SOURCES if source.name == name)
    with tempfile.TemporaryDirectory(prefix="polylm-corpus-") as folder:
        unpack(file, Path(folder))
        prefix = file.name
        return [(code, f"{prefix}/{key}", text) for code, key, text in source.texts(Path(folder))]


def write_corpus(folder: Path, files: dict[str, PackageFile], descriptions: Path | None) -> Tally:
    """Write `documents/<source>/<NNNNN>.parquet`; replaces what the folder held."""
    tally = Tally()
    shutil.rmtree(folder, ignore_errors=True)
    jobs = [
        (source, files[name]) for source in SOURCES for name in source.packages if name in files
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        texts = pool.map(package_texts, [s.name for s, _ in jobs], [f for _, f in jobs])
        shown = tqdm(zip(jobs, texts, strict=True), "read packages", len(jobs), disable=None)
        pending = _by_source((source, found) for (source, _), found in shown)
        for source, found in pending:
            _write_source(folder, source, found, tally)
    if descriptions is None:
        return tally
    # apt names these files by their mirror, which is no part of an id.
    listed = DESCRIPTIONS.texts(descriptions)
    named = ((code, key.partition("_i18n_")[2], text) for code, key, text in listed)
    _write_source(folder, DESCRIPTIONS, named, tally)
    return tally


def _by_source(
    found: Iterable[tuple[Source, Sequence[Text]]],
) -> Iterator[tuple[Source, Iterable[Text]]]:
    held: list[Text] = []
    last: Source | None = None
    for source, texts in found:
        if last is not None and source is not last:
            yield last, held
            held = []
        held.extend(texts)
        last = source
    if last is not None:
        yield last, held


def _write_source(folder: Path, source: Source, texts: Iterable[Text], tally: Tally) -> None:
    rows: list[dict[str, str]] = []
    size = number = 0
    for language, key, text in texts:
        if not tally.is_new(language, text):
            continue
        rows.append(
            {
                "id": f"{source.name}/{language}/{key}",
                "text": text,
                "language": language,
                "source": source.name,
                "license": source.license,
                "url": "",
            }
        )
        size += len(text.encode())
        if size >= PART_BYTES:
            _write_part(folder / "documents" / source.name / f"{number:05d}.parquet", rows)
            rows, size, number = [], 0, number + 1
    if rows:
        _write_part(folder / "documents" / source.name / f"{number:05d}.parquet", rows)


def _write_part(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)
