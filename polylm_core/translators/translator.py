"""What every translator has in common: texts in, translations out in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from polylm_core.errors import TranslatorError

CUT_OFF = "translation-cut-off"
EMPTY = "translation-empty"
TOO_LONG = "too-long-to-translate"
PART_LOST = "protected-part-lost"
NOT_IN_TABLE = "not-in-table"
SEVERAL_IN_TABLE = "several-in-table"

Scope = Literal["text", "line", "exact"]
"""What a translator is given at once: a whole text, one line of it, or the text exactly as it is,
with nothing masked."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A text in the target language, or why there is none."""

    text: str
    refusal: str = ""
    """A reason for the funnel, where there is no translation; empty where there is one."""


def require_none(problems: Iterable[str]) -> None:
    """Raise TranslatorError with every problem of a translator, where there is one."""
    found = list(dict.fromkeys(filter(None, problems)))
    if found:
        lines = "\n".join(f"  {problem}" for problem in found)
        raise TranslatorError(f"the translator cannot do what is asked of it:\n{lines}")


class Translator(Protocol):
    """Whoever translates. It can be pickled unless it is remote."""

    @property
    def is_remote(self) -> bool:
        """Whether it is asked over the network: by one process, and it keeps the answers itself."""

    @property
    def scope(self) -> Scope:
        """What it is given at once."""

    def problem(self, source: str, target: str) -> str:
        """Why it cannot translate from one language into the other; empty if it can."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """Translate all texts; each gets the same translation whatever else is asked later.

        Raises TranslatorError or TeacherError when the translator cannot go on.
        """
