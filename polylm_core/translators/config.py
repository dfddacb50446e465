"""Which translator a recipe asks: a section of `params.yaml`, chosen by its `kind`.

As with teachers, what decides the translations is here, and what they may cost; where an endpoint
answers and where a folder or file lies is the profile's.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from polylm_core.languages import ENGLISH, LanguageCode, known_code
from polylm_core.teachers.config import OpenAITeacher

NUMBER = "{number}"


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class OpenAITranslator(OpenAITeacher):
    """Any endpoint that speaks OpenAI's protocol, told in each request what to translate.

    It is asked as a teacher is: each answer is stored and paid for once.
    """

    role: ClassVar[str] = "translator"

    form: Literal["chat"] = "chat"
    """The request is a user's message."""
    max_new_tokens: int = Field(gt=0)
    """Length limit of one translation; a text that it cuts off is refused."""


class Seq2SeqTranslator(_Section):
    """A translation model in a Hugging Face folder: NLLB-200, M2M-100 or one pair of MarianMT.

    It is computed in this process, in float32 on the CPU.
    """

    role: ClassVar[str] = "translator"

    kind: Literal["seq2seq"]
    """`seq2seq`."""
    source: str = Field(min_length=1)
    """Name of the folder; the profile says where it lies (`source_locations`)."""
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Pins every file of the folder; the error for another one says what it is."""
    num_beams: int = Field(default=4, ge=1)
    """Beams of the search."""
    max_new_tokens: int = Field(default=256, gt=0)
    """Length limit of one line; a text with a line that it cuts off is refused."""
    lines_per_batch: int = Field(default=16, gt=0)
    """Lines computed at once: part of the result, as padding can turn a near-tie."""
    license: str
    """Licence of what it writes; that of NLLB-200's weights forbids commercial use."""


class ApertiumTranslator(_Section):
    """Rules and dictionaries, by the command `apertium` (Forcada et al. 2011)."""

    kind: Literal["apertium"]
    """`apertium`."""
    fingerprints: dict[str, str] = Field(min_length=1)
    """Pins the language data of each pair, such as `eng_Latn-spa_Latn`; the error for another one
    says what it is."""
    license: str
    """Licence of what it writes."""

    @field_validator("fingerprints")
    @classmethod
    def _are_pairs(cls, fingerprints: dict[str, str]) -> dict[str, str]:
        for pair in fingerprints:
            for code in pair.split("-"):
                known_code(code)
            if pair.count("-") != 1:
                raise ValueError(f"{pair!r} is no pair of languages such as eng_Latn-spa_Latn")
        return fingerprints


class TableTranslator(_Section):
    """Aligned human translations: a text that is not among them is refused, not guessed."""

    role: ClassVar[str] = "translator"

    kind: Literal["table"]
    """`table`."""
    source: str = ""
    """Name of a TSV or JSONL file, whose first line or keys are language codes; the profile says
    where it lies (`source_locations`). Empty: the pairs of `curate` are the table."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Pins the file."""
    license: str
    """Licence of the translations."""

    @model_validator(mode="after")
    def _file_is_pinned(self) -> Self:
        if bool(self.source) != (self.sha256 is not None):
            raise ValueError("`source` and `sha256` need each other; leave out both for the pairs")
        return self


TranslatorConfig = Annotated[
    OpenAITranslator | Seq2SeqTranslator | ApertiumTranslator | TableTranslator,
    Field(discriminator="kind"),
]


class ProtectionConfig(_Section):
    """How code, placeholders, addresses and tags get through a translator unharmed."""

    markers: tuple[str, ...] = ("[[{number}]]", "{{number}}")
    """What stands for a protected part while a text is translated, tried in this order until all
    of a text come back exactly once."""
    max_pieces: int = Field(default=8, ge=0)
    """A text whose markers do not come back is translated piece by piece around its protected
    parts if it has at most so many pieces, and refused otherwise."""

    @field_validator("markers")
    @classmethod
    def _delimit_their_number(cls, markers: tuple[str, ...]) -> tuple[str, ...]:
        for marker in markers:
            before, _, after = marker.partition(NUMBER)
            is_open = not before.strip() or not after.strip() or NUMBER in after
            if is_open or any(character.isdigit() for character in before[-1] + after[0]):
                raise ValueError(f"{marker!r} needs {NUMBER} once, with no digit or end beside it")
            if any(character.isspace() for character in marker):
                raise ValueError(f"{marker!r} may hold no space")
        return markers


class TranslateConfig(_Section):
    """Translation of what is there in English only."""

    translator: TranslatorConfig
    languages: tuple[LanguageCode, ...]
    """Languages into which the English seed tasks are translated; none of them may have seed tasks
    of its own."""
    texts_per_unit: int = Field(default=64, gt=0)
    """Texts of one unit of work, which is not done again after a crash. A translator of the kind
    `openai` keeps each answer by itself."""
    round_trip_samples: int = Field(default=0, ge=0)
    """Texts per language that are translated back and compared with the English ones by BLEU,
    chrF++ and TER (TaCo: 1,000): so many of the seed tasks, and so many of all the sets of
    `taco.from_imports`. It flatters, as the same translator goes both ways."""
    protection: ProtectionConfig = ProtectionConfig()

    @field_validator("languages")
    @classmethod
    def _unique_and_not_english(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for code in languages:
            if code == ENGLISH:
                raise ValueError(f"{ENGLISH} is what is translated from")
            if languages.count(code) > 1:
                raise ValueError(f"{code} is listed more than once")
        return languages
