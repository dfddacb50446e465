"""Small files in the place of a recipe's corpora: the same folders, names, columns and cards.

Text is words of the Universal Declaration of Human Rights in an order that no other row has: enough
for identification, rules and duplicates to judge, and no sense that they could ask for.
"""

from __future__ import annotations

import functools
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from polylm_core.languages import get_language
from polylm_core.stages.ingest.config import HuggingFaceSource, MosesSource
from tests.unit.stages.curate_real import real_documents

LINES, WORDS = 9, 14
CHUNK = 4
"""Characters that stand for a word where no spaces do."""
FILES = 2
"""Files of each configuration."""

Row = dict[str, Any]


@functools.cache
def words_of(language: str) -> list[str]:
    """The words of the declaration."""
    text = " ".join(document.text for document in real_documents("udhr", language))
    if get_language(language).words == "spaces":
        return [word for word in text.split() if word[0].isalpha()]
    letters = "".join(text.split())
    return [letters[at : at + CHUNK] for at in range(0, len(letters) - CHUNK, CHUNK)]


def line_of(language: str, seed: str) -> str:
    """A line that no other seed gives."""
    chosen = random.Random(f"{language} {seed}").choices(words_of(language), k=WORDS)
    return (" " if get_language(language).words == "spaces" else "").join(chosen) + "."


def text_of(language: str, seed: str) -> str:
    """A document that no other seed gives."""
    return "\n".join(line_of(language, f"{seed} {number}") for number in range(LINES))


def _crawled(language: str, number: int) -> Row:
    """What FineWeb's data sets have in common."""
    return {
        "text": text_of(language, f"web {number}"),
        "id": f"<urn:uuid:{number:08d}-0000-4000-8000-000000000000>",
        "dump": "CC-MAIN-2014-15",
        "url": f"https://web.example.org/{number}",
        "file_path": "s3://commoncrawl/segments/1.warc.gz",
        "language": language[:3],
        "language_score": 0.97,
    }


def _of_fineweb_edu(language: str, number: int) -> Row:
    return {**_crawled(language, number), "token_count": 200, "score": 3.1, "int_score": 3}


def _of_fineweb_2(language: str, number: int) -> Row:
    return {
        **_crawled(language, number),
        "date": "2014-04-16T08:00:00Z",
        "language_script": language[4:],
        "minhash_cluster_size": 3,
        "top_langs": "{}",
    }


def _of_wikipedia(language: str, number: int) -> Row:
    return {
        "id": str(number),
        "url": f"https://{language}.example.org/wiki/{number}",
        "title": f"{language} {number}",
        "text": text_of(language, f"wiki {number}"),
    }


@dataclass(frozen=True)
class Layout:
    """Where a data set has its files, and what is in a row of them."""

    file: str
    """The name of a file, from `config` and `number`."""
    glob: str
    """What its card says of a configuration."""
    row: Callable[[str, int], Row]


LAYOUTS = {
    "HuggingFaceFW/fineweb-edu": Layout(
        "sample/10BT/{number:03d}_00000.parquet", "sample/10BT/*", _of_fineweb_edu
    ),
    "HuggingFaceFW/fineweb-2": Layout(
        "data/{config}/train/000_{number:05d}.parquet", "data/{config}/train/*", _of_fineweb_2
    ),
    "wikimedia/wikipedia": Layout(
        "{config}/train-{number:05d}-of-00002.parquet", "{config}/train-*", _of_wikipedia
    ),
}


def write_snapshot(folder: Path, source: HuggingFaceSource, rows: int) -> Path:
    """Write a snapshot as `hf download` leaves it, with so many rows a file; returns its place.

    Its card has one more configuration, of which nothing was fetched.
    """
    layout = LAYOUTS[source.dataset]
    root = folder / source.revision
    for config, language in source.configs.items():
        assert language is not None
        for number in range(FILES):
            file = root / layout.file.format(config=config, number=number)
            file.parent.mkdir(parents=True, exist_ok=True)
            table = [layout.row(language, number * rows + row) for row in range(rows)]
            pq.write_table(pa.Table.from_pylist(table), file)
    configs = [
        {
            "config_name": config,
            "data_files": [{"split": "train", "path": layout.glob.format(config=config)}],
        }
        for config in ("not-fetched", *source.configs)
    ]
    card = yaml.safe_dump({"license": "other", "configs": configs})
    (root / "README.md").write_text(f"---\n{card}---\n# A card\n", encoding="utf-8")
    return root


def write_zip(folder: Path, name: str, source: MosesSource, pairs: int) -> None:
    """Write an OPUS release of aligned lines as its zip."""
    corpus = "WikiMatrix" if name.startswith("wikimatrix") else "wikimedia"
    folder.mkdir(parents=True)
    (file,) = source.files
    stem = f"{corpus}.{file.removesuffix('.txt.zip')}"
    with zipfile.ZipFile(folder / file, "w") as archive:
        archive.writestr("README", "This package is part of OPUS.\n")
        archive.writestr("LICENSE", "as above\n")
        for language, side in zip(source.languages, source.sides, strict=True):
            lines = "".join(line_of(language, f"{name} {n}") + "\n" for n in range(pairs))
            archive.writestr(f"{stem}.{side}", lines)
        archive.writestr(f"{stem}.xml", "<cesAlign/>\n")
