"""The units of work of curate: one language each, from files to files.

`filter_language` applies what a language can decide alone and splits off the held-out share;
`decontaminate_language` then removes the training lines that the held-out ones contaminate, which
needs the held-out lines of English too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from polylm_core.languages import get_language
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    read_documents,
    read_pairs,
    write_table,
)
from polylm_core.stages.curate import held_out
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.duplicates import drop_exact, drop_near
from polylm_core.stages.curate.held_out import HeldOutIndex, build_index, is_held_out
from polylm_core.stages.curate.identify import identify
from polylm_core.stages.curate.ledger import Attrition, Ledger
from polylm_core.stages.curate.ngrams import Tokens
from polylm_core.stages.curate.normalise import (
    Prepared,
    normalise,
    normalise_line,
    num_letters,
)
from polylm_core.stages.curate.pairs import filter_pairs, text_of
from polylm_core.stages.curate.rules import apply_rules
from polylm_core.storage import no_space_named

ENGLISH = "eng_Latn"

Row = TypeVar("Row", Document, Pair)


@dataclass(frozen=True, slots=True)
class Unit:
    """One language, and the folders that its files are read from and written to."""

    language: str
    seed: int
    config: CurateConfig
    documents: Path
    """The DocumentSet's folder."""
    scratch: Path
    """Filtered, not yet decontaminated training text, and the drops of each unit."""
    partial: Path
    """The ShardSet to be."""

    def file(self, folder: Path, kind: str) -> Path:
        """The language's file of `documents` or `pairs` in one of the folders."""
        return folder / kind / f"{self.language}.parquet"

    def drops(self, step: str) -> Path:
        """Where a step writes the language's drops."""
        return self.scratch / "drops" / f"{step}-{self.language}.parquet"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a unit counted: items and UTF-8 bytes, in, kept to train on and held out."""

    counts: dict[str, int]
    attrition: list[Attrition]

    def followed_by(self, later: Outcome) -> Outcome:
        """What both steps of one language counted."""
        return Outcome(self.counts | later.counts, self.attrition + later.attrition)


def filter_language(unit: Unit) -> Outcome:
    """Filter the documents and pairs of one language and split off the held-out share."""
    ledger = Ledger(unit.language)
    counts: dict[str, int] = {}
    with no_space_named(unit.scratch):
        source = unit.file(unit.documents, "documents")
        if source.is_file():
            raw = list(read_documents(source))
            counts |= {"documents_in": len(raw), "document_bytes_in": _bytes(raw)}
            counts |= _split_documents(unit, _filter_documents(unit, raw, ledger))
        source = unit.file(unit.documents, "pairs")
        if source.is_file():
            pairs = list(read_pairs(source))
            counts["pairs_in"] = len(pairs)
            counts |= _split_pairs(unit, filter_pairs(pairs, ledger, unit.config))
        ledger.write(unit.drops("filter"))
    return Outcome(counts, ledger.attrition())


def _filter_documents(unit: Unit, raw: list[Document], ledger: Ledger) -> list[Document]:
    config, language = unit.config, get_language(unit.language)
    tokens = Tokens(language.words)
    prepared = normalise(
        raw,
        ledger,
        has_spaces=tokens.are_words,
        max_word_characters=config.max_word_characters,
        english_lines=_english_lines(unit),
    )
    prepared = identify(prepared, ledger, unit.language, config.identify)
    prepared = apply_rules(prepared, ledger, language, tokens, config.rules)
    prepared = drop_exact(
        prepared, ledger, kind="documents", id_of=_id_of_prepared, text_of=_text_of_prepared
    )
    prepared = drop_near(prepared, ledger, tokens, config.near_duplicates)
    return [item.document for item in prepared]


def _id_of_prepared(prepared: Prepared) -> str:
    return prepared.document.id


def _text_of_prepared(prepared: Prepared) -> str:
    return prepared.document.text


def _english_lines(unit: Unit) -> frozenset[str]:
    english = replace(unit, language=ENGLISH).file(unit.documents, "documents")
    if unit.language == ENGLISH or not english.is_file():
        return frozenset()
    lines = (line for document in read_documents(english) for line in document.text.split("\n"))
    normalised = map(normalise_line, lines)
    shortest = unit.config.min_copied_letters
    return frozenset(line for line in normalised if num_letters(line) >= shortest)


def _split_documents(unit: Unit, documents: Sequence[Document]) -> dict[str, int]:
    train, held = _split(unit, documents)
    write_table(unit.file(unit.scratch, "documents"), train, DOCUMENT_SCHEMA)
    write_table(unit.file(unit.partial / "held_out", "documents"), held, DOCUMENT_SCHEMA)
    return {
        "documents_filtered": len(documents),
        "documents_held_out": len(held),
        "document_bytes_held_out": _bytes(held),
    }


def _split_pairs(unit: Unit, pairs: Sequence[Pair]) -> dict[str, int]:
    train, held = _split(unit, pairs)
    write_table(unit.file(unit.scratch, "pairs"), train, PAIR_SCHEMA)
    if held:
        write_table(unit.file(unit.partial / "held_out", "pairs"), held, PAIR_SCHEMA)
    return {"pairs_held_out": len(held)}


def _split(unit: Unit, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Training rows and held-out rows."""
    flags = [is_held_out(row.id, unit.seed, unit.config.held_out) for row in rows]
    train = [row for row, flag in zip(rows, flags, strict=True) if not flag]
    return train, [row for row, flag in zip(rows, flags, strict=True) if flag]


