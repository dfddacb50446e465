"""Instructions of one language beside their translations: what TaCo's form is made of.

TaCo (arXiv 2311.10797) takes an English instruction set and its machine translation; nothing is
generated anew. A chat is translated turn by turn, or refused as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from polylm_core.languages import ENGLISH
from polylm_core.records import Instruction
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.translator import Translation

NOT_ENGLISH = "not-english"


@dataclass(frozen=True, slots=True)
class AlignedInstruction:
    """A chat in English and in another language, turn by turn."""

    english: Instruction
    translated: Instruction


@dataclass
class AlignedSet:
    """What was translated, and why the rest was not."""

    rows: list[AlignedInstruction] = field(default_factory=list)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Chats by language and reason."""

    def known(self, language: str) -> dict[str, str]:
        """Each text and its translation, for a round trip."""
        return {
            ours.content: theirs.content
            for row in self.rows
            if row.translated.language == language
            for ours, theirs in zip(row.english.messages, row.translated.messages, strict=True)
        }


def translate_instructions(
    rows: Sequence[Instruction], languages: Sequence[str], bureau: Bureau
) -> AlignedSet:
    """Translate English chats into each of the languages, in the order given.

    The id of a translation is that of its row and the language. Raises TranslatorError, before
    anything is translated if a language is not known, or TeacherError.
    """
    bureau.require([(ENGLISH, language) for language in languages])
    english = [row for row in rows if {row.language, row.prompt_language} == {ENGLISH}]
    made = AlignedSet()
    for language in languages:
        made.refused[language, NOT_ENGLISH] += len(rows) - len(english)
        texts = [message.content for row in english for message in row.messages]
        translations = iter(bureau.translate(texts, ENGLISH, language))
        for row in english:
            turns = [next(translations) for _ in row.messages]
            reason = next((turn.refusal for turn in turns if turn.refusal), "")
            if reason:
                made.refused[language, reason] += 1
            else:
                other = _translated(row, turns, language, bureau.config.translator.license)
                made.rows.append(AlignedInstruction(row, other))
    made.refused = +made.refused
    return made


def _translated(
    row: Instruction, turns: Sequence[Translation], language: str, license: str
) -> Instruction:
    return replace(
        row,
        id=f"{row.id}/{language}",
        language=language,
        prompt_language=language,
        license=both_licenses(row.license, license),
        messages=tuple(
            replace(message, content=turn.text)
            for message, turn in zip(row.messages, turns, strict=True)
        ),
    )


def both_licenses(of_text: str, of_translation: str) -> str:
    """What a translation may be used for, as an expression of SPDX."""
    if of_text == of_translation:
        return of_text
    # AND binds before OR (SPDX 2.3, annex D).
    either = (f"({name})" if " OR " in name else name for name in (of_text, of_translation))
    return " AND ".join(either)
