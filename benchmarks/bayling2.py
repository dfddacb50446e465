"""What cross-lingual tuning gives: `python -m benchmarks.bayling2 --tatoeba FOLDER [--run data]`.

Takes the `data` folder of a finished run of `recipes/bayling2-laptop.yaml`, and the unpacked
Tatoeba pairs (`tatoeba.<language>-eng.<language>`, CC-BY 2.0; for evaluation only). Measures, with
greedy answers of the tuned model and of its base:

- chrF on held-out pairs of the same documentation, out of English: at least 1.3 times the larger of
  the base and of copying the source;
- chrF on Tatoeba, out of English, in each of six languages: above base and copy by paired
  bootstrap (p < 0.05 each) in at least four;
- perplexity of English text: at most 1.10 times the base's, on held-out text of the documentation
  that was tuned on and on the English sides of Tatoeba, which is another kind of text.

How long the training took is told where the run's own records say it.

The base is asked in three ways, and what counts is the best of them on each set by itself. Ends
with status 1 where one of the three does not hold. `--quick` takes a few sentences of each, which
says that it runs and nothing else: it keeps no result and ends with status 0.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chat_models import Chatter, answer, load, nats_a_token
from benchmarks.results import tell
from benchmarks.training_time import in_words, training_time
from benchmarks.translation_sets import (
    Item,
    cleaned,
    held_out_items,
    judge_set,
    tatoeba_english,
    tatoeba_items,
)
from polylm_core.languages import get_language
from polylm_core.records import read_documents, read_instructions, read_pairs

ROOT = Path(__file__).parent.parent
ENGLISH = "eng_Latn"
LANGUAGES = ("spa_Latn", "fra_Latn", "deu_Latn", "ita_Latn", "por_Latn", "nld_Latn")
LEAST_RATIO = 1.3
LEAST_LANGUAGES = 4
MAX_PERPLEXITY_RATIO = 1.10
BASE_PROMPTS = (
    "Translate the following text into {language}.\n{text}",
    "Translate this from English into {language}. Answer with the translation only.\n{text}",
)
COMPLETION = "English: {text}\n{language}:"
"""The third way to ask the base: a text to be completed, outside its chat template."""
PERPLEXITY_WINDOW = 256
PACKAGES = ("polylm", "torch", "transformers", "sacrebleu")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked."""

    held_out: int
    tatoeba: int
    """Sentences of each language."""
    perplexity_tokens: int
    bootstrap_samples: int


WHOLE = Size(held_out=200, tatoeba=200, perplexity_tokens=24_576, bootstrap_samples=1000)
QUICK = Size(held_out=6, tatoeba=3, perplexity_tokens=512, bootstrap_samples=50)


def _limits(chatter: Chatter, items: Sequence[Item]) -> list[int]:
    """Tokens an answer may have: twice the source's, and some; other languages take more."""
    return [2 * len(chatter.tokenizer.encode(item.text)) + 16 for item in items]


def tuned_answers(chatter: Chatter, items: Sequence[Item], what: str) -> list[str]:
    """What the tuned model says."""
    prompts = [chatter.prompt([{"role": "user", "content": item.prompt}]) for item in items]
    limits = _limits(chatter, items)
    found = answer(chatter, prompts, limits, what=f"tuned, {what}", is_enough=cleaned)
    return [cleaned(text) for text in found]


def base_answers(chatter: Chatter, items: Sequence[Item], what: str) -> list[list[str]]:
    """What the base says, asked in each of three ways."""
    found = []
    for number, template in enumerate((*BASE_PROMPTS, COMPLETION), start=1):
        prompts = []
        for item in items:
            name = get_language(item.language).english_name
            text = template.format(language=name, text=item.text)
            is_chat = template is not COMPLETION
            prompts.append(chatter.prompt([{"role": "user", "content": text}]) if is_chat else text)
        limits = _limits(chatter, items)
        said = answer(chatter, prompts, limits, what=f"base {number}, {what}", is_enough=cleaned)
        found.append([cleaned(text) for text in said])
    return found