def _bytes(documents: Sequence[Document]) -> int:
    return sum(len(document.text.encode()) for document in documents)


def held_out_index(unit: Unit, pair_languages: Sequence[str]) -> HeldOutIndex:
    """Index a language's held-out lines: its documents', and its sides of held-out pairs.

    `pair_languages` are the languages whose pairs may hold a side in it.
    """
    lines = list(_held_out_lines(unit, pair_languages))
    return build_index(unit.language, lines, unit.config.decontaminate)


def _held_out_lines(unit: Unit, pair_languages: Sequence[str]) -> Iterator[str]:
    folder = unit.partial / "held_out"
    documents = unit.file(folder, "documents")
    if documents.is_file():
        for document in read_documents(documents):
            yield from document.text.split("\n")
    for language in pair_languages:
        pairs = replace(unit, language=language).file(folder, "pairs")
        if pairs.is_file():
            for pair in read_pairs(pairs):
                yield pair.text_a if pair.language_a == unit.language else pair.text_b


def decontaminate_language(unit: Unit, english: HeldOutIndex) -> Outcome:
    """Write the training documents and pairs of one language without contaminated lines."""
    own = english if unit.language == ENGLISH else held_out_index(unit, [unit.language])
    ledger = Ledger(unit.language)
    counts: dict[str, int] = {}
    with no_space_named(unit.partial):
        source = unit.file(unit.scratch, "documents")
        if source.is_file():
            documents = _clean_documents(list(read_documents(source)), own, ledger)
            write_table(unit.file(unit.partial, "documents"), documents, DOCUMENT_SCHEMA)
            counts |= {"documents_kept": len(documents), "document_bytes_kept": _bytes(documents)}
        source = unit.file(unit.scratch, "pairs")
        if source.is_file():
            pairs = _clean_pairs(list(read_pairs(source)), english, own, ledger)
            if pairs:
                write_table(unit.file(unit.partial, "pairs"), pairs, PAIR_SCHEMA)
            counts["pairs_kept"] = len(pairs)
        ledger.write(unit.drops("decontaminate"))
    return Outcome(counts, ledger.attrition())


def _clean_documents(
    documents: Sequence[Document], index: HeldOutIndex, ledger: Ledger
) -> list[Document]:
    lines = [document.text.split("\n") for document in documents]
    flags = iter(index.contaminated([line for listed in lines for line in listed]))
    kept = []
    for document, listed in zip(documents, lines, strict=True):
        clean = []
        for number, line in enumerate(listed, start=1):
            if next(flags):
                identifier = f"{document.id}:{number}"
                ledger.drop("lines", identifier, held_out.FILTER, held_out.REASON, line)
            else:
                clean.append(line)
        if clean:
            kept.append(replace(document, text="\n".join(clean)))
        else:
            ledger.drop("documents", document.id, held_out.FILTER, held_out.REASON, document.text)
    return kept


def _clean_pairs(
    pairs: Sequence[Pair], english: HeldOutIndex, own: HeldOutIndex, ledger: Ledger
) -> list[Pair]:
    in_a = english.contaminated([pair.text_a for pair in pairs])
    in_b = own.contaminated([pair.text_b for pair in pairs])
    kept = []
    for pair, *flags in zip(pairs, in_a, in_b, strict=True):
        if any(flags):
            ledger.drop("pairs", pair.id, held_out.FILTER, held_out.REASON, text_of(pair))
        else:
            kept.append(pair)
    return kept
