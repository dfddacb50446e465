"""Held-out text of each language, for the export to be held against (`training/certificate.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from polylm_core.artifacts import TokenSet
from polylm_core.errors import StageError
from polylm_core.token_files import TokenFile
from polylm_core.tokenizer import SentencePieceTokenizer
from polylm_core.training.certificate import (
    CONTROL_PIECES,
    TEXT_CHARACTERS,
    TEXTS_PER_LANGUAGE,
    Sample,
    SampleText,
    write_sample,
)

CONTROL = re.compile("|".join(map(re.escape, CONTROL_PIECES)))
UNFINISHED = "�"
"""What the bytes of a character cut in two are decoded to."""


def write_text_sample(
    path: Path, tokens: TokenSet, tokenizer: SentencePieceTokenizer, languages: Sequence[str]
) -> None:
    """Write the beginnings of some held-out documents of each language.

    Raises StageError when a language has none.
    """
    texts = tuple(
        SampleText(language=code, text=text, ids=tuple(tokenizer.encode(text)))
        for code, text in held_out_texts(tokens, tokenizer, languages)
    )
    write_sample(path, Sample(eos_id=tokenizer.eos_id, texts=texts))


def held_out_texts(
    tokens: TokenSet, tokenizer: SentencePieceTokenizer, languages: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield each language with the beginnings of some of its held-out documents.

    Raises StageError when a language has none.
    """
    for code in languages:
        file = TokenFile.open(tokens.path / "held_out" / code)
        found = list(islice(_texts(file, tokenizer), TEXTS_PER_LANGUAGE))
        if not found:
            raise StageError(
                f"{code} has no held-out text to compare the exported model on; "
                "raise curate.held_out.share"
            )
        yield from ((code, text) for text in found)


def _texts(file: TokenFile, tokenizer: SentencePieceTokenizer) -> Iterator[str]:
    for number in range(len(file)):
        begin, end = file.document_span(number)
        # A token is a byte at least, a character four at most.
        ids = file.tokens[begin : min(end, begin + 4 * TEXT_CHARACTERS)].tolist()
        text = tokenizer.decode(ids)[:TEXT_CHARACTERS].rstrip(UNFINISHED)
        text = CONTROL.split(text)[0]
        if text.strip():
            yield text
