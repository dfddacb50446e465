"""What training text is compared with: held-out text and the recipe's evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polylm_core import pii
from polylm_core.characters import Texts, composed, from_strings
from polylm_core.contamination import build_index
from polylm_core.evaluation_text import evaluation_texts, held_out_texts
from polylm_core.languages import get_language
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
    for texts in held_out_texts(unit.setting.shards / "held_out", unit.language):
        yield from_strings(composed(texts))
    for texts in evaluation_texts(unit.evaluation, unit.evaluation_pairs, unit.language):
        yield _repaired(from_strings(composed(texts)), unit)


def _repaired(texts: Texts, unit: IndexUnit) -> Texts:
    """Texts repaired and masked as training text is, so that the same line is the same."""
    config = unit.setting.config
    repaired = repair(
        texts,
        are_words=get_language(unit.language).words == "spaces",
        max_word_characters=config.max_word_characters,
    ).texts
    return pii.masked(repaired, unit.language)[0] if config.mask_personal_data else repaired
