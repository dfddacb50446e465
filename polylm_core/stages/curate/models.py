"""The models that curate asks: fetched from where the profile says, or trained on trusted sources.

Before the first step; in the work folder after it, so that workers find them on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polylm_core.errors import SourceError, StageError
from polylm_core.identify_batch import BatchIdentifier, load_identifier
from polylm_core.languages import get_language
from polylm_core.records import DOCUMENT_SCHEMA, read_batches
from polylm_core.remote import InputFile, below, fetch
from polylm_core.stages.curate import identify, opt_out, quality
from polylm_core.stages.curate.quality import QualityModel
from polylm_core.stages.curate.quality_config import (
    ClassifierConfig,
    ModelFile,
    PerplexityConfig,
)
from polylm_core.stages.curate.repair import repair
from polylm_core.stages.curate.rows import Rows, concatenated
from polylm_core.stages.curate.scratch import Setting
from polylm_core.storage import replacing, write_atomic

QualityModelConfig = PerplexityConfig | ClassifierConfig


@dataclass(frozen=True, slots=True)
class TrainingUnit:
    """The model of one language."""

    language: str
    parts: tuple[Path, ...]
    """Parts of the DocumentSet, all sources."""
    setting: Setting


def fetch_models(setting: Setting, locations: Mapping[str, str]) -> None:
    """Bring every declared model into the work folder; raises SourceError."""
    config = setting.config
    wanted = [config.identify.model]
    for each in config.quality.by_language.values():
        wanted.append(each.model)
        wanted.append(each.pieces if isinstance(each, PerplexityConfig) else None)
    setting.models.mkdir(exist_ok=True)
    for file in wanted:
        if file is not None and not setting.model(file).is_file():
            _fetch(file, locations, setting.model(file))


def _fetch(file: ModelFile, locations: Mapping[str, str], target: Path) -> None:
    if file.source not in locations:
        raise SourceError(
            f"the recipe asks for the model {file.source}/{file.file}, but the profile does not "
            f"say where {file.source!r} lies; add it to `source_locations`"
        )
    declared = InputFile(file.file, below(locations[file.source], file.file), file.sha256)
    with replacing(target) as partial:
        fetch(declared, partial)


def train_model(unit: TrainingUnit) -> None:
    """Train the model of one language, or find it trained; raises StageError without text."""
    setting, language = unit.setting, unit.language
    out = setting.trained_model(language)
    config = setting.config.quality.by_language[language]
    if config.model is not None or out.is_file():
        return
    trusted = [part for part in unit.parts if part.parent.name in config.trusted]
    crawl = [part for part in unit.parts if part.parent.name not in config.trusted]
    try:
        content = quality.train(
            config, language, _texts(trusted, language, setting), _texts(crawl, language, setting)
        )
    except StageError as error:
        raise StageError(
            f"curate.quality.by_language.{language}: {error} "
            f"(trusted sources: {', '.join(config.trusted)})"
        ) from error
    write_atomic(out, content)


def _texts(parts: list[Path], language: str, setting: Setting) -> Iterator[str]:
    """Repaired documents of a language."""
    for part in parts:
        for batch in read_batches(part, DOCUMENT_SCHEMA):
            texts = documents_in(language, batch, setting).texts
            yield from (texts.text(number) for number in range(len(texts)))


def documents_in(language: str, batch: pa.RecordBatch, setting: Setting) -> Rows:
    """Repaired documents that may be used and are in a language, whether they claim it or nothing.

    What makes no claim is identified here as in `prepare`: once more for English, and for each
    language with a model to train.
    """
    config, identifier = setting.config, identifier_of(setting)
    claims = batch.column("language")
    found = [Rows.of(language, batch.filter(pc.equal(claims, language)))]
    unclaimed = Rows.of("", batch.filter(pc.equal(claims, "")))
    if len(unclaimed):
        identified = identify.assign(unclaimed, identifier, setting.languages, config.identify)
        found += [rows for rows in identified if rows.language == language]
    rows = concatenated(found)
    rows = rows.where(opt_out.verdicts(rows, config.opt_out) < 0)
    are_words = get_language(language).words == "spaces"
    repaired = repair(
        rows.texts, are_words=are_words, max_word_characters=config.max_word_characters
    )
    rows = rows.with_texts(repaired.texts)
    return rows.where(identify.verdicts(rows.texts, language, identifier, config.identify) < 0)


def identifier_of(setting: Setting) -> BatchIdentifier:
    """The recipe's classifier of languages."""
    model = setting.config.identify.model
    return load_identifier(None if model is None else setting.model(model))


def quality_scores(rows: Rows, setting: Setting) -> np.ndarray:
    """Scores of documents, float64[rows], higher is better; infinite where no model judges."""
    config = setting.config.quality.by_language.get(rows.language)
    if config is None:
        return np.full(len(rows), np.inf)
    texts = rows.texts.to_arrow().to_pylist()
    path = setting.trained_model(rows.language)
    if config.model is not None:
        path = setting.model(config.model)
    pieces = config.pieces if isinstance(config, PerplexityConfig) else None
    pieces_path = None if pieces is None else setting.model(pieces)
    model = _load(config, rows.language, path, pieces_path)
    scores = np.asarray(model.score(texts), np.float64)
    sources = rows.columns.column("source").to_pylist()
    trusted = np.array([source in config.trusted for source in sources], np.bool_)
    return np.where(trusted, np.inf, scores)


@lru_cache(maxsize=8)
def _load(
    config: QualityModelConfig, language: str, path: Path, pieces: Path | None
) -> QualityModel:
    return quality.load(config, language, path, pieces)
