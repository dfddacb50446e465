"""What the vocabulary costs each language, and the proof that its two forms are one.

Measured on held-out text: tokens a word (a character where no spaces stand between words), bytes a
token, how much falls back to bytes, and parity: tokens of a language over tokens of English for the
same aligned sentences (Petrov et al. 2023). Rows are stored in the order of a hash, so the first
ones of a table are a sample of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from polylm_core.languages import ENGLISH, get_language
from polylm_core.records import read_documents, read_pairs
from polylm_core.tokenizer import (
    MODEL_FILE,
    TWIN_FOLDER,
    HuggingFaceTwin,
    SentencePieceTokenizer,
    load,
    readable,
)

FERTILITY_SCHEMA = pa.schema(
    [
        ("language", pa.string()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),
        ("words", pa.int64()),
        ("word_unit", pa.string()),
        ("tokens_per_word", pa.float64()),
        ("bytes_per_token", pa.float64()),
        ("byte_fallback_share", pa.float64()),
        ("parity", pa.float64()),
        ("lines_checked", pa.int64()),
        ("round_trip_ok", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Fertility:
    """One language's row of `fertility.parquet`, on held-out documents."""

    language: str
    bytes: int
    tokens: int
    words: int
    word_unit: str
    """`words`, or `characters` (without spaces) where no spaces stand between words."""
    tokens_per_word: float
    bytes_per_token: float
    byte_fallback_share: float
    """Share of tokens that are a byte of a character without an entry; newlines left out."""
    parity: float | None
    """Tokens over English tokens on aligned held-out pairs; none where there are no pairs."""
    lines_checked: int
    """Lines on which SentencePiece and the Hugging Face twin gave the same ids."""
    round_trip_ok: bool
    """Nothing was found at fault with the checked lines: there are some, each came back from its
    ids, and the twin has the same ids (a stage where one is at fault has failed)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one language costs, and what is wrong with it whatever the thresholds."""

    row: Fertility
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FertilityUnit:
    """One language to measure."""

    language: str
    shards: Path
    tokenizer: Path
    lines: int
    max_bytes: int
    """Text that is measured at most."""


@dataclass(slots=True)
class _Counts:
    bytes: int = 0
    tokens: int = 0
    words: int = 0
    fallback: int = 0


BATCH_TEXTS = 256


def measure(unit: FertilityUnit) -> Measured:
    """Check and measure one language; what is wrong with it is returned, not raised."""
    tokenizer = load(unit.tokenizer / MODEL_FILE)
    twin = HuggingFaceTwin(unit.tokenizer / TWIN_FOLDER)
    lines = _lines_to_check(unit)
    faults = list(_faults(tokenizer, twin, lines))
    spaced = get_language(unit.language).words == "spaces"
    counts = _count(unit, tokenizer, spaced=spaced)
    if not counts.tokens:
        faults.append("no held-out text to measure; raise curate.held_out.share")
    row = Fertility(
        language=unit.language,
        bytes=counts.bytes,
        tokens=counts.tokens,
        words=counts.words,
        word_unit="words" if spaced else "characters",
        tokens_per_word=counts.tokens / max(counts.words, 1),
        bytes_per_token=counts.bytes / max(counts.tokens, 1),
        byte_fallback_share=counts.fallback / max(counts.tokens, 1),
        parity=_parity(unit, tokenizer),
        lines_checked=len(lines),
        round_trip_ok=not faults,
    )
    return Measured(row, tuple(faults))


def _count(unit: FertilityUnit, tokenizer: SentencePieceTokenizer, *, spaced: bool) -> _Counts:
    counts = _Counts()
    held_out = unit.shards / "held_out" / "documents" / unit.language
    documents = read_documents(held_out) if held_out.is_dir() else iter(())
    texts = _within((document.text for document in documents), unit.max_bytes)
    single = tokenizer.byte_ids - {tokenizer.newline_id}
    while batch := list(islice(texts, BATCH_TEXTS)):
        for text, ids in zip(batch, tokenizer.encode_batch(batch), strict=True):
            counts.bytes += len(text.encode())
            counts.tokens += len(ids)
            counts.words += len(text.split()) if spaced else len("".join(text.split()))
            counts.fallback += sum(i in single for i in ids)
    return counts


def _within(texts: Iterable[str], max_bytes: int) -> Iterator[str]:
    """The first texts, until the next would begin past the bound."""
    left = max_bytes
    for text in texts:
        if left <= 0:
            return
        left -= len(text.encode())
        yield text


def _lines_to_check(unit: FertilityUnit) -> list[str]:
    """Distinct lines: held-out ones first, then those of training documents."""
    name = Path("documents") / unit.language
    folders = [f for f in (unit.shards / "held_out" / name, unit.shards / name) if f.is_dir()]
    lines: dict[str, None] = {}
    for folder in folders:
        for document in read_documents(folder):
            for line in filter(None, document.text.split("\n")):
                if len(lines) == unit.lines:
                    return list(lines)
                lines.setdefault(line)
    return list(lines)


def _faults(
    tokenizer: SentencePieceTokenizer, twin: HuggingFaceTwin, lines: list[str]
) -> Iterator[str]:
    different = twin.first_difference(tokenizer, lines)
    if different is not None:
        yield (
            f"tokenizer.json gives other ids than SentencePiece for {different!r}; "
            "change vocab.vocab_size or vocab.character_coverage, and report the text"
        )
    for line in lines:
        back = tokenizer.decode(tokenizer.encode(line))
        if back != readable(line):
            yield (
                f"{line!r} comes back from its ids as {back!r}; "
                "remove such text in curate, and report it"
            )
            return


def _parity(unit: FertilityUnit, tokenizer: SentencePieceTokenizer) -> float | None:
    if unit.language == ENGLISH:
        return 1.0
    folder = unit.shards / "held_out" / "pairs" / unit.language
    if not folder.is_dir():
        return None
    english = other = 0
    left = unit.max_bytes
    pairs = read_pairs(folder)
    while left > 0 and (batch := list(islice(pairs, BATCH_TEXTS))):
        english += sum(map(len, tokenizer.encode_batch([pair.text_a for pair in batch])))
        other += sum(map(len, tokenizer.encode_batch([pair.text_b for pair in batch])))
        left -= sum(len(pair.text_b.encode()) for pair in batch)
    return other / english if english else None
