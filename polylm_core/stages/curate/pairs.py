"""Aligned pairs: what one pair can be asked, and the rules that need both sides.

A pair is a text of two lines, English first, so that it goes the way of the documents: repair,
identification of each side, duplicates, contamination.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from polylm_core.characters import composed, from_strings
from polylm_core.identify_batch import BatchIdentifier
from polylm_core.languages import ENGLISH
from polylm_core.records import PAIR_SCHEMA, read_batches
from polylm_core.stages.curate import identify, opt_out
from polylm_core.stages.curate.collector import Collector
from polylm_core.stages.curate.config import IdentifyConfig
from polylm_core.stages.curate.held_out import held_out_flags
from polylm_core.stages.curate.ledger import Ledger
from polylm_core.stages.curate.lines import Lines
from polylm_core.stages.curate.models import identifier_of
from polylm_core.stages.curate.prepare import PrepareUnit, masked, once, text_hashes
from polylm_core.stages.curate.repair import FILTER as REPAIR
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rows import COLUMNS, Rows, row_keys
from polylm_core.stages.curate.scratch import Setting
from polylm_core.tokens import STARTS_LINE, tokenise

SIDE_REASONS = ("no-english-side", "empty-side", "no-letters", "copy-of-english")
NO_ENGLISH, EMPTY, NO_LETTERS, COPY = range(4)
LANGUAGE_REASONS = ("other-language-a", "other-language-b")

Verdicts = npt.NDArray[np.int64]


def prepare_pairs(unit: PrepareUnit) -> Ledger:
    """Prepare one part of the pairs, or find it finished; returns its books."""

    def collect() -> Collector:
        collector = Collector()
        identifier = identifier_of(unit.setting)
        for batch in read_batches(unit.part, PAIR_SCHEMA):
            for rows in _by_language(batch):
                _prepare(rows, unit.setting, identifier, collector)
        return collector

    return once(unit, "pairs", collect)


def _by_language(batch: pa.RecordBatch) -> list[Rows]:
    """Pairs of a batch by the language that is not English, English first in each."""
    sides = [batch.column(f"language_{side}").to_pylist() for side in "ab"]
    texts = [batch.column(f"text_{side}").to_pylist() for side in "ab"]
    languages = np.array([b if a == ENGLISH else a for a, b in zip(*sides, strict=True)], object)
    lines = [
        f"{_line(a)}\n{_line(b)}" if language == ENGLISH else f"{_line(b)}\n{_line(a)}"
        for language, a, b in zip(sides[0], *texts, strict=True)
    ]
    whole = from_strings(composed(lines))
    ids = batch.column("id").to_pylist()
    urls = [""] * len(ids)
    named = [batch.column(name) for name in ("id", "source", "license")]
    columns = pa.RecordBatch.from_arrays([*named, pa.array(urls, pa.string())], list(COLUMNS))
    rows = Rows("", columns, row_keys(ids, urls, whole), whole, kind="pairs")
    has_english = [ENGLISH in pair for pair in zip(*sides, strict=True)]
    rows = rows.knowing(has_english=np.array(has_english, np.bool_))
    found = []
    for language in sorted(set(languages)):
        part = rows.where(languages == language)
        found.append(Rows(language, part.columns, part.keys, part.texts, part.extra, kind="pairs"))
    return found


def _line(text: str) -> str:
    return text.replace("\n", " ") if "\n" in text else text


def _prepare(
    rows: Rows, setting: Setting, identifier: BatchIdentifier, collector: Collector
) -> None:
    config = setting.config
    refused = opt_out.verdicts(rows, config.opt_out)
    rows = collector.keep(rows, opt_out.FILTER, refused, opt_out.REASONS)
    repaired = repair(
        rows.texts, are_words=False, max_word_characters=config.max_word_characters
    ).texts
    raw, rows = rows, rows.with_texts(repaired)
    verdicts, letters = _judge_sides(rows, raw)
    rows = collector.keep(
        rows.knowing(letters=letters), REPAIR, verdicts, SIDE_REASONS, raw.texts.sizes
    )
    foreign = _foreign_sides(rows, identifier, config.identify)
    rows = collector.keep(rows, identify.FILTER, foreign, LANGUAGE_REASONS)
    if config.mask_personal_data:
        rows = masked(rows, collector.ledger)
    ids = rows.columns.column("id").to_pylist()
    letters = rows.extra["letters"]
    collector.add(
        rows.forgetting().knowing(
            exact=text_hashes(rows),
            ratio=letters[:, 1] / letters[:, 0],
            longest=letters.max(axis=1, initial=0),
            held_out=held_out_flags(ids, setting.seed, config.held_out),
        )
    )


def _judge_sides(rows: Rows, raw: Rows) -> tuple[Verdicts, npt.NDArray[np.int64]]:
    """Why a pair has no two sides to learn from, and the letters of both, int64[rows, 2]."""
    lines = Lines(rows.texts)
    num_lines = np.bincount(lines.documents, minlength=len(rows))
    letters = np.zeros((len(rows), 2), np.int64)
    whole = num_lines == 2
    letters[whole] = lines.letters[whole[lines.documents]].reshape(-1, 2)
    verdicts = np.full(len(rows), -1, np.int64)
    verdicts[letters.min(axis=1, initial=1) == 0] = NO_LETTERS
    places = np.flatnonzero(whole)
    verdicts[places[_same_wording(rows.take(places))]] = COPY
    verdicts[~whole] = EMPTY
    for row in np.flatnonzero(num_lines == 1):
        a, _, b = raw.texts.text(int(row)).partition("\n")
        if " ".join(a.split()) == " ".join(b.split()):
            verdicts[row] = COPY
    verdicts[~rows.extra["has_english"]] = NO_ENGLISH
    return verdicts, letters


def _same_wording(rows: Rows) -> npt.NDArray[np.bool_]:
    """Whether the two sides are the same words in other case or punctuation."""
    tokens = tokenise(rows.texts, are_words=False)
    starts = np.flatnonzero(tokens.kinds & STARTS_LINE)
    said = np.where(tokens.wordings > 0, tokens.wordings, 0)
    sums = np.add.reduceat(said, starts) if len(starts) else said
    # Sums of hashes are equal for equal sets of characters; those few are compared as they stand.
    same = sums[0::2] == sums[1::2]
    for row in np.flatnonzero(same):
        a, _, b = rows.texts.text(int(row)).partition("\n")
        same[row] = _wording(a) == _wording(b)
    return np.asarray(same, np.bool_)


def _wording(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _foreign_sides(rows: Rows, identifier: BatchIdentifier, config: IdentifyConfig) -> Verdicts:
    lines = Lines(rows.texts)
    verdicts = np.full(len(rows), -1, np.int64)
    for side, language in ((1, rows.language), (0, ENGLISH)):
        if not identifier.knows(language):
            continue
        judged = np.flatnonzero(lines.letters[side::2] >= config.pair_min_characters)
        bounds = (lines.starts[side::2][judged], lines.ends[side::2][judged])
        probable = identifier.probabilities(rows.texts, config.sample_characters, bounds=bounds)
        own = identifier.columns([language, *config.also_accepted.get(language, ())])
        foreign = probable[:, own].sum(axis=1) < config.pair_min_confidence
        verdicts[judged[foreign]] = side
    return verdicts
