"""A small ShardSet of invented sentences in English, German and Thai, without running `curate`."""

from __future__ import annotations

import random
from pathlib import Path

from polylm_core.artifacts import ShardSet, partial_folder, publish
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Document, Pair, write_parts

WORDS = {
    "eng_Latn": "open the file menu and save your changes before you close window 42".split(),
    "deu_Latn": "öffnen Sie die Datei und speichern Änderungen vor dem Schließen 42".split(),
    "tha_Thai": "เปิด แฟ้ม เมนู และ บันทึก การเปลี่ยนแปลง ก่อน ปิด หน้าต่าง 42".split(),
    "nld_Latn": "open het bestand en bewaar uw wijzigingen voordat u venster 42 sluit".split(),
}


def sentence(language: str, draw: random.Random) -> str:
    """Eight drawn words; Thai puts no spaces between them."""
    words = [draw.choice(WORDS[language]) for _ in range(8)]
    return ("" if language == "tha_Thai" else " ").join(words) + "."


def documents(language: str, number: int, *, split: str) -> list[Document]:
    """Documents of three lines; the same arguments give the same texts."""
    draw = random.Random(f"{language}-{split}")
    return [
        Document(
            id=f"invented/{language}/{split}-{key}",
            text="\n".join(sentence(language, draw) for _ in range(3)),
            language=language,
            source="invented",
            license="CC0-1.0",
        )
        for key in range(number)
    ]


def pairs(language: str, number: int, *, split: str) -> list[Pair]:
    """Pairs of one sentence each, English first."""
    draw = random.Random(f"pairs-{language}-{split}")
    return [
        Pair(
            id=f"invented/eng_Latn-{language}/{split}-{key}#0",
            language_a="eng_Latn",
            text_a=sentence("eng_Latn", draw),
            language_b=language,
            text_b=sentence(language, draw),
            source="invented",
            license="CC0-1.0",
        )
        for key in range(number)
    ]


def make_shards(
    folder: Path,
    *,
    languages: tuple[str, ...] = ("eng_Latn", "deu_Latn", "tha_Thai"),
    pair_languages: tuple[str, ...] = ("deu_Latn", "tha_Thai", "nld_Latn"),
    num_documents: int = 40,
) -> ShardSet:
    """Publish a ShardSet in `folder`; a tenth as many documents are held out."""
    out = folder / "02_shards"
    partial = partial_folder(out)
    for split, below, number in (
        ("train", partial, num_documents),
        ("held_out", partial / "held_out", num_documents // 10),
    ):
        for code in languages:
            rows = documents(code, number, split=split)
            write_parts(below / "documents" / code, rows, DOCUMENT_SCHEMA)
        for code in pair_languages:
            aligned = pairs(code, number, split=split)
            write_parts(below / "pairs" / code, aligned, PAIR_SCHEMA)
    return publish(ShardSet, partial, out, inputs={}, params={}, counts={})
