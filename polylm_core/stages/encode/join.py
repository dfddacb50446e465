"""The parts of a stream, one after the other, as its token files.

Copied, not moved: a stage that is killed between here and the manifest still has its parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polylm_core.document_map import DocumentsWriter
from polylm_core.storage import filling
from polylm_core.token_files import TokenFileWriter


@dataclass(frozen=True, slots=True)
class StreamJoin:
    """A split of a stream to put together."""

    parts: tuple[Path, ...]
    """Stems of the parts in order."""
    stem: Path
    """`<stem>.{bin,idx,documents.parquet}` are written: in the work folder, because what a killed
    try leaves beside them must not be published."""
    vocab_size: int


def join_stream(unit: StreamJoin) -> None:
    """Write the stream's files in memory that does not grow with them."""
    with (
        filling(unit.stem.parent) as folder,
        TokenFileWriter(folder / unit.stem.name, vocab_size=unit.vocab_size) as writer,
        DocumentsWriter(folder / unit.stem.name) as documents,
    ):
        for part in unit.parts:
            writer.add_file(part)
            documents.add_file(part)
