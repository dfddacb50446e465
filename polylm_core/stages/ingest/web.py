"""Common Crawl: WET records as they are, and the main text of the pages in WARC records."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

from fastwarc.warc import WarcRecordType

from polylm_core.records import Document
from polylm_core.remote import InputFile
from polylm_core.stages.ingest import skipped
from polylm_core.stages.ingest.archive import records
from polylm_core.stages.ingest.config import WarcSource
from polylm_core.stages.ingest.job import Job

PAGE_TYPES = ("text/html", "application/xhtml+xml")
FOUND = 200


def read_wet(job: Job, file: InputFile) -> Iterator[Document]:
    """Yield the text of each page."""
    for number, record in _records(job, file, WarcRecordType.conversion):
        content = record.reader.read()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            job.skips.add(file.name, number, skipped.NOT_UTF8, content)
            continue
        yield from _document(job, file, number, record, text)


def read_warc(job: Job, file: InputFile, declared: WarcSource) -> Iterator[Document]:
    """Yield the main text of each HTML page."""
    extract = _extractor(declared.favor)
    for number, record in _records(job, file, WarcRecordType.response):
        address = record.headers.get("WARC-Target-URI") or ""
        try:
            record.parse_http(auto_decode="all")
            page = record.reader.read()
        except OSError as error:
            job.skips.add(file.name, number, skipped.BAD_RECORD, f"{address} {error}")
            continue
        headers = record.http_headers
        if headers is None or headers.status_code is None:
            job.skips.add(file.name, number, skipped.BAD_RECORD, f"{address} not an HTTP answer")
        elif headers.status_code != FOUND:
            job.skips.add(file.name, number, skipped.NOT_FOUND, f"{headers.status_code} {address}")
        elif record.http_content_type not in PAGE_TYPES:
            sample = f"{record.http_content_type} {address}"
            job.skips.add(file.name, number, skipped.NOT_HTML, sample)
        else:
            yield from _extracted(job, file, number, record, extract(_decoded(record, page)))


def _records(job: Job, file: InputFile, kind: WarcRecordType) -> Iterator[tuple[int, Any]]:
    with job.opened(file) as stream:
        for number, record in records(stream, kind):
            if isinstance(record, str):
                job.skips.add(file.name, number, skipped.BAD_RECORD, record)
            else:
                yield number, record


def _extracted(
    job: Job, file: InputFile, number: int, record: Any, text: str | Exception | None
) -> Iterator[Document]:
    address = record.headers.get("WARC-Target-URI") or ""
    if isinstance(text, Exception):
        job.skips.add(file.name, number, skipped.BAD_RECORD, f"{address} {text!r}")
    elif not text:
        job.skips.add(file.name, number, skipped.NOTHING_EXTRACTED, address)
    else:
        # Numeric character references can spell half of a surrogate pair.
        sound = text.encode("utf-8", errors="replace").decode("utf-8")
        yield from _document(job, file, number, record, sound)


def _document(job: Job, file: InputFile, number: int, record: Any, text: str) -> Iterator[Document]:
    identifier = (record.record_id or "").strip("<>").removeprefix("urn:uuid:")
    url = (record.headers.get("WARC-Target-URI") or "").strip("<>")
    yield from job.document(file, number, text, key=identifier or None, url=url)


def _decoded(record: Any, page: bytes) -> str | bytes:
    """The page in the encoding its server names, otherwise as bytes, for trafilatura to guess."""
    try:
        return page.decode(record.http_charset) if record.http_charset else page
    except (LookupError, UnicodeDecodeError):
        return page


@functools.cache
def _extractor(favor: str) -> Callable[[str | bytes], str | Exception | None]:
    import trafilatura  # costs half a second, and most recipes have no WARC files

    # It tells on stderr of every page it finds nothing in.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

    def extract(page: str | bytes) -> str | Exception | None:
        try:
            text: str | None = trafilatura.extract(
                page,
                include_comments=False,
                favor_precision=favor == "precision",
                favor_recall=favor == "recall",
            )
        # Pages of the web break parsers in ways that no list of exceptions covers.
        except Exception as error:
            return error
        return text

    return extract
