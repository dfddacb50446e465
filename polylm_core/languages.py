"""The languages PolyLM knows: one row for each of the 204 codes of FLORES-200, in `languages.tsv`.

In: a code such as `por_Latn` (ISO 639-3 + ISO 15924, as FLORES-200 writes it). Out: its name, its
tag in CLDR, its label in fastText's lid.176, its script and whether it puts spaces between words.
A table beside the code, not a library at run time: codes, labels and word rules are decisions of
this project that a reader can check row by row; only names *in other languages* come from CLDR.

The columns that are decisions:

- `bcp47` is what CLDR calls the language: a macrolanguage where FLORES has one member of it
  (`pbt_Arab` is `ps`), and a script only where it is not the usual one (`ks-Deva`) or both
  are usual (`zh-Hans`, `zh-Hant`).
- `lid_label` is set where lid.176 learned this language in this script. A label is not an ISO code:
  `als` there is Alemannic, while FLORES' `als_Latn` is Albanian, `sq`. Varieties that lid.176 does
  not tell from a neighbour (spoken Arabic, Dari) have none, so `ar` and `fa` mean one code each.
- `words` is `none` where no space stands between words (in Thai a space ends a phrase).
"""

from __future__ import annotations

import csv
import functools
import types
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Literal

import babel
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from polylm_core.errors import UnknownLanguageError

ENGLISH = "eng_Latn"
"""Side a of every pair."""
UNDETERMINED = "und"
"""ISO 639's code where no language is known: in ids and counts of a source that does not say it."""

CodePointRanges = tuple[tuple[int, int], ...]
"""Inclusive ranges of Unicode code points, ascending."""

POLYLM_LANGUAGES: tuple[str, ...] = (
    "zho_Hans",
    "eng_Latn",
    "spa_Latn",
    "fra_Latn",
    "por_Latn",
    "rus_Cyrl",
    "deu_Latn",
    "ita_Latn",
    "arb_Arab",
    "jpn_Jpan",
    "kor_Hang",
    "tha_Thai",
    "vie_Latn",
    "ind_Latn",
    "nld_Latn",
    "pol_Latn",
    "tur_Latn",
    "heb_Hebr",
)
"""The 18 languages of PolyLM, in the order of its paper (arXiv 2307.06018)."""

_HAN: CodePointRanges = (
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)

SCRIPT_RANGES: Mapping[str, CodePointRanges] = types.MappingProxyType(
    {
        "Arab": (
            (0x600, 0x6FF),
            (0x750, 0x77F),
            (0x870, 0x8FF),
            (0xFB50, 0xFDFF),
            (0xFE70, 0xFEFC),
        ),
        "Armn": ((0x530, 0x58F), (0xFB13, 0xFB17)),
        "Beng": ((0x980, 0x9FF),),
        "Cyrl": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
        "Deva": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
        "Ethi": ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F)),
        "Geor": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
        "Grek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
        "Gujr": ((0xA80, 0xAFF),),
        "Guru": ((0xA00, 0xA7F),),
        "Hang": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
        "Hans": _HAN,
        "Hant": _HAN,
        "Hebr": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
        "Jpan": tuple(sorted((*_HAN, (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)))),
        "Khmr": ((0x1780, 0x17FF), (0x19E0, 0x19FF)),
        "Knda": ((0xC80, 0xCFF),),
        "Laoo": ((0xE80, 0xEFF),),
        "Latn": (
            (0x41, 0x5A),
            (0x61, 0x7A),
            (0xAA, 0xAA),
            (0xBA, 0xBA),
            (0xC0, 0xD6),
            (0xD8, 0xF6),
            (0xF8, 0x2FF),
            (0x1E00, 0x1EFF),
            (0x2C60, 0x2C7F),
            (0xA720, 0xA7FF),
            (0xAB30, 0xAB6F),
            (0xFF21, 0xFF3A),
            (0xFF41, 0xFF5A),
        ),
        "Mlym": ((0xD00, 0xD7F),),
        "Mymr": ((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)),
        "Olck": ((0x1C50, 0x1C7F),),
        "Orya": ((0xB00, 0xB7F),),
        "Sinh": ((0xD80, 0xDFF),),
        "Taml": ((0xB80, 0xBFF),),
        "Telu": ((0xC00, 0xC7F),),
        "Tfng": ((0x2D30, 0x2D7F),),
        "Thai": ((0xE00, 0xE7F),),
        "Tibt": ((0xF00, 0xFFF),),
    }
)
"""Unicode blocks of each script of the registry: enough to ask of a letter which script it is.
Simplified and traditional Han share their blocks, so no range tells them apart."""


