"""Score the finished models: compression, translation, answers and a harness task.

In: the base and the chat model, held-out documents, pairs and instructions. Out: `scores.parquet`
and `predictions/`, from which every score but the harness's can be computed again. Nothing here
was trained on: `curate` holds the documents and pairs out, and `instruct` asks about those pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from polylm_core.artifacts import (
    BaseModelFolder,
    ChatModelFolder,
    InstructionSet,
    Scores,
    ShardSet,
    TokenSet,
    partial_folder,
)
from polylm_core.errors import StageError
from polylm_core.records import write_table
from polylm_core.stages.base import StageRun
from polylm_core.stages.evaluate.answers import score_answers
from polylm_core.stages.evaluate.benchmarks.find import FoundSet
from polylm_core.stages.evaluate.benchmarks.suite import (
    Benchmarked,
    find_benchmarks,
    pinned,
    run_benchmarks,
)
from polylm_core.stages.evaluate.benchmarks.tasks import asked_items
from polylm_core.stages.evaluate.choice import score_choices
from polylm_core.stages.evaluate.compression import score_compression
from polylm_core.stages.evaluate.config import EvaluateConfig
from polylm_core.stages.evaluate.confusion import score_confusion
from polylm_core.stages.evaluate.inputs import models_of, require_one_run
from polylm_core.stages.evaluate.judging.questions import QuestionSet, read_questions
from polylm_core.stages.evaluate.judging.suite import Judged, run_judge
from polylm_core.stages.evaluate.overlap import Overlapped, evaluated_items, measure_overlap
from polylm_core.stages.evaluate.tables import (
    ALL_LANGUAGES,
    ANSWER_SCHEMA,
    CHOICE_SCHEMA,
    CONTAMINATED_SCHEMA,
    DOCUMENT_SCORE_SCHEMA,
    JUDGEMENT_SCHEMA,
    PREDICTION_SCHEMA,
    SCORE_SCHEMA,
    TRANSLATION_SCHEMA,
    Score,
)
from polylm_core.stages.evaluate.translation import score_translations
from polylm_core.stages.evaluate.units import Outcome, Setting, Unit, run_unit
from polylm_core.storage import no_space_named

ENGLISH = "eng_Latn"


@dataclass(frozen=True)
class Further:
    """What was found beside the units."""

    benchmarked: Benchmarked
    judged: Judged
    overlapped: Overlapped

    @property
    def scores(self) -> list[Score]:
        """All of its scores."""
        parts = (self.benchmarked.scores, self.judged.scores, self.overlapped.scores)
        return [score for part in parts for score in part]


def evaluate(
    config: EvaluateConfig,
    base: BaseModelFolder,
    chat: ChatModelFolder,
    shards: ShardSet,
    tokens: TokenSet,
    instructions: InstructionSet,
    run: StageRun,
) -> Scores:
    """Score both models; raises ArtifactError or StageError if they cannot be scored."""
    require_one_run(base, chat, shards, tokens, instructions)
    found = find_benchmarks(config.benchmarks, run)
    questions = read_questions(config.judge, run.benchmark_locations) if config.judge else None
    setting = Setting(
        config=config,
        seed=run.seed,
        models=models_of(config.adapter, base, chat),
        held_out=shards.path / "held_out",
        instructions=instructions.path / "held_out.parquet",
        work=run.work,
    )
    units = list(_units(run))
    outcomes = _run_units(setting, units, run)
    further = _further(setting, outcomes, found, questions, (shards, instructions), run)
    scores = [*_scores(config, outcomes, run.seed), *further.scores]
    folder = partial_folder(run.out)
    with no_space_named(folder):
        _write(folder, scores, outcomes, further)
    _show(run, scores)
    return run.publish(
        Scores,
        folder,
        config,
        inputs={made.stage: made for made in (base, chat, shards, tokens, instructions)},
        counts=_counts(units, outcomes, scores, further),
        pinned=pinned(found),
    )


def _run_units(setting: Setting, units: Sequence[Unit], run: StageRun) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with run.progress.track("evaluate", len(units), "units") as tracker:
        for unit, outcome in zip(
            units, run.backend.map(partial(run_unit, setting), units), strict=True
        ):
            outcomes.append(outcome)
            tracker.advance(note=unit.name)
    return outcomes


def _further(
    setting: Setting,
    outcomes: Sequence[Outcome],
    found: Sequence[FoundSet],
    questions: QuestionSet | None,
    trained_on: tuple[ShardSet, InstructionSet],
    run: StageRun,
) -> Further:
    """What is asked beside the units, where the recipe has it, and what of all that is known."""
    config, benchmarked, judged = setting.config, Benchmarked(), Judged()
    if config.benchmarks is not None:
        samples = config.bootstrap_samples
        benchmarked = run_benchmarks(config.benchmarks, found, setting.models, run, samples=samples)
    if config.judge is not None and questions is not None:
        judged = run_judge(config, config.judge, questions, setting.models["chat"], run)
    items = evaluated_items(
        config.contamination,
        [row for outcome in outcomes for row in outcome.answers],
        [row for outcome in outcomes for row in outcome.translations],
        asked_items(config.benchmarks, found, seed=run.seed),
    )
    overlapped = measure_overlap(config.contamination, items, *trained_on, run)
    return Further(benchmarked, judged, overlapped)


def _units(run: StageRun) -> Iterator[Unit]:
    """All units, the longest first so that workers end together."""
    foreign = tuple(language for language in run.languages if language != ENGLISH)
    if not foreign:
        raise StageError(
            f"`languages` is {', '.join(run.languages)} alone: there is nothing to translate; "
            "add a language"
        )
    yield Unit("translation_choice", "base", foreign)
    yield Unit("answers", "chat")
    for language in foreign:
        yield Unit("translation", "chat", (language,))
    for language in run.languages:
        yield Unit("bits_per_byte", "base", (language,))
        yield Unit("bits_per_byte", "chat", (language,))


def _scores(config: EvaluateConfig, outcomes: Sequence[Outcome], seed: int) -> list[Score]:
    samples = config.bootstrap_samples
    documents = [row for outcome in outcomes for row in outcome.documents]
    translations = [row for outcome in outcomes for row in outcome.translations]
    answers = [row for outcome in outcomes for row in outcome.answers]
    harness = [row for outcome in outcomes for row in outcome.harness]
    return [
        *score_compression(documents, samples=samples, seed=seed),
        *score_translations(translations, samples=samples, seed=seed),
        *score_answers(answers, samples=samples, seed=seed),
        *score_choices(harness),
        *score_confusion(answers, translations),
    ]


def _write(
    folder: Path,
    scores: Sequence[Score],
    outcomes: Sequence[Outcome],
    further: Further,
) -> None:
    write_table(folder / "scores.parquet", scores, SCORE_SCHEMA)
    predictions = folder / "predictions"
    for name, schema in (
        ("documents", DOCUMENT_SCORE_SCHEMA),
        ("translations", TRANSLATION_SCHEMA),
        ("answers", ANSWER_SCHEMA),
        ("choices", CHOICE_SCHEMA),
    ):
        rows = [row for outcome in outcomes for row in getattr(outcome, name)]
        write_table(predictions / f"{name}.parquet", rows, schema)
    for name, found, schema in (
        ("benchmarks", further.benchmarked.predictions, PREDICTION_SCHEMA),
        ("judgements", further.judged.judgements, JUDGEMENT_SCHEMA),
        ("contaminated", further.overlapped.items, CONTAMINATED_SCHEMA),
    ):
        if found:
            write_table(predictions / f"{name}.parquet", found, schema)


def _show(run: StageRun, scores: Sequence[Score]) -> None:
    rows = [
        {
            "suite": score.suite,
            "model": score.model,
            "metric": score.metric,
            "language": score.language or "all",
            "value": round(score.value, 4),
            "95 % interval": _interval(score),
            "baseline": "" if score.baseline is None else round(score.baseline, 4),
            "verdict": score.verdict,
            "items": score.items,
        }
        for score in scores
    ]
    run.progress.table("evaluate-scores", rows, "Scores on held-out text, 95 % intervals")


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return ""
    return f"{score.low:.4f} to {score.high:.4f}"


def _counts(
    units: Sequence[Unit],
    outcomes: Sequence[Outcome],
    scores: Sequence[Score],
    further: Further,
) -> dict[str, dict[str, int | float]]:
    """What was scored and passed over, with the scores over all languages."""
    too_long: dict[str, int | float] = {}
    for unit, outcome in zip(units, outcomes, strict=True):
        too_long[unit.suite] = too_long.get(unit.suite, 0) + outcome.too_long
    return {
        "items": {
            "documents": sum(len(outcome.documents) for outcome in outcomes),
            "translations": sum(len(outcome.translations) for outcome in outcomes),
            "answers": sum(len(outcome.answers) for outcome in outcomes),
            "choices": sum(len(outcome.choices) for outcome in outcomes),
            "benchmarks": len(further.benchmarked.predictions),
            "judgements": len(further.judged.judgements),
        },
        "too_long": {**too_long, "judge": further.judged.too_long},
        "unrated": dict(further.judged.failures),
        "cut": dict(further.benchmarked.cut),
        "overall": {
            f"{score.model}/{score.suite}/{score.metric}": round(score.value, 4)
            for score in scores
            if score.language == ALL_LANGUAGES
        },
    }
