"""What the tests of `ingest` share: one declared source in a folder, read by the real stage."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from polylm_core.artifacts import DocumentSet
from polylm_core.records import Document, Pair, read_documents, read_pairs
from polylm_core.stages.base import StageRun
from polylm_core.stages.ingest.config import IngestConfig, Source
from polylm_core.stages.ingest.stage import ingest
from tests.support import make_run

LANGUAGES = ("swh_Latn",)
NAME = "mine"


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def config_of(declared: Mapping[str, Any], name: str = NAME) -> IngestConfig:
    """A recipe's section with one source, checked as `params.yaml` is."""
    source = {"license": "CC0-1.0", **declared}
    return IngestConfig(sources={name: TypeAdapter(Source).validate_python(source)})


def run_files(
    tmp_path: Path,
    declared: Mapping[str, Any],
    files: Mapping[str, bytes],
    *,
    run: StageRun | None = None,
) -> DocumentSet:
    """Write files, declare them with their sha256, and read them."""
    folder = tmp_path / "sources" / NAME
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pinned = {name: sha256_of(content) for name, content in files.items()}
    config = config_of({"files": pinned, **declared})
    return ingest(config, tmp_path / "sources", run or make_run(tmp_path, languages=LANGUAGES))


def documents_of(made: DocumentSet, name: str = NAME) -> list[Document]:
    folder = made.path / "documents" / name
    return list(read_documents(folder)) if folder.is_dir() else []


def pairs_of(made: DocumentSet, name: str = NAME) -> list[Pair]:
    folder = made.path / "pairs" / name
    return list(read_pairs(folder)) if folder.is_dir() else []


def texts_of(made: DocumentSet) -> list[str]:
    return [document.text for document in documents_of(made)]


def skipped_of(made: DocumentSet) -> list[tuple[int, str, str]]:
    """Position, reason and sample of everything that became no document."""
    rows = pq.read_table(made.path / "skipped.parquet").to_pylist()
    return [(row["position"], row["reason"], row["sample"]) for row in rows]


def files_skipped(made: DocumentSet) -> list[str]:
    """The file of everything that became no document."""
    names: list[str] = pq.read_table(made.path / "skipped.parquet")["file"].to_pylist()
    return names


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def warc_record(kind: str, url: str, content: bytes, number: int = 1, **changes: str) -> bytes:
    """One WARC record; `changes` replace its headers."""
    content_type = "application/http; msgtype=response" if kind == "response" else "text/plain"
    headers = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2026-08-01T00:00:00Z",
        "WARC-Record-ID": f"<urn:uuid:{number:08d}-0000-4000-8000-000000000000>",
        "Content-Type": content_type,
        "Content-Length": str(len(content)),
        **changes,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + content + b"\r\n\r\n"


def gzip_members(*records: bytes) -> bytes:
    """Each record a gzip member, as Common Crawl has them."""
    return b"".join(gzip.compress(record, mtime=0) for record in records)
