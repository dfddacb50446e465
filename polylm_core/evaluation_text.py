"""Text to evaluate on, of one language: what was held out, and the recipe's evaluation sets.

In: the `held_out` folder of a ShardSet, and the parts of a DocumentSet's evaluation sets. Out:
batches of texts. Whatever is trained on is compared with them, text and instructions alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from polylm_core.languages import ENGLISH
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, list_parts, read_batches


def held_out_texts(folder: Path, language: str) -> Iterator[list[str]]:
    """Yield the held-out documents of a language and its side of held-out pairs, in batches."""
    documents = folder / "documents" / language
    if documents.is_dir():
        for part in list_parts(documents):
            for batch in read_batches(part, DOCUMENT_SCHEMA):
                yield batch.column("text").to_pylist()
    side = "text_a" if language == ENGLISH else "text_b"
    for other in _pair_languages(folder / "pairs", language):
        for part in list_parts(folder / "pairs" / other):
            for batch in read_batches(part, PAIR_SCHEMA):
                yield batch.column(side).to_pylist()


def evaluation_texts(
    documents: Sequence[Path], pairs: Sequence[Path], language: str
) -> Iterator[list[str]]:
    """Yield what evaluation sets have in a language, in batches; `documents`, `pairs` are parts.

    A set that does not say its language may be in any: it is compared with each.
    """
    for part in documents:
        for batch in read_batches(part, DOCUMENT_SCHEMA):
            column = batch.column("language")
            own = batch.filter(pc.or_(pc.equal(column, language), pc.equal(column, "")))
            yield own.column("text").to_pylist()
    for part in pairs:
        for batch in read_batches(part, PAIR_SCHEMA):
            for side in "ab":
                own = batch.filter(pc.equal(batch.column(f"language_{side}"), language))
                yield own.column(f"text_{side}").to_pylist()


def _pair_languages(folder: Path, language: str) -> list[str]:
    """Languages whose pairs with English have a side in this one."""
    if not folder.is_dir():
        return []
    present = sorted(each.name for each in folder.iterdir())
    return present if language == ENGLISH else [code for code in present if code == language]
