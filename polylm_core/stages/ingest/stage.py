"""`ingest`: raw sources become documents and sentence pairs, and nothing is changed on the way.

In: the sources the params name. Out: a DocumentSet: for each language of the recipe its documents,
for each language paired with English its pairs. Text is as the source has it; cleaning, and the
reasons for leaving something out, belong to `curate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from polylm_core.artifacts import DocumentSet, partial_folder
from polylm_core.errors import SourceError
from polylm_core.languages import get_language
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    write_table,
)
from polylm_core.stages.base import StageRun
from polylm_core.stages.ingest.config import IngestConfig
from polylm_core.stages.ingest.source import (
    ALIGNED,
    TABLE,
    Source,
    open_source,
    read_aligned,
    read_keys,
    read_rows,
)
from polylm_core.storage import fingerprint, no_space_named

ENGLISH = "eng_Latn"
"""Side a of every pair."""
IDENTICAL = "identical-sides"


@dataclass(frozen=True, slots=True)
class Unit:
    """One language: the sources that have it, what to make of it and where to."""

    language: str
    sources: tuple[Source, ...]
    wants_documents: bool
    wants_pairs: bool
    folder: Path


@dataclass(slots=True)
class Tally:
    """What one language has, by source."""

    documents: dict[str, int] = field(default_factory=dict)
    document_bytes: dict[str, int] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    pair_drops: dict[str, int] = field(default_factory=dict)
    """Pairs left out, by reason."""


def ingest(config: IngestConfig, sources: Path, run: StageRun) -> DocumentSet:
    """Read the sources in the folder `sources` and publish a DocumentSet.

    Raises UnknownLanguageError for a code outside the registry, and SourceError naming the file
    that is not as declared, or the language that no source has text in.
    """
    for code in (*run.languages, *(config.pair_languages or ())):
        get_language(code)
    opened = [open_source(sources / name) for name in config.sources]
    partial = partial_folder(run.out)
    units = _plan(config, opened, run.languages, partial)
    tallies: dict[str, Tally] = {}
    with run.progress.track("ingest", total=len(units), noun="languages") as tracker:
        for unit, tally in zip(units, run.backend.map(read_unit, units), strict=True):
            tallies[unit.language] = tally
            tracker.advance()
    _require_text(run.languages, tallies)
    _tell(run, tallies)
    identities = {source.declaration.name: source.fingerprint for source in opened}
    return run.publish(
        DocumentSet,
        partial,
        config,
        inputs={},
        pinned={"sources": fingerprint(identities)},
        counts={
            **{
                name: {
                    language: getattr(tally, name)
                    for language, tally in tallies.items()
                    if getattr(tally, name)
                }
                for name in ("documents", "document_bytes", "pairs", "pair_drops")
            },
            "licences": {source.declaration.name: source.declaration.licence for source in opened},
            "source_fingerprints": identities,
        },
    )


def _plan(
    config: IngestConfig, sources: Sequence[Source], languages: Sequence[str], partial: Path
) -> list[Unit]:
    offered = sorted({language for source in sources for language in source.languages})
    missing = [code for code in languages if code not in offered]
    if missing:
        raise SourceError(
            f"no source has text in {', '.join(missing)} "
            f"(sources: {', '.join(config.sources)}); add a source or take the language out"
        )
    paired = offered if config.pair_languages is None else config.pair_languages
    return [
        Unit(
            language,
            tuple(source for source in sources if language in source.languages),
            wants_documents=language in languages,
            wants_pairs=language in paired and language != ENGLISH,
            folder=partial,
        )
        for language in offered
        if language in languages or language in paired
    ]


def read_unit(unit: Unit) -> Tally:
    """Read and write one language: a unit of work, run wherever both folders can be reached."""
    tally = Tally()
    documents: list[Document] = []
    pairs: list[Pair] = []
    for source in unit.sources:
        name = source.declaration.name
        aligned = _read_with_english(unit, source)
        if unit.wants_documents:
            found = list(_documents(unit, source, aligned))
            documents += found
            tally.documents[name] = len(found)
            tally.document_bytes[name] = sum(len(document.text.encode()) for document in found)
        if unit.wants_pairs:
            candidates = list(_pairs(unit, source, aligned))
            different = [pair for pair in candidates if pair.text_a != pair.text_b]
            pairs += different
            tally.pairs[name] = len(different)
            if identical := len(candidates) - len(different):
                tally.pair_drops[IDENTICAL] = tally.pair_drops.get(IDENTICAL, 0) + identical
    file = f"{unit.language}.parquet"
    with no_space_named(unit.folder):
        if documents:
            write_table(unit.folder / "documents" / file, documents, DOCUMENT_SCHEMA)
        if pairs:
            write_table(unit.folder / "pairs" / file, pairs, PAIR_SCHEMA)
    return tally


Aligned = list[tuple[tuple[str, str], str, str]]
"""Key, line and English line (empty where it is not needed) of each unit of a source."""


def _read_with_english(unit: Unit, source: Source) -> Aligned:
    if not source.has(unit.language, ALIGNED):
        return []
    keys = read_keys(source)
    lines = read_aligned(source, unit.language, len(keys))
    english = [""] * len(keys)
    if unit.wants_pairs and source.has(ENGLISH, ALIGNED):
        english = read_aligned(source, ENGLISH, len(keys))
    return list(zip(keys, lines, english, strict=True))


def _documents(unit: Unit, source: Source, aligned: Aligned) -> Iterator[Document]:
    for key, group in groupby(aligned, key=lambda item: item[0][0]):
        paragraphs = [line for _, line, _ in group if line.strip()]
        if paragraphs:
            yield _document(unit, source, key, "\n".join(paragraphs))
    if source.has(unit.language, TABLE):
        for key, text in read_rows(source, unit.language):
            if text.strip():
                yield _document(unit, source, key, text)


def _document(unit: Unit, source: Source, key: str, text: str) -> Document:
    name = source.declaration.name
    return Document(
        id=f"{name}/{unit.language}/{key}",
        text=text,
        language=unit.language,
        source=name,
        license=source.declaration.licence,
    )


def _pairs(unit: Unit, source: Source, aligned: Aligned) -> Iterator[Pair]:
    name, licence = source.declaration.name, source.declaration.licence
    prefix = f"{name}/{ENGLISH}-{unit.language}"
    for (document, number), text, english in aligned:
        if text.strip() and english.strip():
            yield Pair(
                id=f"{prefix}/{document}#{number}",
                language_a=ENGLISH,
                text_a=english,
                language_b=unit.language,
                text_b=text,
                source=name,
                license=licence,
            )


def _require_text(languages: Sequence[str], tallies: Mapping[str, Tally]) -> None:
    silent = [code for code in languages if not any(tallies[code].documents.values())]
    if silent:
        raise SourceError(
            f"every line is empty in {', '.join(silent)}; add a source or take the language out"
        )


def _tell(run: StageRun, tallies: Mapping[str, Tally]) -> None:
    rows = [
        {
            "language": language,
            "documents": sum(tally.documents.values()),
            "bytes": sum(tally.document_bytes.values()),
            "pairs": sum(tally.pairs.values()),
        }
        for language, tally in tallies.items()
    ]
    run.progress.table("ingest-languages", rows, "What the sources hold, by language")
