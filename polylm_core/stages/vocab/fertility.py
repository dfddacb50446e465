"""What the vocabulary costs each language, and the proof that its two forms are one.

Measured on held-out text: tokens a word (a character where no spaces stand between words), bytes a
token, how much falls back to bytes, and parity: tokens of a language over tokens of English for the
same aligned sentences (Petrov et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from polylm_core.errors import StageError
from polylm_core.languages import get_language
from polylm_core.records import read_documents, read_pairs
from polylm_core.stages.vocab.sample import shuffled_documents
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
    """Every checked line came back from its ids (a stage where one does not has failed)."""


@dataclass(frozen=True, slots=True)
class FertilityUnit:
    """One language to measure."""

    language: str
    shards: Path
    tokenizer: Path
    seed: int
    lines: int


def measure(unit: FertilityUnit) -> Fertility:
    """Check and measure one language; raises StageError when the two forms differ."""
    tokenizer = load(unit.tokenizer / MODEL_FILE)
    twin = HuggingFaceTwin(unit.tokenizer / TWIN_FOLDER)
    lines = _lines_to_check(unit)
    _check(unit.language, tokenizer, twin, lines)
    held_out = unit.shards / "held_out" / "documents" / unit.language
    texts = [document.text for document in read_documents(held_out)]
    ids = [i for encoded in tokenizer.encode_batch(texts) for i in encoded]
    if not ids:
        raise StageError(
            f"{unit.language}: no held-out text to measure; raise curate.held_out_share"
        )
    spaced = get_language(unit.language).words == "spaces"
    words = sum(len(text.split()) if spaced else len("".join(text.split())) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    fallback = sum(i in tokenizer.byte_ids and i != tokenizer.newline_id for i in ids)
    return Fertility(
        language=unit.language,
        bytes=size,
        tokens=len(ids),
        words=words,
        word_unit="words" if spaced else "characters",
        tokens_per_word=len(ids) / max(words, 1),
        bytes_per_token=size / len(ids),
        byte_fallback_share=fallback / len(ids),
        parity=_parity(unit, tokenizer),
        lines_checked=len(lines),
        round_trip_ok=True,
    )


def _lines_to_check(unit: FertilityUnit) -> list[str]:
    """Distinct lines: held-out ones first, then drawn training documents'."""
    name = Path("documents") / unit.language

    def every_line() -> Iterator[str]:
        for documents in (
            read_documents(unit.shards / "held_out" / name),
            shuffled_documents(unit.shards / name, unit.seed),
        ):
            for document in documents:
                yield from document.text.split("\n")

    lines: dict[str, None] = {}
    for line in every_line():
        if len(lines) == unit.lines:
            break
        if line:
            lines.setdefault(line)
    return list(lines)


def _check(
    language: str, tokenizer: SentencePieceTokenizer, twin: HuggingFaceTwin, lines: list[str]
) -> None:
    different = twin.first_difference(tokenizer, lines)
    if different is not None:
        raise StageError(
            f"{language}: tokenizer.json gives other ids than SentencePiece for {different!r}; "
            "change vocab.vocab_size or vocab.character_coverage, and report the text"
        )
    for line in lines:
        back = tokenizer.decode(tokenizer.encode(line))
        if back != readable(line):
            raise StageError(
                f"{language}: {line!r} comes back from its ids as {back!r}; "
                "remove such text in curate, and report it"
            )


def _parity(unit: FertilityUnit, tokenizer: SentencePieceTokenizer) -> float | None:
    if unit.language == "eng_Latn":
        return 1.0
    file = unit.shards / "held_out" / "pairs" / unit.language
    if not file.is_dir():
        return None
    pairs = list(read_pairs(file))
    english = sum(map(len, tokenizer.encode_batch([pair.text_a for pair in pairs])))
    other = sum(map(len, tokenizer.encode_batch([pair.text_b for pair in pairs])))
    return other / english if english else None
