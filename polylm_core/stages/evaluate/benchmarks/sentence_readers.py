"""Rows of translation sets, and of further published forms."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from polylm_core.languages import ENGLISH, get_language
from polylm_core.stages.evaluate.benchmarks.squad_file import read_squad

Row = dict[str, Any]
WMT_CODES = {"de": "deu_Latn", "ja": "jpn_Jpan", "ru": "rus_Cyrl", "zh": "zho_Hans"}


def translation_row(english: str, other: str, language: str, direction: str) -> Row:
    """A sentence to translate, in the fields of `tasks/translation.yaml`.

    `language` is the FLORES-200 code of the side beside English.
    """
    sides = {ENGLISH: english, language: other}
    source, target = (ENGLISH, language) if direction == "from_english" else (language, ENGLISH)
    return {
        "source": sides[source],
        "reference": sides[target],
        "source_language": _name(source),
        "target_language": _name(target),
        "target_code": target,
    }


def _name(code: str) -> str:
    """PolyLM says `Chinese` of what CLDR calls `Simplified Chinese`."""
    return get_language(code).english_name.removeprefix("Simplified ")


def _lines(path: Path, other: Path, language: str, direction: str) -> Iterator[Row]:
    """Rows of two files with a sentence a line; `other` is the English one."""
    foreign, english = (file.read_text(encoding="utf-8").split("\n") for file in (path, other))
    for left, right in zip(english, foreign, strict=True):
        if left.strip() and right.strip():
            yield translation_row(left.strip(), right.strip(), language, direction)


def read_flores(path: Path, language: str, *, direction: str) -> Iterator[Row]:
    """FLORES-200's files: a language each, in the same order."""
    return _lines(path, path.with_name(f"{ENGLISH}{path.suffix}"), language, direction)


def read_tatoeba(
    path: Path, language: str, *, direction: str, codes: Mapping[str, str]
) -> Iterator[Row]:
    """LASER's files: two a language."""
    return _lines(path, path.with_suffix(".eng"), codes[language], direction)


def read_pairs(path: Path, language: str, *, direction: str) -> Iterator[Row]:
    """What `sacrebleu --echo src ref` prints: source and reference, tab-separated."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            source, reference = line.split("\t")
            english, other = (
                (source, reference) if direction == "from_english" else (reference, source)
            )
            yield translation_row(english, other, WMT_CODES[language], direction)


def read_table(path: Path, language: str) -> Iterator[Row]:
    """PAWS-X's first release: tab-separated, the first line has the names."""
    del language
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield {**row, "id": int(row["id"]), "label": int(row["label"])}


def read_mgsm(path: Path, language: str) -> Iterator[Row]:
    """MGSM's table: question and answer, without a head; nothing is worked out before it."""
    del language
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            question, answer = line.rsplit("\t", 1)
            number = int(answer.replace(",", ""))
            yield {"question": question, "answer": None, "answer_number": number}


def _of_language(rows: Iterable[Row], language: str) -> Iterator[Row]:
    """Rows of TyDi QA whose id begins with the language."""
    for row in rows:
        if row["id"].startswith(f"{language}-"):
            yield {**row, "language": language}


def read_tydiqa_parquet(path: Path, language: str) -> Iterator[Row]:
    """The hub's form of TyDi QA: all languages in one file."""
    return _of_language(pq.read_table(path).to_pylist(), language)


def read_tydiqa_json(path: Path, language: str) -> Iterator[Row]:
    """TyDi QA's first release: SQuAD's form, all languages in one file."""
    return _of_language(read_squad(path, language), language)


def sentence_readers(
    tatoeba: Mapping[str, str],
) -> dict[str, Callable[[Path, str], Iterable[Row]]]:
    """Readers by the name that the catalogue uses; `tatoeba` has FLORES-200 codes by its own."""
    readers: dict[str, Callable[[Path, str], Iterable[Row]]] = {
        "table with a head": read_table,
        "mgsm table": read_mgsm,
        "tydiqa parquet": read_tydiqa_parquet,
        "tydiqa json": read_tydiqa_json,
    }
    for direction in ("from_english", "into_english"):
        readers[f"flores lines {direction}"] = partial(read_flores, direction=direction)
        readers[f"pair table {direction}"] = partial(read_pairs, direction=direction)
        readers[f"tatoeba lines {direction}"] = partial(
            read_tatoeba, direction=direction, codes=tatoeba
        )
    return readers
