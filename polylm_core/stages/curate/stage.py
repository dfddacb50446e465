"""`curate`: documents and pairs that are worth training on, and a share kept for evaluation.

In: a DocumentSet. Out: a ShardSet. The order of PolyLM §3.1 (language identification, rules,
models, duplicates) between a repair of lines and the removal of what would give the evaluation
away. Three steps, each a map over units that a killed stage does not do again: `prepare` (a part of
the input), `decide` (a language), `finish` (a part of the output). Whatever is left out has a
reason, by language.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from polylm_core.artifacts import DocumentSet, ShardSet, partial_folder
from polylm_core.languages import ENGLISH, UNDETERMINED, get_language
from polylm_core.restart import code_identity
from polylm_core.stages.base import StageRun
from polylm_core.stages.curate.books import write_books
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.decide import DecideUnit, decide
from polylm_core.stages.curate.evaluation import IndexUnit, build_language_index
from polylm_core.stages.curate.finish import Finished, FinishUnit, Split, finish, plan_parts
from polylm_core.stages.curate.gate import (
    require_documents,
    require_held_out,
    require_prepared,
    require_shares,
)
from polylm_core.stages.curate.ledger import Kind, Ledger
from polylm_core.stages.curate.models import TrainingUnit, fetch_models, train_model
from polylm_core.stages.curate.pairs import prepare_pairs
from polylm_core.stages.curate.prepare import PrepareUnit, prepare
from polylm_core.stages.curate.scratch import (
    Setting,
    list_prepared,
    prepared_languages,
)
from polylm_core.stages.curate.survey import SurveyUnit, merge_lines, survey
from polylm_core.storage import link_or_copy, no_space_named

Unit = TypeVar("Unit")
Done = TypeVar("Done")

LIBRARIES = ("babel", "fasttext-predict", "numba", "numpy", "phonenumbers", "pyarrow")
"""Libraries that decide what a unit writes."""
KINDS: tuple[Kind, ...] = ("documents", "pairs")


def curate(config: CurateConfig, documents: DocumentSet, run: StageRun) -> ShardSet:
    """Filter, deduplicate, split and decontaminate; publish a ShardSet.

    Raises StageError when a language of the recipe ends without documents, naming the filter that
    took the last one, or without enough held-out text, and when a filter takes more of a language
    than `max_drop_share` allows.
    """
    _require_known(config)
    work = run.work / "curate"
    setting = Setting(config, run.seed, run.languages, work / code_identity("curate", *LIBRARIES))
    setting.scratch.mkdir(parents=True, exist_ok=True)
    fetch_models(setting, run.source_locations)
    _train_models(setting, documents, run)
    _survey(setting, documents, run)
    books = _prepare(setting, documents, run)
    require_shares(config, run.languages, books)
    require_prepared(run.languages, books)
    _decide(setting, run)
    held_out = _finish(setting, "held_out", run, books)
    require_held_out(config, run.languages, held_out)
    _index(setting, documents, run)
    train = _finish(setting, "train", run, books)
    require_documents(run.languages, books, train)
    require_shares(config, run.languages, books)
    partial = partial_folder(run.out)
    with no_space_named(partial):
        # Linked, not moved: a stage that is killed from here on still has its finished parts.
        shutil.copytree(setting.shards, partial, copy_function=link_or_copy, dirs_exist_ok=True)
        counts = write_books(setting, books, held_out, train, partial, run.progress)
    shards = run.publish(ShardSet, partial, config, inputs={"ingest": documents}, counts=counts)
    shutil.rmtree(work)
    return shards


def _require_known(config: CurateConfig) -> None:
    """Raise UnknownLanguageError for a code of the params that is not in the registry."""
    identify, rules = config.identify, config.rules
    relatives = [
        code
        for relation in (identify.also_accepted, identify.cousins)
        for codes in relation.values()
        for code in codes
    ]
    for code in (
        *config.quality.by_language,
        *identify.min_confidence_by_language,
        *identify.also_accepted,
        *identify.cousins,
        *relatives,
        *rules.by_language,
        *rules.stop_words,
    ):
        get_language(code)


def _parts(documents: DocumentSet, kind: str) -> list[tuple[Path, int]]:
    """Files of documents or pairs, and their bytes."""
    return [
        (documents.path / name, entry.bytes)
        for name, entry in sorted(documents.manifest.files.items())
        if name.startswith(f"{kind}/")
    ]


def _map(
    run: StageRun, step: str, function: Callable[[Unit], Done], units: Sequence[Unit], noun: str
) -> Iterator[Done]:
    """Yield what each unit gives, in their order, without holding it."""
    with run.progress.track(f"curate: {step}", total=len(units), noun=noun) as tracker:
        for result in run.backend.map(function, units):
            yield result
            tracker.advance()


def _run(
    run: StageRun, step: str, function: Callable[[Unit], None], units: Sequence[Unit], noun: str
) -> None:
    """Run units that give nothing but their files."""
    deque(_map(run, step, function, units, noun), maxlen=0)


def _train_models(setting: Setting, documents: DocumentSet, run: StageRun) -> None:
    parts = tuple(path for path, _ in _parts(documents, "documents"))
    wanted = [code for code in setting.config.quality.by_language if code in run.languages]
    units = [TrainingUnit(language, parts, setting) for language in wanted]
    if units:
        _run(run, "train models of quality", train_model, units, "languages")


def _survey(setting: Setting, documents: DocumentSet, run: StageRun) -> None:
    """Collect the English lines that a line of another language must not equal."""
    if setting.config.min_copied_letters is None:
        return
    sources = documents.counts["documents"]
    units = [
        SurveyUnit(number, path, setting)
        for number, (path, _) in enumerate(_parts(documents, "documents"))
        if {ENGLISH, UNDETERMINED} & sources.get(path.parent.name, {}).keys()
    ]
    merge_lines(list(_map(run, "survey", survey, units, "parts")), setting.english_lines)


def _prepare(setting: Setting, documents: DocumentSet, run: StageRun) -> Ledger:
    books = Ledger()
    texts = [PrepareUnit(n, path, setting) for n, (path, _) in _numbered(documents, "documents")]
    pairs = [PrepareUnit(n, path, setting) for n, (path, _) in _numbered(documents, "pairs")]
    for ledger in _map(run, "prepare documents", prepare, texts, "parts"):
        books.add(ledger)
    for ledger in _map(run, "prepare pairs", prepare_pairs, pairs, "parts"):
        books.add(ledger)
    return books


def _numbered(documents: DocumentSet, kind: str) -> list[tuple[int, tuple[Path, int]]]:
    """Parts with their numbers, the largest first, so that no worker ends long after the others."""
    parts = list(enumerate(_parts(documents, kind)))
    return sorted(parts, key=lambda part: (-part[1][1], part[0]))


def _decide(setting: Setting, run: StageRun) -> None:
    def size(unit: DecideUnit) -> int:
        parts = list_prepared(setting, unit.kind, unit.language)
        return sum(len(part.array("keys")) for part in parts)

    units = [
        DecideUnit(kind, language, setting)
        for kind in KINDS
        for language in prepared_languages(setting, kind)
    ]
    units.sort(key=lambda unit: (-size(unit), unit.kind, unit.language))
    _run(run, "decide", decide, units, "languages")


def _finish(
    setting: Setting, split: Split, run: StageRun, books: Ledger
) -> list[tuple[FinishUnit, Finished]]:
    """Write one split of every language; what its units wrote down goes into the books."""
    units = [
        unit
        for kind in KINDS
        for language in prepared_languages(setting, kind)
        for unit in plan_parts(kind, language, split, setting)
    ]
    found = []
    for unit, done in zip(units, _map(run, f"write {split}", finish, units, "parts"), strict=True):
        books.add(done.ledger)
        found.append((unit, replace(done, ledger=Ledger())))
    return found


def _index(setting: Setting, documents: DocumentSet, run: StageRun) -> None:
    prepared = (code for kind in KINDS for code in prepared_languages(setting, kind))
    languages = sorted({ENGLISH, *prepared})
    evaluation = tuple(path for path, _ in _parts(documents, "evaluation/documents"))
    evaluation_pairs = tuple(path for path, _ in _parts(documents, "evaluation/pairs"))
    units = [IndexUnit(language, evaluation, evaluation_pairs, setting) for language in languages]
    _run(run, "index evaluation text", build_language_index, units, "languages")
