"""Rows of a file in the forms that benchmarks are published in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polylm_core.lines import iter_lines, read_table
from polylm_core.stages.evaluate.benchmarks.catalogue_translation import TATOEBA_CODES
from polylm_core.stages.evaluate.benchmarks.sentence_readers import sentence_readers
from polylm_core.stages.evaluate.benchmarks.squad_file import read_squad

Row = dict[str, Any]
"""One item, with the fields that the set's task file names. `language`, the set's own code, and
`benchmark`, its name, are added where there is none."""

PTB_QUOTES = {"``": '"', "''": '"'}

ROWS_AT_ONCE = 1024
Reader = Callable[[Path, str], Iterable[Row]]
"""Rows of one file, of the language with this code of the set's own. A file that is not what it
should be raises KeyError, ValueError or OSError, which are told as a SourceError with its path."""


def read_json_lines(path: Path, language: str) -> Iterator[Row]:
    """One item a line."""
    del language
    with path.open("rb") as file:
        for number, line in enumerate(iter_lines(file), start=1):
            if line is None:
                raise ValueError(f"line {number} is too long")
            if line.strip():
                yield json.loads(line)


def read_source_and_target(path: Path, language: str) -> Iterator[Row]:
    """MTG in the form of ours: an object a line with what is given and what is to be written."""
    for number, row in enumerate(read_json_lines(path, language), start=1):
        texts = {name: row[name] for name in ("source", "target")}
        for name, text in texts.items():
            if not (isinstance(text, str) and text.strip()):
                raise ValueError(f"item {number} has no text in `{name}`")
        yield texts


def read_parquet(path: Path, language: str) -> Iterator[Row]:
    """The hub's form: a row an item."""
    del language
    with pq.ParquetFile(path) as table:
        for batch in read_table(table, path, ROWS_AT_ONCE):
            yield from batch.to_pylist()


def read_xwinograd_table(path: Path, language: str) -> Iterator[Row]:
    """The table of XWinograd's first release, in the fields of the hub's.

    Tab-separated: language, origin, English, sentence, its tokens, the pronoun with its token
    span, the candidates with theirs and whether each is right. `_` takes the pronoun's place.
    """
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line.startswith(f"{language}\t"):
            continue
        _, _, _, sentence, tokens, pronoun, candidates = line.split("\t")
        start, end = _characters(sentence, json.loads(tokens), *json.loads(pronoun)[1])
        first, second = json.loads(candidates)
        yield {
            "sentence": f"{sentence[:start]}_{sentence[end:]}",
            "option1": first[0],
            "option2": second[0],
            "answer": "1" if first[3] else "2",
        }


def _characters(sentence: str, tokens: list[str], first: int, last: int) -> tuple[int, int]:
    """The span in characters of the tokens from `first` up to `last`."""
    at, spans = 0, []
    for token in tokens:
        # Some quotation marks are as the Penn Treebank writes them, in the tokens alone.
        written = {token.strip(), PTB_QUOTES.get(token, token.strip())}
        start, length = min((sentence.index(w, at), len(w)) for w in written if w in sentence[at:])
        at = start + length
        spans.append((start, at))
    return spans[first][0], spans[last - 1][1]


READERS: Mapping[str, Reader] = {
    "json lines": read_json_lines,
    "parquet": read_parquet,
    "source and target": read_source_and_target,
    "squad": read_squad,
    "xwinograd table": read_xwinograd_table,
    **sentence_readers(TATOEBA_CODES),
}
"""By the name that the catalogue uses."""