NAMES_WITHOUT_CLDR: Mapping[str, Mapping[str, str]] = types.MappingProxyType(
    {
        "zho_Hans": types.MappingProxyType(
            {
                "acm_Arab": "美索不达米亚阿拉伯语",
                "acq_Arab": "塔伊兹-亚丁阿拉伯语",
                "aeb_Arab": "突尼斯阿拉伯语",
                "ajp_Arab": "南黎凡特阿拉伯语",
                "apc_Arab": "北黎凡特阿拉伯语",
                "ary_Arab": "摩洛哥阿拉伯语",
                "arz_Arab": "埃及阿拉伯语",
                "azb_Arab": "南阿塞拜疆语",
                "bjn_Arab": "班贾尔语 (阿拉伯文)",
                "bjn_Latn": "班贾尔语",
                "cjk_Latn": "乔克维语",
                "hne_Deva": "恰蒂斯加尔语",
                "kbp_Latn": "卡比耶语",
                "ltg_Latn": "拉特加莱语",
                "taq_Latn": "塔马舍克语",
                "taq_Tfng": "塔马舍克语 (提非纳文)",
            }
        ),
    }
)
"""Names that CLDR (as of Babel 2.18) does not have, by the language they are written in: that of a
hub of cross-lingual instructions, which name every language."""


class Language(BaseModel):
    """One row of `languages.tsv`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    code: str = Field(pattern=r"^[a-z]{3}_[A-Z][a-z]{3}$")
    """ISO 639-3 language and ISO 15924 script, as FLORES-200 writes them: `por_Latn`."""
    bcp47: str = Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")
    """The tag CLDR knows it by: `pt`, `zh-Hans`; unique in the registry."""
    english_name: str = Field(min_length=1)
    """Unique in the registry; names the script where FLORES-200 has the language in two."""
    native_name: str = Field(min_length=1)
    """Its name in itself, in its own script (NFC)."""
    lid_label: str = Field(pattern=r"^([a-z]{2,3})?$")
    """Label of fastText's lid.176 without the `__label__` prefix; empty if it has none."""
    script: str = Field(pattern=r"^[A-Z][a-z]{3}$")
    """ISO 15924 code of the script, a key of `SCRIPT_RANGES`."""
    words: Literal["spaces", "none"]
    """What stands between two words."""

    @property
    def script_ranges(self) -> CodePointRanges:
        """Code points of the letters (and, outside Latin, the marks) it is written with."""
        return SCRIPT_RANGES[self.script]


@functools.cache
def load_languages() -> Mapping[str, Language]:
    """All languages by code, in the order of their codes; read once."""
    table = resources.files("polylm_core").joinpath("languages.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    languages = (Language.model_validate(row) for row in rows)
    return types.MappingProxyType({language.code: language for language in languages})


def get_language(code: str) -> Language:
    """The language of a code; UnknownLanguageError, with the nearest codes, if there is none."""
    languages = load_languages()
    if code not in languages:
        raise UnknownLanguageError(code, languages)
    return languages[code]


def known_code(code: str) -> str:
    """Return a code of the registry; raises ValueError, which pydantic tells with its place."""
    try:
        get_language(code)
    except UnknownLanguageError as error:
        raise ValueError(str(error)) from error
    return code


LanguageCode = Annotated[str, AfterValidator(known_code)]
"""A code of the registry, as a field of `params.yaml`."""


@functools.cache
def name_in(code: str, in_code: str) -> str:
    """The name of one language written in another: German in French is `allemand`.

    From CLDR, or from `NAMES_WITHOUT_CLDR`; the English name where neither has it. A script that
    sets the language apart (`ks-Deva`) is added in brackets.
    """
    language, reader = get_language(code), get_language(in_code)
    if code == in_code:
        return language.native_name
    if reader.bcp47 == "en":
        return language.english_name
    if code in (own := NAMES_WITHOUT_CLDR.get(in_code, {})):
        return own[code]
    locale = _cldr_locale(reader.bcp47)
    if locale is None:
        return language.english_name
    tag = language.bcp47.replace("-", "_")
    if tag in locale.languages:
        return str(locale.languages[tag])
    base, *subtags = tag.split("_")
    if base not in locale.languages or any(len(subtag) != 4 for subtag in subtags):
        return language.english_name
    scripts = [str(locale.scripts.get(script, script)) for script in subtags]
    return " ".join([str(locale.languages[base]), *(f"({script})" for script in scripts)])


def from_lid_label(label: str) -> tuple[str, ...]:
    """Codes that carry a label of lid.176, in order; none for a label outside the registry.

    `zh` is the only label of two codes: lid.176 does not tell the two Han scripts apart.
    """
    return _codes_by_lid_label().get(label, ())


@functools.cache
def _codes_by_lid_label() -> Mapping[str, tuple[str, ...]]:
    codes: dict[str, tuple[str, ...]] = {}
    for language in load_languages().values():
        if language.lid_label:
            codes[language.lid_label] = (*codes.get(language.lid_label, ()), language.code)
    return codes


def _cldr_locale(tag: str) -> babel.Locale | None:
    """CLDR's locale of a tag; None where it has none, or has it in another script only."""
    try:
        locale = babel.Locale.parse(tag, sep="-")
    except babel.UnknownLocaleError:
        return None
    # Locale.parse answers a nearby locale rather than none: `ar` for ar-Latn, `apc` for ajp.
    language, *subtags = tag.split("-")
    asked_script = next((subtag for subtag in subtags if len(subtag) == 4), locale.script)
    return locale if (locale.language, locale.script) == (language, asked_script) else None
