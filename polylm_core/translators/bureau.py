"""Where texts are handed in: cut into units of work, each done once whatever is killed meanwhile.

The units depend on the texts alone, so the translations are the same whatever the number of
workers. A unit's file is named by all that decides it; a remote translator keeps each answer
itself and has none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polylm_core.compute.backend import Backend
from polylm_core.progress import Progress
from polylm_core.restart import code_identity, read_marker, write_marker
from polylm_core.storage import fingerprint
from polylm_core.teachers.teacher import Usage
from polylm_core.translators.config import OpenAITranslator, ProtectionConfig, TranslateConfig
from polylm_core.translators.guarded import translate_guarded
from polylm_core.translators.translator import Translation, Translator, require_none

REMOTE_TEXTS_PER_UNIT = 1024
"""Texts handed to an endpoint at once, so that its places are used; no part of the result."""
COMPUTED_WITH = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class _Unit:
    """Some texts that are translated in one go."""

    translator: Translator
    texts: tuple[str, ...]
    source: str
    target: str
    protection: ProtectionConfig
    file: Path | None
    """Where its translations are kept."""


@dataclass(frozen=True)
class Bureau:
    """An open translator with its workers and its records."""

    translator: Translator
    config: TranslateConfig
    work: Path
    backend: Backend
    progress: Progress
    used: Callable[[], Usage]
    """What a remote translator's answers took so far."""

    def require(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Raise TranslatorError with every pair of languages that cannot be translated."""
        require_none(self.translator.problem(source, target) for source, target in pairs)

    def require_from(self, source: str, targets: Sequence[str]) -> None:
        """Raise TranslatorError with every language that it does not translate into.

        The way back is needed too where a sample is translated back.
        """
        ways = [(source, target) for target in targets]
        if self.config.round_trip_samples:
            ways += [(target, source) for target in targets]
        self.require(ways)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """Translate all texts; raises TranslatorError or TeacherError.

        Texts that occur more than once are translated once.
        """
        wanted = list(dict.fromkeys(texts))
        is_remote = self.translator.is_remote
        size = REMOTE_TEXTS_PER_UNIT if is_remote else self.config.texts_per_unit
        units = [
            self._unit(tuple(wanted[first : first + size]), source, target)
            for first in range(0, len(wanted), size)
        ]
        made: list[Translation] = []
        title = f"{source} to {target}"
        with self.progress.track(title, len(wanted), "texts") as tracker:
            # A remote translator is asked by one process, which knows what it has cost.
            for done in (map if is_remote else self.backend.map)(_translate_unit, units):
                made += done
                tracker.advance(len(done), self._note())
        known = dict(zip(wanted, made, strict=True))
        return [known[text] for text in texts]

    def _note(self) -> str:
        config = self.config.translator
        return self.used().describe(config.prices) if isinstance(config, OpenAITranslator) else ""

    def _unit(self, texts: tuple[str, ...], source: str, target: str) -> _Unit:
        file = None
        if not self.translator.is_remote:
            asked = {"texts": texts, "languages": [source, target], "by": self._identity}
            file = self.work / f"{source}-{target}" / f"{fingerprint(asked)[:32]}.json"
        return _Unit(self.translator, texts, source, target, self.config.protection, file)

    @functools.cached_property
    def _identity(self) -> dict[str, object]:
        decisive = self.config.model_dump(mode="json", include={"translator", "protection"})
        return {"config": decisive, "code": code_identity("instruct", *COMPUTED_WITH)}


def _translate_unit(unit: _Unit) -> list[Translation]:
    """Translate a unit, or read what became of it before."""
    stored = read_marker(unit.file) if unit.file is not None else None
    if stored is not None:
        return [Translation(**row) for row in stored]
    made = translate_guarded(unit.translator, unit.texts, unit.source, unit.target, unit.protection)
    if unit.file is not None:
        unit.file.parent.mkdir(parents=True, exist_ok=True)
        write_marker(unit.file, [], [asdict(translation) for translation in made])
    return made
