"""Sentences to translate out of English, and how two systems compare on them by chrF."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest

from polylm_core.languages import get_language
from polylm_core.records import Instruction
from polylm_core.stages.instruct.turns import TRANSLATION

TUNED_PROMPT = "Translate from English to {language}: {text}"
MAX_P = 0.05


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence to translate out of English."""

    language: str
    text: str
    reference: str
    prompt: str
    """What the tuned model is asked."""


def held_out_items(
    rows: Sequence[Instruction], sources: Mapping[str, str], languages: Sequence[str], most: int
) -> list[Item]:
    """Held-out translations out of English, the languages by turns.

    `sources` has the English of each pair by its id.
    """
    by_language: dict[str, list[Item]] = {code: [] for code in languages}
    for row in rows:
        source = sources.get(row.id.removeprefix(f"{TRANSLATION}/").partition(">")[0])
        if row.origin == TRANSLATION and row.language in by_language and source is not None:
            prompt, reference = (message.content for message in row.messages[-2:])
            by_language[row.language].append(Item(row.language, source, reference, prompt))
    turns = itertools.zip_longest(*by_language.values())
    return [item for turn in turns for item in turn if item is not None][:most]


def _tatoeba_pairs(folder: Path, code: str) -> list[tuple[str, str]]:
    """The pairs of one language, English first; ends the program with a missing file's name."""
    stem = f"tatoeba.{code[:3]}-eng"
    files = [folder / f"{stem}.{side}" for side in ("eng", code[:3])]
    for file in files:
        if not file.is_file():
            raise SystemExit(
                f"error: {file} is missing; unpack tatoeba112.tar.xz and name its folder"
            )
    english, other = (file.read_text("utf-8").splitlines() for file in files)
    return list(zip(english, other, strict=True))


def tatoeba_english(folder: Path, codes: Sequence[str], known: frozenset[str]) -> list[str]:
    """The English sides of all languages, each once; none that the training set has."""
    texts = {text for code in codes for text, _ in _tatoeba_pairs(folder, code)}
    return sorted(texts - known, key=lambda text: hashlib.sha256(text.encode()).digest())


def tatoeba_items(folder: Path, code: str, most: int, known: frozenset[str]) -> list[Item]:
    """Sentences of one language, drawn by their text; none that the training set has."""
    rows = [pair for pair in _tatoeba_pairs(folder, code) if known.isdisjoint(pair)]
    rows.sort(key=lambda pair: hashlib.sha256("\t".join(pair).encode()).digest())
    name = get_language(code).english_name
    return [
        Item(code, text, reference, TUNED_PROMPT.format(language=name, text=text))
        for text, reference in rows[:most]
    ]


def cleaned(text: str) -> str:
    """The translation in an answer: its first line that is no announcement, without quotes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if not line.endswith(":")), "")
    if len(said) > 1 and (said[0], said[-1]) in {('"', '"'), ("“", "”"), ("«", "»")}:
        said = said[1:-1].strip()
    return said


def chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """ChrF of a set."""
    return float(CHRF().corpus_score(list(answers), [list(references)]).score)


def best_of(ways: Sequence[list[str]], references: Sequence[str]) -> list[str]:
    """The answers with the highest chrF."""
    return max(ways, key=lambda answers: chrf(answers, references))


def p_value(
    baseline: Sequence[str], system: Sequence[str], references: Sequence[str], samples: int
) -> float:
    """Paired bootstrap (Koehn 2004) of chrF: how likely so large a difference is by chance."""
    if list(baseline) == list(system):
        return 1.0  # sacrebleu counts differences above the one seen: above none there are none
    test = PairedTest(
        [("baseline", list(baseline)), ("system", list(system))],
        {"chrF": CHRF(references=[list(references)])},
        references=None,
        test_type="bs",
        n_samples=samples,
    )
    scores: dict[str, Any] = test()[1]
    (of_metric,) = (results for name, results in scores.items() if name != "System")
    return float(of_metric[1].p_value)


def judge_set(
    tuned: Sequence[str], base: Sequence[list[str]], items: Sequence[Item], samples: int
) -> dict[str, Any]:
    """Scores of one set of sentences."""
    references = [item.reference for item in items]
    copy = [item.text for item in items]
    best = best_of(base, references)
    scores: dict[str, Any] = {
        "sentences": len(items),
        "tuned": chrf(tuned, references),
        "base": chrf(best, references),
        "base_ways": [round(chrf(way, references), 2) for way in base],
        "copy": chrf(copy, references),
        "p_base": p_value(best, tuned, references, samples),
        "p_copy": p_value(copy, tuned, references, samples),
    }
    scores["ratio"] = scores["tuned"] / max(scores["base"], scores["copy"], 1e-9)
    scores["is_better"] = all(
        scores["tuned"] > scores[other] and scores[f"p_{other}"] < MAX_P
        for other in ("base", "copy")
    )
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in scores.items()
    }
