"""`curate`: documents and pairs that are worth training on, and a share kept for evaluation.

In: a DocumentSet. Out: a ShardSet. The order of PolyLM §3.1 (language identification, rules,
duplicates) between a repair of lines and the split of the held-out share, which comes late so that
what is held out is as clean as what is trained on. Whatever is left out has a reason, by language,
in `drops.parquet` (each item) and `attrition.parquet` (the sums).
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polylm_core.artifacts import DocumentSet, ShardSet, partial_folder
from polylm_core.errors import StageError
from polylm_core.languages import get_language
from polylm_core.records import write_table
from polylm_core.stages.base import StageRun
from polylm_core.stages.curate.config import CurateConfig
from polylm_core.stages.curate.ledger import (
    ATTRITION_SCHEMA,
    DROP_SCHEMA,
    FILTERS,
    Attrition,
)
from polylm_core.stages.curate.units import (
    ENGLISH,
    Outcome,
    Unit,
    decontaminate_language,
    filter_language,
    held_out_index,
)
from polylm_core.storage import no_space_named

Outcomes = Mapping[str, Outcome]
"""What each language's units counted."""


def curate(config: CurateConfig, documents: DocumentSet, run: StageRun) -> ShardSet:
    """Filter, deduplicate, split and decontaminate; publish a ShardSet.

    Raises StageError when a language of the recipe ends without documents, naming the filter that
    took the last one, or without enough held-out text.
    """
    _require_known(config)
    scratch = run.work / "curate"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "drops").mkdir(parents=True)
    partial = partial_folder(run.out)
    units = _plan(config, documents, run, scratch, partial)
    filtered = _run_units(run, "filter", filter_language, units)
    _require_held_out(config, run.languages, filtered)
    english = held_out_index(
        replace(units[0], language=ENGLISH), sorted(unit.language for unit in units)
    )
    cleaned = _run_units(
        run, "decontaminate", functools.partial(decontaminate_language, english=english), units
    )
    outcomes = {
        language: filtered[language].followed_by(cleaned[language]) for language in sorted(filtered)
    }
    _require_documents(run.languages, outcomes)
    with no_space_named(partial):
        _write_drops(partial, scratch, sorted(outcomes))
        rows = [row for outcome in outcomes.values() for row in outcome.attrition]
        write_table(partial / "attrition.parquet", rows, ATTRITION_SCHEMA)
    _tell(run, outcomes)
    shards = run.publish(
        ShardSet,
        partial,
        config,
        inputs={"ingest": documents},
        counts={language: outcome.counts for language, outcome in outcomes.items()},
    )
    shutil.rmtree(scratch)
    return shards


def _require_known(config: CurateConfig) -> None:
    """Raise UnknownLanguageError for a code of the params that is not in the registry."""
    identify, rules = config.identify, config.rules
    relatives = [code for codes in identify.also_accepted.values() for code in codes]
    for code in (
        *identify.min_confidence_by_language,
        *identify.also_accepted,
        *relatives,
        *rules.by_language,
        *rules.stop_words,
    ):
        get_language(code)


def _plan(
    config: CurateConfig, documents: DocumentSet, run: StageRun, scratch: Path, partial: Path
) -> list[Unit]:
    """One unit a language, the largest first, so that no worker ends long after the others."""
    sizes: dict[str, int] = {}
    for name, entry in documents.manifest.files.items():
        language = Path(name).stem
        sizes[language] = sizes.get(language, 0) + entry.bytes
    return [
        Unit(language, run.seed, config, documents.path, scratch, partial)
        for language in sorted(sizes, key=lambda language: (-sizes[language], language))
    ]


def _run_units(
    run: StageRun, step: str, function: Callable[[Unit], Outcome], units: Sequence[Unit]
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    with run.progress.track(f"curate: {step}", total=len(units), noun="languages") as tracker:
        for unit, outcome in zip(units, run.backend.map(function, units), strict=True):
            outcomes[unit.language] = outcome
            tracker.advance(note=unit.language)
    return outcomes


def _require_held_out(config: CurateConfig, languages: Iterable[str], outcomes: Outcomes) -> None:
    for language in languages:
        outcome = outcomes.get(language)
        if outcome is None or not outcome.counts.get("documents_filtered"):
            raise _no_documents(language, outcome)
        seen = outcome.counts["document_bytes_held_out"]
        if seen < config.held_out.min_bytes:
            raise StageError(
                f"curate: {language} has {seen:,} bytes of held-out text, "
                f"curate.held_out.min_bytes asks for {config.held_out.min_bytes:,}; "
                f"raise curate.held_out.share (now {config.held_out.share}) or add text"
            )


def _require_documents(languages: Iterable[str], outcomes: Outcomes) -> None:
    for language in languages:
        if not outcomes[language].counts["documents_kept"]:
            raise _no_documents(language, outcomes[language])


def _no_documents(language: str, outcome: Outcome | None) -> StageError:
    """The error for a language without training documents, naming the filter that took the last."""
    dropped = [row for row in outcome.attrition if row.kind == "documents"] if outcome else []
    if not dropped:
        what = "it has none" if outcome is None else "all are held out"
        return StageError(f"curate: {language} has no document to train on, {what}; add text")
    last = max(dropped, key=lambda row: FILTERS.index(row.filter)).filter
    reasons = ", ".join(f"{row.reason} {row.items}" for row in dropped if row.filter == last)
    return StageError(
        f"curate: {language} has no document left after filter {last!r} ({reasons}); "
        f"loosen its thresholds in the params section `curate`, or add text"
    )


def _write_drops(partial: Path, scratch: Path, languages: Sequence[str]) -> None:
    parts = [
        pq.read_table(scratch / "drops" / f"{step}-{language}.parquet", schema=DROP_SCHEMA)
        for language in languages
        for step in ("filter", "decontaminate")
    ]
    table = pa.concat_tables(parts).combine_chunks().cast(DROP_SCHEMA)
    pq.write_table(table, partial / "drops.parquet", compression="zstd", compression_level=9)


def _tell(run: StageRun, outcomes: Outcomes) -> None:
    rows = [
        {"language": language, **outcomes[language].counts}
        for language in (*run.languages, *sorted(outcomes.keys() - set(run.languages)))
    ]
    run.progress.table("curate-languages", rows, "What curate kept and held out, by language")
    sums: dict[tuple[str, str, str], tuple[int, int]] = {}
    for row in _attrition(outcomes):
        items, size = sums.get((row.kind, row.filter, row.reason), (0, 0))
        sums[row.kind, row.filter, row.reason] = (items + row.items, size + row.bytes)
    reasons = [
        {"kind": kind, "filter": filter_, "reason": reason, "items": items, "bytes": size}
        for (kind, filter_, reason), (items, size) in sorted(sums.items())
    ]
    run.progress.table("curate-reasons", reasons, "What curate left out, by reason")


def _attrition(outcomes: Outcomes) -> Iterable[Attrition]:
    for outcome in outcomes.values():
        yield from outcome.attrition
