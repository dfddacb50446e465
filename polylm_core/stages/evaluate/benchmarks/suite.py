"""All benchmarks of a recipe: found, asked of each model, scored."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from polylm_core.errors import MachineError, StageError
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.benchmarks import by_token
from polylm_core.stages.evaluate.benchmarks.benchmark_set import Metric
from polylm_core.stages.evaluate.benchmarks.catalogue import SETS
from polylm_core.stages.evaluate.benchmarks.estimates import ESTIMATES
from polylm_core.stages.evaluate.benchmarks.find import FoundSet, find_sets
from polylm_core.stages.evaluate.benchmarks.shards import (
    ModelPlace,
    ShardedModel,
    answer_shards,
)
from polylm_core.stages.evaluate.benchmarks.tasks import Asked, write_tasks
from polylm_core.stages.evaluate.config import BenchmarksConfig
from polylm_core.stages.evaluate.harness import run_tasks
from polylm_core.stages.evaluate.tables import ALL_LANGUAGES, Prediction, Score, judged


@dataclass(frozen=True)
class Benchmarked:
    """What the sets gave."""

    scores: Sequence[Score] = ()
    predictions: Sequence[Prediction] = ()
    cut: Mapping[str, int] = field(default_factory=dict)
    """Prompts by set whose beginning the context of a model did not hold."""


def find_benchmarks(config: BenchmarksConfig | None, run: StageRun) -> list[FoundSet]:
    """Find the files of all sets.

    Raises SourceError that names all sets that are not there, StageError for a set that has none
    of the recipe's languages.
    """
    if config is None:
        return []
    asked = []
    for name, section in config.sets.items():
        benchmark = SETS[name]
        languages = benchmark.codes(section.languages or run.languages)
        if not languages:
            raise StageError(
                f"evaluate.benchmarks.sets.{name}: none of `languages` is in {benchmark.title}; "
                f"state its `languages`, of {', '.join(sorted(benchmark.languages))}"
            )
        asked.append((benchmark, languages))
    return find_sets(asked, run.benchmark_locations)


def pinned(found: Sequence[FoundSet]) -> dict[str, str]:
    """Fingerprints of the sets, for the manifest."""
    return {f"benchmark/{place.benchmark.name}": place.sha256() for place in found}


def run_benchmarks(
    config: BenchmarksConfig,
    found: Sequence[FoundSet],
    models: Mapping[str, ModelPlace],
    run: StageRun,
    *,
    samples: int,
) -> Benchmarked:
    """Ask the sets of the models and score the answers.

    Raises SourceError for a file that cannot be read, StageError where answers do not fit.
    """
    scores: list[Score] = []
    predictions: list[Prediction] = []
    cut: dict[str, int] = defaultdict(int)
    for model in config.models:
        for kind in ("options", "generation"):
            places = [place for place in found if place.benchmark.kind == kind]
            if not places:
                continue
            folder = run.work / "benchmarks" / f"{model}-{kind}"
            asked = write_tasks(config, places, folder, model=model, seed=run.seed)
            lm = _sharded(models[model], run, config if kind == "generation" else None)
            results = run_tasks(
                lm,
                folder,
                [ask.task for ask in asked],
                seed=run.seed,
                # Options stand in running text for both models, as in PolyLM's appendix B.
                chat_template=model == "chat" and kind == "generation",
            )
            rows = {ask.task: _rows(lm, ask, results["samples"][ask.task]) for ask in asked}
            for ask in asked:
                predictions += [_prediction(model, ask, row) for row in rows[ask.task]]
                cut[f"{model}/{ask.benchmark.name}"] += lm.cut.get(ask.task, 0)
            scores += _scores(model, asked, rows, samples=samples, run=run)
    return Benchmarked(scores, predictions, dict(cut))


def _rows(lm: ShardedModel, ask: Asked, samples: Sequence[Any]) -> list[dict[str, Any]]:
    """The harness's samples of a task, once an item, with the metrics that it lacks."""
    wanted = ask.benchmark.answer_filter
    rows = [dict(sample) for sample in samples if not wanted or sample["filter"] == wanted]
    if any(metric.name == by_token.METRIC for metric in ask.benchmark.metrics):
        by_token.add_acc_per_token(lm.tokenizer, rows)
    return rows


def _sharded(place: ModelPlace, run: StageRun, writes: BenchmarksConfig | None) -> Any:
    from transformers import AutoConfig, AutoTokenizer

    context = int(AutoConfig.from_pretrained(place[0]).max_position_embeddings)
    if writes is not None and writes.max_new_tokens >= context:
        raise StageError(
            f"evaluate.benchmarks.max_new_tokens is {writes.max_new_tokens}, the context of "
            f"{place[0].name} {context} tokens; lower it, so that a prompt fits beside the answer"
        )
    tokenizer = AutoTokenizer.from_pretrained(place[0], local_files_only=True)
    return ShardedModel(partial(answer_shards, place, run=run), tokenizer)


def _prediction(model: str, ask: Asked, sample: Mapping[str, Any]) -> Prediction:
    options = ask.benchmark.kind == "options"
    arguments, answers = sample["arguments"], sample["filtered_resps"]
    return Prediction(
        model=model,
        suite=ask.benchmark.name,
        language=ask.language,
        item=int(sample["doc_id"]),
        prompts=tuple(dict.fromkeys(str(given[0]) for given in arguments)),
        options=tuple(str(given[1]) for given in arguments) if options else (),
        log_likelihoods=tuple(float(value) for value, _ in answers) if options else (),
        output="" if options else str(answers[0]),
        target=str(sample["target"]),
        metrics=json.dumps(
            {name: sample[name] for name in sample["metrics"]}, ensure_ascii=False, default=float
        ),
    )


def _scores(
    model: str,
    asked: Sequence[Asked],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    samples: int,
    run: StageRun,
) -> list[Score]:
    """Scores of each set by language, and as the mean of its languages, as the papers have it.

    A metric that cannot be computed on this machine is said to be left out.
    """
    scores = []
    for benchmark in {ask.benchmark.name: ask.benchmark for ask in asked}.values():
        own = [ask for ask in asked if ask.benchmark.name == benchmark.name]
        for metric in benchmark.metrics:
            try:
                languages = [
                    _score(model, ask, metric, rows[ask.task], samples, run.seed) for ask in own
                ]
            except MachineError as error:
                run.progress.say(f"{benchmark.name}: {error}")
                continue
            scores += [judged(score) for score in (*languages, _mean(languages))]
    return scores


def _score(
    model: str,
    ask: Asked,
    metric: Metric,
    rows: Sequence[Mapping[str, Any]],
    samples: int,
    seed: int,
) -> Score:
    values = [row[metric.name] for row in rows]
    value, low, high = ESTIMATES[metric.estimate](values, samples, seed)
    return Score(
        model, ask.benchmark.name, metric.name, ask.language, value, low, high, len(values),
        metric.chance,
    )  # fmt: skip


def _mean(languages: Sequence[Score]) -> Score:
    """The mean over languages, with its interval from theirs (MOVER: Zou and Donner 2008)."""
    first, num = languages[0], len(languages)
    value = sum(score.value for score in languages) / num
    below = sum((score.value - (score.low or 0)) ** 2 for score in languages) ** 0.5 / num
    above = sum(((score.high or 0) - score.value) ** 2 for score in languages) ** 0.5 / num
    items = sum(score.items for score in languages)
    return Score(
        first.model, first.suite, first.metric, ALL_LANGUAGES, value, value - below, value + above,
        items, first.baseline,
    )  # fmt: skip
