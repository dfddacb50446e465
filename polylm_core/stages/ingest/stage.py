"""`ingest`: raw sources become documents and sentence pairs, and nothing is changed on the way.

In: the sources the params declare. Out: a DocumentSet: by source its documents, its pairs with
English, and `skipped.parquet` with samples of what was no document. Text is as the source has it;
cleaning, and the reasons for leaving a document out, belong to `curate`.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polylm_core.artifacts import DocumentSet, partial_folder
from polylm_core.errors import SourceError
from polylm_core.languages import get_language
from polylm_core.records import part_file, write_table
from polylm_core.restart import code_identity
from polylm_core.stages.base import StageRun
from polylm_core.stages.ingest.config import IngestConfig, Source, is_evaluation
from polylm_core.stages.ingest.declared import Declared
from polylm_core.stages.ingest.package import Package
from polylm_core.stages.ingest.plan import Plan, make_plan
from polylm_core.stages.ingest.skipped import SAMPLES_PER_SOURCE, SKIPPED_SCHEMA, Skipped
from polylm_core.stages.ingest.tables import KINDS
from polylm_core.stages.ingest.unit import Result, Unit, parts_of, read_unit
from polylm_core.storage import fingerprint, link_or_copy, no_space_named

READERS = ("pyarrow", "orjson", "fastwarc", "lxml", "mwparserfromhell", "trafilatura")
"""Libraries that decide what a file says."""
COUNTED = ("documents", "document_bytes", "pairs", "pair_drops", "skipped")


@dataclass(slots=True)
class Tally:
    """What one source has."""

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in COUNTED}
    )
    samples: list[Skipped] = field(default_factory=list)
    sampled: Counter[str] = field(default_factory=Counter)
    sha256s: dict[str, str] = field(default_factory=dict)
    num_parts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """A message for each broken file."""

    def add(self, result: Result) -> None:
        """Count one unit of the source."""
        for name, counter in self.counts.items():
            counter.update(getattr(result, name))
        self.sha256s |= result.sha256s
        self.broken += result.broken
        for sample in result.samples:
            if self.sampled[sample.reason] < SAMPLES_PER_SOURCE:
                self.sampled[sample.reason] += 1
                self.samples.append(sample)


def ingest(config: IngestConfig, sources: Path, run: StageRun) -> DocumentSet:
    """Read the sources and publish a DocumentSet.

    A source lies where the profile says (`run.source_locations`), otherwise in its folder of
    `sources`. Raises UnknownLanguageError for a code outside the registry, and SourceError naming
    the file that is not as declared, or the language that no source has text in.
    """
    for code in (*run.languages, *(config.pair_languages or ())):
        get_language(code)
    work = run.work / "units" / code_identity("ingest", *READERS)
    plan = make_plan(config, sources, run, work)
    partial = partial_folder(run.out)
    tallies: dict[str, Tally] = {name: Tally() for name in sorted(config.sources)}
    with run.progress.track("ingest", total=len(plan.units), noun="files") as tracker:
        for unit, result in zip(plan.units, run.backend.map(read_unit, plan.units), strict=True):
            tally = tallies[unit.source]
            tally.add(result)
            _require_sound(unit, tally)
            _take_parts(unit, result, tally, partial)
            tracker.advance(note=unit.source)
    _require_text(config, run.languages, tallies)
    samples = [sample for tally in tallies.values() for sample in tally.samples]
    with no_space_named(partial):
        write_table(partial / "skipped.parquet", samples, SKIPPED_SCHEMA)
    _tell(config, run, tallies)
    made = _publish(config, run, partial, plan, tallies)
    shutil.rmtree(run.work / "units")
    return made


def _require_sound(unit: Unit, tally: Tally) -> None:
    declared = unit.declared
    allowed = declared.max_broken_files if isinstance(declared, Declared) else 0
    number = len(tally.broken)
    if number > allowed:
        also = f" ({number} broken files of {unit.source})" if number > 1 else ""
        raise SourceError(
            f"{tally.broken[allowed]}{also}; fetch the file again or take it out of the params, or "
            f"declare a tolerance: `max_broken_files` or `max_broken_share` of {unit.source}"
        )


def _take_parts(unit: Unit, result: Result, tally: Tally, partial: Path) -> None:
    """Put a unit's parts after those before it, without moving them out of the work folder."""
    for kind in KINDS:
        for part in parts_of(unit, result, kind):
            folder = partial / _folder(kind, unit.declared) / unit.source
            target = part_file(folder, tally.num_parts[kind])
            tally.num_parts[kind] += 1
            target.parent.mkdir(parents=True, exist_ok=True)
            with no_space_named(target):
                link_or_copy(str(part), str(target))


def _folder(kind: str, source: Source | Package) -> str:
    """Where documents or pairs of a source lie: evaluation sets are apart."""
    return f"evaluation/{kind}" if is_evaluation(source) else kind


def _require_text(
    config: IngestConfig, languages: Sequence[str], tallies: Mapping[str, Tally]
) -> None:
    if config.document_languages() is None:
        return  # which languages there are is for `curate` to find out
    counted: Counter[str] = sum(
        (
            tally.counts["documents"]
            for name, tally in tallies.items()
            if not is_evaluation(config.sources[name])
        ),
        Counter(),
    )
    silent = [code for code in languages if not counted[code]]
    if silent:
        raise SourceError(
            f"every line is empty in {', '.join(silent)}; add a source or take the language out"
        )


def _publish(
    config: IngestConfig, run: StageRun, partial: Path, plan: Plan, tallies: Mapping[str, Tally]
) -> DocumentSet:
    identities = {
        name: plan.packages[name].fingerprint
        if name in plan.packages
        else fingerprint([config.sources[name].model_dump(mode="json"), tally.sha256s])
        for name, tally in tallies.items()
    }

    def counted(name: str, *, evaluation: bool) -> dict[str, dict[str, int]]:
        return {
            source: dict(sorted(tally.counts[name].items()))
            for source, tally in tallies.items()
            if tally.counts[name] and is_evaluation(config.sources[source]) == evaluation
        }

    counts: dict[str, Any] = {name: counted(name, evaluation=False) for name in COUNTED}
    for name in ("documents", "pairs"):
        counts[f"evaluation_{name}"] = counted(name, evaluation=True)
    return run.publish(
        DocumentSet,
        partial,
        config,
        inputs={},
        pinned={"sources": fingerprint(identities)},
        counts={**counts, "licenses": dict(plan.licenses), "source_fingerprints": identities},
    )


def _tell(config: IngestConfig, run: StageRun, tallies: Mapping[str, Tally]) -> None:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for name, tally in tallies.items():
        if is_evaluation(config.sources[name]):
            continue
        for column, name in (
            ("documents", "documents"),
            ("bytes", "document_bytes"),
            ("pairs", "pairs"),
        ):
            for language, number in tally.counts[name].items():
                rows[language][column] += number
    table = [
        {"language": language, **{name: row[name] for name in ("documents", "bytes", "pairs")}}
        for language, row in sorted(rows.items())
    ]
    run.progress.table("ingest-languages", table, "What the sources hold, by language")
    skips = [
        {"source": source, "reason": reason, "records": number}
        for source, tally in tallies.items()
        for reason, number in sorted(tally.counts["skipped"].items())
    ]
    if skips:
        run.progress.table("ingest-skipped", skips, "What became no document, by source and reason")
