"""Bytes per token and premium over English: `python -m benchmarks.tokenizers --flores ARCHIVE`.

A vocabulary of 64,000 entries is trained on the benchmark corpus for each sampling exponent and
asked to encode FLORES-200 dev. The premium of a language is its tokens by English's, on the same
sentences (Petrov et al. 2023, arXiv 2305.15425); the premiums of mT5, XLM-R, BLOOM, LLaMA and GPT-2
beside it are that paper's (`petrov2023.tsv`). FLORES-200 is CC-BY-SA 4.0, for evaluation only.
Ends with status 1 when no exponent has a mean premium within the ceiling. `--quick` trains 8,000
entries on 4 MB for two exponents, and keeps no result.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus import build, default_folder
from benchmarks.engine import sample
from benchmarks.flores import sentences
from benchmarks.results import tell
from polylm_core.languages import POLYLM_LANGUAGES
from polylm_core.records import Document
from polylm_core.tokenizer import SentencePieceTokenizer, train_sentencepiece

CEILING_PREMIUM = 1.5
"""Mean over the languages other than English that one exponent at least must keep to."""
EXPONENTS, QUICK_EXPONENTS = (0.0, 0.3, 0.5, 0.7, 1.0), (0.3, 1.0)
ENGLISH = "eng_Latn"
PUBLISHED = Path(__file__).parent / "petrov2023.tsv"
PACKAGES = ("polylm", "sentencepiece")
SENTENCES = 997

Texts = Mapping[str, Sequence[str]]


def budgets(sizes: Mapping[str, int], sample_bytes: int, exponent: float) -> dict[str, int]:
    """Return the bytes of each language: shares grow with (its bytes) ** exponent."""
    weights = {code: size**exponent for code, size in sizes.items()}
    whole = sum(weights.values())
    return {code: int(sample_bytes * weight / whole) for code, weight in weights.items()}


def lines_within(documents: Sequence[Document], budget_bytes: int) -> Iterator[str]:
    """Yield the documents' lines until the budget is used up."""
    left = budget_bytes
    for document in documents:
        for line in document.text.split("\n"):
            left -= len(line.encode())
            if left < 0:
                return
            yield line


def premiums(tokens: Mapping[str, int]) -> dict[str, float]:
    """Return tokens by English's tokens of the same sentences."""
    return {code: count / tokens[ENGLISH] for code, count in tokens.items()}


def published() -> dict[str, dict[str, float]]:
    """Return the paper's premiums by tokenizer and language."""
    with PUBLISHED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader((line for line in file if line[0] != "#"), delimiter="\t"))
    names = [name for name in rows[0] if name != "language"]
    return {name: premiums({row["language"]: int(row[name]) for row in rows}) for name in names}


def mean_premium(found: Mapping[str, float]) -> float:
    """Return the mean over the languages other than English."""
    return statistics.mean(value for code, value in found.items() if code != ENGLISH)


def train(
    documents: Mapping[str, Sequence[Document]], budget: Mapping[str, int], vocab_size: int
) -> SentencePieceTokenizer:
    """Train on the first lines of each language."""
    lines = (line for code in documents for line in lines_within(documents[code], budget[code]))
    model = train_sentencepiece(
        lines, vocab_size=vocab_size, character_coverage=0.9998, num_threads=os.cpu_count() or 1
    )
    return SentencePieceTokenizer(model)


def measure(tokenizer: SentencePieceTokenizer, flores: Texts) -> dict[str, Any]:
    """Return bytes per token and premium of each language."""
    tokens = {
        code: sum(map(len, tokenizer.encode_batch(list(texts)))) for code, texts in flores.items()
    }
    sizes = {code: sum(len(text.encode()) for text in texts) for code, texts in flores.items()}
    found = premiums(tokens)
    return {
        "bytes_per_token": {code: round(sizes[code] / tokens[code], 3) for code in tokens},
        "premium": {code: round(value, 3) for code, value in found.items()},
        "mean_premium": round(mean_premium(found), 3),
        "max_premium": round(max(found.values()), 3),
        "mean_bytes_per_token": round(statistics.mean(sizes[c] / tokens[c] for c in tokens), 3),
    }


def measure_exponents(arguments: argparse.Namespace, flores: Texts) -> dict[str, Any]:
    """Train and measure a tokenizer for each exponent."""
    sizes = sample.sizes(arguments.corpus, POLYLM_LANGUAGES)
    wanted = {
        exponent: budgets(sizes, int(arguments.sample_mb * 1e6), exponent)
        for exponent in arguments.exponents
    }
    largest = {code: max(budget[code] for budget in wanted.values()) for code in sizes}
    documents = sample.draw(arguments.corpus, POLYLM_LANGUAGES, bytes_per_language=largest)
    found = {}
    for exponent, budget in wanted.items():
        begin = time.perf_counter()
        tokenizer = train(documents, budget, arguments.vocab_size)
        seconds = round(time.perf_counter() - begin, 1)
        found[f"{exponent:g}"] = measure(tokenizer, flores) | {"training_seconds": seconds}
        print(f"exponent {exponent:g}: trained in {seconds} s", file=sys.stderr, flush=True)
    return found


def parse() -> argparse.Namespace:
    """Return the options; `--quick` sets the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flores", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--corpus", type=Path, metavar="DIR", default=default_folder())
    parser.add_argument("--vocab-size", type=int, default=64_000)
    parser.add_argument("--sample-mb", type=float, default=60.0)
    parser.add_argument("--exponents", type=float, nargs="+", default=list(EXPONENTS))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.vocab_size, arguments.sample_mb = 8_000, 4.0
        arguments.exponents = list(QUICK_EXPONENTS)
    return arguments


def main() -> int:
    """Train, measure and compare; return the exit status."""
    arguments = parse()
    build(arguments.corpus)
    flores = sentences(arguments.flores, POLYLM_LANGUAGES, SENTENCES)
    found = measure_exponents(arguments, flores)
    best = min(found, key=lambda exponent: float(found[exponent]["mean_premium"]))
    result = {
        "vocab_size": arguments.vocab_size,
        "sample_megabytes": arguments.sample_mb,
        "ceiling_mean_premium": CEILING_PREMIUM,
        "lowest_mean_premium": {"exponent": best, "mean_premium": found[best]["mean_premium"]},
        "by_exponent": found,
        "published": {
            name: {
                "mean_premium": round(mean_premium(values), 3),
                "max_premium": round(max(values.values()), 3),
                "premium": {code: round(value, 3) for code, value in values.items()},
            }
            for name, values in published().items()
        },
    }
    tell("tokenizers", result, PACKAGES, keep=not arguments.quick)
    return int(found[best]["mean_premium"] > CEILING_PREMIUM)


if __name__ == "__main__":
    sys.exit(main())