def measure(run: Path, tatoeba: Path, size: Size) -> dict[str, Any]:
    """All figures of a finished run."""
    train = list(read_instructions(run / "07_instructions/train.parquet"))
    known = frozenset(message.content for row in train for message in row.messages)
    sets = {"held-out": _held_out(run, size.held_out)}
    sets |= {code: tatoeba_items(tatoeba, code, size.tatoeba, known) for code in LANGUAGES}
    english = {
        "held-out": _held_out_english(run),
        "tatoeba": tatoeba_english(tatoeba, LANGUAGES, known),
    }
    everything = [item for items in sets.values() for item in items]
    perplexity = {}
    chatter = load(run / "08_chat")
    tuned = _by_set(tuned_answers(chatter, everything, "all sets"), sets)
    perplexity["tuned"] = _perplexity(chatter, english, size)
    chatter = load(run / "06_base")
    ways = [_by_set(way, sets) for way in base_answers(chatter, everything, "all sets")]
    perplexity["base"] = _perplexity(chatter, english, size)
    judged = {
        name: judge_set(tuned[name], [way[name] for way in ways], items, size.bootstrap_samples)
        for name, items in sets.items()
    }
    return {
        "held_out": judged.pop("held-out"),
        "tatoeba": judged,
        "tatoeba_languages_better": sum(scores["is_better"] for scores in judged.values()),
        "english_perplexity": {
            name: _compared(perplexity["base"][name], perplexity["tuned"][name]) for name in english
        },
    }


def _held_out(run: Path, most: int) -> list[Item]:
    sources = {
        pair.id: pair.text_a
        for code in LANGUAGES
        for pair in read_pairs(run / "02_shards/held_out/pairs" / code)
    }
    rows = list(read_instructions(run / "07_instructions/held_out.parquet"))
    items = held_out_items(rows, sources, LANGUAGES, most)
    if len(items) < most:
        raise SystemExit(f"error: {run} has {len(items)} held-out translations, expected {most}")
    return items


def _held_out_english(run: Path) -> list[str]:
    rows = read_documents(run / f"02_shards/held_out/documents/{ENGLISH}")
    return [document.text for document in rows]


def _perplexity(
    chatter: Chatter, sets: Mapping[str, Sequence[str]], size: Size
) -> dict[str, float]:
    most, window = size.perplexity_tokens, PERPLEXITY_WINDOW
    return {
        name: math.exp(nats_a_token(chatter, texts, tokens=most, window=window))
        for name, texts in sets.items()
    }


def _compared(base: float, tuned: float) -> dict[str, float]:
    return {"base": round(base, 3), "tuned": round(tuned, 3), "ratio": round(tuned / base, 4)}


def _by_set(answers: Sequence[str], sets: Mapping[str, Sequence[Item]]) -> dict[str, list[str]]:
    rest = iter(answers)
    return {name: list(itertools.islice(rest, len(items))) for name, items in sets.items()}


def failures(found: Mapping[str, Any]) -> list[str]:
    """What does not hold."""
    problems = []
    if found["held_out"]["ratio"] < LEAST_RATIO:
        problems.append(f"held-out chrF ratio {found['held_out']['ratio']} < {LEAST_RATIO}")
    if found["tatoeba_languages_better"] < LEAST_LANGUAGES:
        problems.append(
            f"Tatoeba: better in {found['tatoeba_languages_better']} languages of "
            f"{len(LANGUAGES)}, fewer than {LEAST_LANGUAGES}"
        )
    problems += [
        f"English perplexity ratio, {name}: {scores['ratio']} > {MAX_PERPLEXITY_RATIO}"
        for name, scores in found["english_perplexity"].items()
        if scores["ratio"] > MAX_PERPLEXITY_RATIO
    ]
    return problems


def table(found: Mapping[str, Any]) -> list[str]:
    """The sets as lines to read."""
    head = f"{'':<12}{'tuned':>8}{'base':>8}{'copy':>8}{'ratio':>8}{'p base':>9}{'p copy':>9}"
    lines = [head]
    for name, scores in {"held-out": found["held_out"], **found["tatoeba"]}.items():
        figures = "".join(f"{scores[key]:8.2f}" for key in ("tuned", "base", "copy", "ratio"))
        lines.append(f"{name:<12}{figures}{scores['p_base']:9.4f}{scores['p_copy']:9.4f}")
    lines += [
        f"English perplexity, {name}: base {scores['base']}, tuned {scores['tuned']} "
        f"(ratio {scores['ratio']})"
        for name, scores in found["english_perplexity"].items()
    ]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--run", type=Path, default=ROOT / "data")
    parser.add_argument("--tatoeba", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="records of its stages; `runs` beside it")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    runs = options.runs or options.run.absolute().parent / "runs"
    took = training_time(options.run, runs)
    found = measure(options.run, options.tatoeba, QUICK if options.quick else WHOLE)
    problems = failures(found)
    print(
        "\n".join(
            [*table(found), in_words(took, runs), *(f"failed: {problem}" for problem in problems)]
        )
    )
    seconds = round(time.monotonic() - begun, 1)
    result = {**found, "failed": problems, "training": took, "seconds": seconds}
    tell("bayling2", {**result, "quick": options.quick}, PACKAGES, keep=not options.quick)
    return int(bool(problems) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
