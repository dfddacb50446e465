"""The first step of curate: what a document can be asked alone, part by part of the input.

In: one part of a DocumentSet. Out: for each language the documents that passed opt-outs, repair,
identification and rules, personal data masked, with what the later steps ask about all documents
together: hashes of the text, signatures, whether it is held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core import pii
from polylm_core.hashing import NO_HASHES, Hashes
from polylm_core.languages import ENGLISH, get_language
from polylm_core.minhash import shingles, signatures
from polylm_core.records import DOCUMENT_SCHEMA, read_batches
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.curate import identify, opt_out
from polylm_core.stages.curate.collector import Collector
from polylm_core.stages.curate.held_out import held_out_flags
from polylm_core.stages.curate.ledger import Kind, Ledger
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.models import identifier_of, quality_scores
from polylm_core.stages.curate.repair import FILTER as REPAIR
from polylm_core.stages.curate.repair import REASONS as REPAIR_REASONS
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rows import Rows, lines_of
from polylm_core.stages.curate.rules import FILTER as RULES
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.scratch import Setting, write_prepared
from polylm_core.storage import no_space_named
from polylm_core.tokens import Tokens, tokenise

Verdicts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrepareUnit:
    """One part of the input: documents, or pairs."""

    number: int
    part: Path
    setting: Setting


def prepare(unit: PrepareUnit) -> Ledger:
    """Prepare one part of the documents, or find it finished; returns its books."""

    def collect() -> Collector:
        preparation = Preparation(unit.setting)
        for batch in read_batches(unit.part, DOCUMENT_SCHEMA):
            preparation.add(batch)
        return preparation.collector

    return once(unit, "documents", collect)


def once(unit: PrepareUnit, kind: Kind, collect: Callable[[], Collector]) -> Ledger:
    """Collect and write what a part holds unless that is done; returns its books."""
    setting = unit.setting
    marker = setting.scratch / f"{kind}-{unit.number:06d}.json"
    finished = read_marker(marker)
    if finished is not None:
        return Ledger.from_json(finished)
    with no_space_named(setting.scratch):
        collector = collect()
        files = _write_collected(collector, setting, kind, unit.number)
        write_marker(marker, files, collector.ledger.to_json())
    return collector.ledger


def _write_collected(collector: Collector, setting: Setting, kind: Kind, number: int) -> list[Path]:
    """Write what a unit kept and left out, by language; returns the files."""
    files = []
    for language in sorted(collector.rows.keys() | collector.drops.keys()):
        folder = setting.prepared(kind, language) / f"{number:06d}"
        rows, drops = collector.sorted_rows(language), collector.sorted_drops(language)
        files += write_prepared(folder, rows, drops)
    return files


class Preparation:
    """The documents of one unit on their way through the filters."""

    def __init__(self, setting: Setting) -> None:
        self.collector = Collector()
        self._setting, self._config = setting, setting.config
        self._identifier = identifier_of(setting)
        self._english: Hashes = NO_HASHES
        if self._config.min_copied_letters is not None:
            self._english = np.load(setting.english_lines, mmap_mode="r")

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in some rows of a DocumentSet."""
        claims = np.array(batch.column("language").to_pylist(), object)
        for claim in sorted(set(claims)):
            rows = Rows.of(claim, batch.take(pa.array(np.flatnonzero(claims == claim))))
            known = [rows]
            if not claim:
                known = identify.assign(
                    rows, self._identifier, self._setting.languages, self._config.identify
                )
            for each in known:
                self._language(each)

    def _language(self, rows: Rows) -> None:
        """Ask documents of one language everything that they can be asked alone."""
        config, language = self._config, rows.language
        refused = opt_out.verdicts(rows, config.opt_out)
        rows = self.collector.keep(rows, opt_out.FILTER, refused, opt_out.REASONS)
        if language not in self._setting.languages:
            outside = np.full(len(rows), identify.OUTSIDE)
            self.collector.keep(rows, identify.FILTER, outside, identify.REASONS)
            return
        rows = self._repaired(rows)
        found = identify.verdicts(rows.texts, language, self._identifier, config.identify)
        rows = self.collector.keep(rows, identify.FILTER, found, identify.REASONS)
        rows = self._without_foreign_lines(rows)
        if config.mask_personal_data:
            rows = masked(rows, self.collector.ledger)
        judge = judge_of(get_language(language), config.rules)
        tokens = tokenise(rows.texts, are_words=get_language(language).words == "spaces")
        objections = judge.verdicts(judge.measures(rows.texts, tokens, rows.extra))
        rows = self._signed(rows, tokens)
        rows = self.collector.keep(rows, RULES, objections, judge.reasons)
        self.collector.add(rows.knowing(quality=quality_scores(rows, self._setting)))

    def _repaired(self, rows: Rows) -> Rows:
        raw = rows.texts
        english = NO_HASHES if rows.language == ENGLISH else self._english
        repaired = repair(
            raw,
            are_words=get_language(rows.language).words == "spaces",
            max_word_characters=self._config.max_word_characters,
            english_lines=english,
            min_copied_letters=self._config.min_copied_letters or 0,
        )
        for reason, name in enumerate(REPAIR_REASONS):
            documents, _, starts, ends = repaired.left_out[repaired.left_out[:, 1] == reason].T
            lines = lines_of(rows, documents, starts, ends, raw)
            self.collector.ledger.record_dropped(lines, REPAIR, name)
        empty = np.where(repaired.texts.sizes == 0, 0, -1)
        rows = rows.with_texts(repaired.texts).knowing(**repaired.shares)
        return self.collector.keep(rows, REPAIR, empty, ("empty",), raw.sizes)

    def _without_foreign_lines(self, rows: Rows) -> Rows:
        if self._config.identify.foreign_lines is None:
            return rows
        lines = Lines(rows.texts)
        flags = identify.foreign_lines(
            lines, rows.language, self._identifier, self._config.identify
        )
        where = (lines.documents[flags], lines.starts[flags], lines.ends[flags])
        left_out = lines_of(rows, *where, rows.texts)
        self.collector.ledger.record_dropped(left_out, identify.FOREIGN_LINES, "other-language")
        before, rows = rows.texts.sizes, rows.with_texts(lines.without(flags))
        empty = np.where(rows.texts.sizes == 0, 0, -1)
        return self.collector.keep(rows, identify.FOREIGN_LINES, empty, ("empty",), before)

    def _signed(self, rows: Rows, tokens: Tokens) -> Rows:
        near = self._config.near_duplicates
        are_words = get_language(rows.language).words == "spaces"
        length = near.shingle_words if are_words else near.shingle_characters
        hashed, offsets = shingles(tokens, length)
        found, bands = signatures(hashed, offsets, bands=near.bands, rows=near.rows)
        ids = rows.columns.column("id").to_pylist()
        return rows.forgetting().knowing(
            exact=text_hashes(rows),
            signatures=found,
            bands=bands,
            shingles=np.diff(offsets),
            held_out=held_out_flags(ids, self._setting.seed, self._config.held_out),
        )


def masked(rows: Rows, ledger: Ledger) -> Rows:
    """The rows with placeholders for personal data."""
    texts, counts = pii.masked(rows.texts, rows.language)
    ledger.record_masked(rows.language, rows.kind, counts)
    return rows.with_texts(texts)


def text_hashes(rows: Rows) -> npt.NDArray[np.uint64]:
    """128-bit hashes of the texts, uint64[rows, 2]: so many that equal ones mean equal texts."""
    values, offsets = rows.texts.values, rows.texts.offsets
    digests = b"".join(
        hashlib.blake2b(values[start:end].data, digest_size=16).digest()
        for start, end in pairwise(offsets)
    )
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)
