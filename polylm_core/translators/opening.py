"""From a recipe's section to a translator that can be asked, with its work kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from polylm_core.compute.backend import Backend
from polylm_core.progress import Progress
from polylm_core.teachers.endpoint import EndpointTeacher
from polylm_core.teachers.opening import Surroundings
from polylm_core.teachers.places import endpoint_of
from polylm_core.teachers.teacher import Usage
from polylm_core.translators.apertium import find_apertium
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.by_endpoint import EndpointTranslator
from polylm_core.translators.config import (
    ApertiumTranslator,
    OpenAITranslator,
    Seq2SeqTranslator,
    TranslateConfig,
    TranslatorConfig,
)
from polylm_core.translators.seq2seq import find_model
from polylm_core.translators.table import find_table
from polylm_core.translators.translator import Translator


@contextmanager
def open_bureau(
    config: TranslateConfig,
    surroundings: Surroundings,
    *,
    shards: Path,
    work: Path,
    backend: Backend,
    progress: Progress,
) -> Iterator[Bureau]:
    """Find a translator and verify it; it can be asked until the block ends.

    `shards` is the ShardSet whose pairs a table may be. Raises MachineError, TeacherError or
    TranslatorError for a translator that is not as declared.
    """
    told = Usage()

    def on_answer(usage: Usage) -> None:
        nonlocal told
        told = usage

    with _opened(config.translator, surroundings, shards, on_answer) as translator:
        yield Bureau(translator, config, work, backend, progress, lambda: told)
    if isinstance(config.translator, OpenAITranslator):
        doubt = translator.doubt if isinstance(translator, EndpointTranslator) else ""
        used = told.describe(config.translator.prices)
        progress.say(f"translation: {told.answers:,} answers, {used}{doubt}")


@contextmanager
def _opened(
    config: TranslatorConfig,
    surroundings: Surroundings,
    shards: Path,
    on_answer: Callable[[Usage], None],
) -> Iterator[Translator]:
    if isinstance(config, Seq2SeqTranslator):
        yield find_model(config, surroundings.locations)
    elif isinstance(config, ApertiumTranslator):
        yield find_apertium(config)
    elif isinstance(config, OpenAITranslator):
        endpoint = endpoint_of(config, surroundings.endpoints)
        with EndpointTeacher(
            config,
            endpoint,
            surroundings.answers,
            num_prompts=0,
            on_answer=on_answer,
            asks_more=True,
        ) as teacher:
            yield EndpointTranslator(config, teacher)
    else:
        yield find_table(config, surroundings.locations, shards)
