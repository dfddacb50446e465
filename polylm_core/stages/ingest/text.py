"""Plain text: a document a file, a block or a line."""

from __future__ import annotations

from collections.abc import Iterator

from polylm_core.lines import (
    CHUNK_BYTES,
    MAX_RECORD_BYTES,
    Readable,
    iter_blocks,
    iter_lines,
)
from polylm_core.records import Document
from polylm_core.remote import InputFile
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.config import TextSource
from polylm_core.stages.ingest.job import Job


def read_text(job: Job, file: InputFile, declared: TextSource) -> Iterator[Document]:
    """Yield the documents of a text file; a whole file has its name as its key."""
    with job.opened(file) as stream:
        for position, content in _contents(stream, declared.document):
            if content is None:
                job.skips.add(file.name, position, skipped.TOO_LONG)
                continue
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError:
                job.skips.add(file.name, position, skipped.NOT_UTF8, content)
                continue
            key = file.name if declared.document == "file" else None
            yield from job.document(file, position, text, key=key, language=declared.language)


def _contents(stream: Readable, document: str) -> Iterator[tuple[int, bytes | None]]:
    """The bytes of each document with its first line's number; none where they are too many."""
    if document == "block":
        yield from iter_blocks(stream)
    elif document == "line":
        lines = enumerate(iter_lines(stream), start=1)
        yield from ((number, line) for number, line in lines if line is None or line.strip())
    else:
        yield 1, _whole(stream)


def _whole(stream: Readable) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        size += len(chunk)
        if size <= MAX_RECORD_BYTES:
            chunks.append(chunk)
    return b"".join(chunks) if size <= MAX_RECORD_BYTES else None
