"""Four-way translation choice on the base model, run by lm-evaluation-harness.

The task is `tasks/translation_choice.yaml`; each language gets a file that includes it and names
its questions, JSON lines in the stage's work folder. Distractors are the held-out sentences of
the same language that are nearest in length, so that length gives nothing away. Without skill one
in four is right.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from polylm_core.errors import StageError
from polylm_core.records import Pair
from polylm_core.stages.evaluate.harness import run_tasks
from polylm_core.stages.evaluate.intervals import wilson
from polylm_core.stages.evaluate.model import LoadedModel
from polylm_core.stages.evaluate.tables import (
    ALL_LANGUAGES,
    Choice,
    HarnessScore,
    Score,
    judged,
)

SUITE = "translation_choice"
CHOICES = 4
CHANCE = 1 / CHOICES
METRICS = ("acc", "acc_norm")
TEMPLATE = f"{SUITE}.yaml"


def build_questions(
    loaded: LoadedModel, pairs: Sequence[Pair], num: int, seed: int
) -> tuple[list[dict[str, Any]], int]:
    """Questions of one language that fit the context; with the number that do not."""
    if len(pairs) < CHOICES:
        raise StageError(
            f"{len(pairs)} held-out pairs of {pairs[0].language_b} can be asked about, "
            f"{CHOICES} are needed; lower evaluate.min_english_words or hold out more"
        )
    questions: list[dict[str, Any]] = []
    too_long = 0
    for pair in pairs:
        if len(questions) == num:
            break
        question = _question(pair, pairs, loaded.tokenizer.eos_token, seed)
        texts = [f"{question['source']}\n{choice}" for choice in question["choices"]]
        if max(len(loaded.encode(text)) for text in texts) + 1 > loaded.context_tokens:
            too_long += 1
        else:
            questions.append(question)
    if not questions:
        raise StageError(
            f"no translation question of {pairs[0].language_b} fits the context of "
            f"{loaded.context_tokens} tokens; hold out more"
        )
    return questions, too_long


def _question(pair: Pair, pairs: Sequence[Pair], beginning: str, seed: int) -> dict[str, Any]:
    length = len(pair.text_b)
    others = sorted(
        (other for other in pairs if other.id != pair.id),
        key=lambda other: (abs(len(other.text_b) - length), other.id),
    )
    texts = [pair.text_b, *(other.text_b for other in others[: CHOICES - 1])]
    texts.sort(key=lambda text: hashlib.sha256(f"{seed}\0{pair.id}\0{text}".encode()).digest())
    return {
        "id": pair.id,
        "language": pair.language_b,
        "beginning": beginning,
        "source": pair.text_a,
        "choices": texts,
        "answer": texts.index(pair.text_b),
    }


def run_harness(
    loaded: LoadedModel, questions: Sequence[dict[str, Any]], work: Path
) -> tuple[list[Choice], list[HarnessScore]]:
    """Score the questions of all languages with lm-evaluation-harness."""
    tasks = _write_tasks(questions, work)
    from polylm_core.stages.evaluate.benchmarks.engine import Engine  # seconds of imports

    results = run_tasks(Engine(loaded), work, list(tasks), seed=0)
    rows = [_choice(sample) for task in tasks for sample in results["samples"][task]]
    return rows, _harness_scores(tasks, results["results"])


def _write_tasks(questions: Sequence[dict[str, Any]], work: Path) -> dict[str, str]:
    """Write the harness's files afresh; returns the language of each task."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    template = resources.files(__package__).joinpath("tasks", TEMPLATE)
    (work / TEMPLATE).write_bytes(template.read_bytes())
    tasks = {}
    for language in dict.fromkeys(question["language"] for question in questions):
        task = f"{SUITE}_{language}"
        lines = [json.dumps(row) for row in questions if row["language"] == language]
        (work / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        kwargs = {
            "data_files": {"test": str(work / f"{task}.jsonl")},
            "cache_dir": str(work / "datasets"),
        }
        content = {"include": TEMPLATE, "task": task, "dataset_kwargs": kwargs}
        (work / f"{task}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        tasks[task] = language
    return tasks


def _choice(sample: dict[str, Any]) -> Choice:
    question = sample["doc"]
    return Choice(
        language=question["language"],
        id=question["id"],
        source=question["source"],
        choices=tuple(question["choices"]),
        answer=question["answer"],
        log_likelihoods=tuple(round(float(value), 4) for value, _ in sample["filtered_resps"]),
        acc=bool(sample["acc"]),
        acc_norm=bool(sample["acc_norm"]),
    )


def _harness_scores(tasks: dict[str, str], results: dict[str, Any]) -> list[HarnessScore]:
    return [
        HarnessScore(
            language=language,
            metric=metric,
            value=float(results[task][f"{metric},none"]),
            standard_error=float(results[task][f"{metric}_stderr,none"]),
            items=int(results[task]["sample_len"]),
        )
        for task, language in tasks.items()
        for metric in METRICS
    ]


def score_choices(harness: Sequence[HarnessScore]) -> list[Score]:
    """The harness's accuracies by language and pooled, with its standard errors.

    The interval is Wilson's: the harness's standard error is zero where all or none are right.
    """
    scores: list[Score] = []
    for metric in METRICS:
        rows = [row for row in harness if row.metric == metric]
        for row in rows:
            scores.append(_score(metric, row.language, row.value, row.items))
            scores.append(
                Score(
                    "base",
                    SUITE,
                    f"{metric}_stderr",
                    row.language,
                    row.standard_error,
                    None,
                    None,
                    row.items,
                    None,
                )
            )
        items = sum(row.items for row in rows)
        pooled = sum(row.value * row.items for row in rows) / items
        scores.append(_score(metric, ALL_LANGUAGES, pooled, items))
    return scores


def _score(metric: str, language: str, value: float, items: int) -> Score:
    low, high = wilson(value * items, items)
    return judged(Score("base", SUITE, metric, language, value, low, high, items, CHANCE))
