"""Where a recipe's translator is, as profile and machine say: cheap, and no network."""

from __future__ import annotations

from polylm_core.settings import Profile
from polylm_core.teachers.places import endpoint_of, folder_of, key_of, place_of
from polylm_core.translators.apertium import find_apertium
from polylm_core.translators.config import (
    ApertiumTranslator,
    OpenAITranslator,
    Seq2SeqTranslator,
    TranslatorConfig,
)
from polylm_core.translators.translator import require_none


def require_translator(config: TranslatorConfig, profile: Profile) -> None:
    """Raise TeacherError, TranslatorError or MachineError when something is missing."""
    if isinstance(config, OpenAITranslator):
        key_of(config, endpoint_of(config, profile.endpoints))
    elif isinstance(config, Seq2SeqTranslator):
        folder_of(config, profile.source_locations)
    elif isinstance(config, ApertiumTranslator):
        found = find_apertium(config)
        require_none(found.problem(*pair.split("-")) for pair in config.fingerprints)
    elif config.source:
        place_of(config, profile.source_locations)
