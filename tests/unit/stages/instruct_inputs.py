"""What the tests of `instruct` feed it: aligned sentences in four languages, and seed tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from polylm_core.artifacts import DocumentSet, ShardSet, partial_folder, publish
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Pair,
    write_parts,
)

LANGUAGES = ("eng_Latn", "deu_Latn", "zho_Hans")
THINGS = {
    "eng_Latn": ["house", "garden", "river", "window", "letter", "forest", "table", "street"],
    "deu_Latn": ["Haus", "Garten", "Fluss", "Fenster", "Brief", "Wald", "Tisch", "Straße"],
    "zho_Hans": ["房子", "花园", "河流", "窗户", "信件", "森林", "桌子", "街道"],
    "swh_Latn": ["nyumba", "bustani", "mto", "dirisha", "barua", "msitu", "meza", "mtaa"],
}
SENTENCES = {
    "eng_Latn": "The {} and the {} can be seen from here",
    "deu_Latn": "Von hier aus sieht man das {} und das {}",
    "zho_Hans": "从这里可以看到{}和{}",
    "swh_Latn": "Unaweza kuona {} na {} kutoka hapa",
}


def sentences(language: str) -> list[str]:
    things = THINGS[language]
    return [SENTENCES[language].format(a, b) for a in things for b in things if a != b]


def make_shards(folder: Path) -> ShardSet:
    """56 sentences in four languages, the last 16 held out."""
    partial = partial_folder(folder)
    for language in ("deu_Latn", "zho_Hans", "swh_Latn"):
        pairs = [
            Pair(
                id=f"help/eng_Latn-{language}/page{number // 4}#{number}",
                language_a="eng_Latn",
                text_a=english,
                language_b=language,
                text_b=other,
                source="help",
                license="MPL-2.0",
            )
            for number, (english, other) in enumerate(
                zip(sentences("eng_Latn"), sentences(language), strict=True)
            )
        ]
        write_parts(partial / "pairs" / language, pairs[:40], PAIR_SCHEMA)
        write_parts(partial / "held_out/pairs" / language, pairs[40:], PAIR_SCHEMA)
    for language in LANGUAGES:
        text = "\n".join(sentences(language)[:20])
        document = Document(f"help/{language}/page", text, language, "help", "MPL-2.0")
        write_parts(partial / "documents" / language, [document], DOCUMENT_SCHEMA)
    return publish(ShardSet, partial, folder, inputs={}, params={}, counts={})


def make_documents(
    folder: Path, evaluation: Sequence[Document] = (), evaluation_pairs: Sequence[Pair] = ()
) -> DocumentSet:
    """Evaluation sets; the documents themselves are nothing to `instruct`."""
    partial = partial_folder(folder)
    write_parts(partial / "evaluation/documents/exam", evaluation, DOCUMENT_SCHEMA)
    write_parts(partial / "evaluation/pairs/exam", evaluation_pairs, PAIR_SCHEMA)
    return publish(DocumentSet, partial, folder, inputs={}, params={}, counts={})


def make_sources(folder: Path) -> Path:
    """Three seed tasks in English and German."""
    texts = {
        "eng_Latn": [("Name two colours.", "Red and blue."), ("Where is Rome?", "In Italy.")],
        "deu_Latn": [("Nenne zwei Farben.", "Rot und Blau."), ("Wo liegt Rom?", "In Italien.")],
    }
    seeds = folder / "seed_tasks"
    seeds.mkdir(parents=True)
    files = {}
    for language, tasks in texts.items():
        rows = [
            {"id": f"seed-{i}", "instruction": q, "input": "", "output": a, "keep": False}
            for i, (q, a) in enumerate(tasks)
        ]
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        (seeds / f"{language}.jsonl").write_bytes(content)
        files[f"{language}.jsonl"] = {"sha256": hashlib.sha256(content).hexdigest(), "lines": 2}
    declaration = {"name": "seed_tasks", "licence": "Apache-2.0", "files": files}
    (seeds / "source.yaml").write_text(yaml.safe_dump(declaration), encoding="utf-8")
    return folder
