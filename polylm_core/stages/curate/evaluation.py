"""What training text is compared with: held-out text and the recipe's evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from polylm_core import pii
from polylm_core.characters import Texts, composed, from_strings
from polylm_core.contamination import build_index
from polylm_core.languages import ENGLISH, get_language
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, list_parts, read_batches
from polylm_core.restart import read_marker, write_marker
from polylm_core.stages.curate.finish import index_file
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.scratch import Setting


@dataclass(frozen=True, slots=True)
class IndexUnit:
    """One language."""

    language: str
    evaluation: tuple[Path, ...]
    """Parts of the evaluation sets, all languages."""
    evaluation_pairs: tuple[Path, ...]
    setting: Setting


def build_language_index(unit: IndexUnit) -> None:
    """Index what must not be trained on in one language, or find it indexed."""
    out = index_file(unit.setting, unit.language)
    marker = out.with_suffix(".json")
    if read_marker(marker) is None:
        settings = unit.setting.config.decontaminate
        index = build_index(
            unit.language,
            _texts(unit),
            ngram_words=settings.ngram_words,
            ngram_characters=settings.ngram_characters,
        )
        index.save(out)
        write_marker(marker, [out], {})


def _texts(unit: IndexUnit) -> Iterator[Texts]:
    held_out = unit.setting.shards / "held_out"
    documents = held_out / "documents" / unit.language
    if documents.is_dir():
        for part in list_parts(documents):
            for batch in read_batches(part, DOCUMENT_SCHEMA):
                yield _column(batch, "text")
    for language in _pair_languages(held_out, unit.language):
        side = "text_a" if unit.language == ENGLISH else "text_b"
        for part in list_parts(held_out / "pairs" / language):
            for batch in read_batches(part, PAIR_SCHEMA):
                yield _column(batch, side)
    for part in unit.evaluation:
        for batch in read_batches(part, DOCUMENT_SCHEMA):
            # A set that does not say its language may be in any: it is compared with each.
            languages = pa.array([unit.language, ""])
            own = batch.filter(pc.is_in(batch.column("language"), languages))
            yield _repaired(_column(own, "text"), unit)
    for part in unit.evaluation_pairs:
        for batch in read_batches(part, PAIR_SCHEMA):
            for side in "ab":
                own = batch.filter(pc.equal(batch.column(f"language_{side}"), unit.language))
                yield _repaired(_column(own, f"text_{side}"), unit)


def _repaired(texts: Texts, unit: IndexUnit) -> Texts:
    """Texts repaired and masked as training text is, so that the same line is the same."""
    config = unit.setting.config
    repaired = repair(
        texts,
        are_words=get_language(unit.language).words == "spaces",
        max_word_characters=config.max_word_characters,
    ).texts
    return pii.masked(repaired, unit.language)[0] if config.mask_personal_data else repaired


def _pair_languages(held_out: Path, language: str) -> list[str]:
    """Languages whose held-out pairs have a side in this one."""
    folder = held_out / "pairs"
    if not folder.is_dir():
        return []
    present = sorted(each.name for each in folder.iterdir())
    return present if language == ENGLISH else [code for code in present if code == language]


def _column(batch: pa.RecordBatch, name: str) -> Texts:
    return from_strings(composed(batch.column(name).to_pylist()))
