"""Which FLORES-200 code a package's locale means."""

from __future__ import annotations

import functools
import re

from polylm_core.languages import load_languages

_CHOSEN = {
    "c": "eng_Latn",
    "en": "eng_Latn",
    "zh": "zho_Hans",
    "zh-cn": "zho_Hans",
    "zh-sg": "zho_Hans",
    "zh-hans": "zho_Hans",
    "zh-tw": "zho_Hant",
    "zh-hk": "zho_Hant",
    "zh-hant": "zho_Hant",
    "no": "nob_Latn",
    "tl": "tgl_Latn",
    "ms": "zsm_Latn",
    "in": "ind_Latn",
    "iw": "heb_Hebr",
    "sr-ec": "srp_Cyrl",
    "sr-cyrl": "srp_Cyrl",
    "ku": "kmr_Latn",
    "kmr": "kmr_Latn",
    "gug": "grn_Latn",
    "fil": "tgl_Latn",
}
"""Locales whose code the registry has under another name."""
_SCRIPTS = {"latin": "Latn", "el": "Latn", "cyrillic": "Cyrl", "ec": "Cyrl", "pk": "Arab"}
"""Second parts of locales that name a script in a way of their own."""
_SEPARATORS = re.compile(r"[_@.]")


@functools.cache
def _by_tag() -> dict[str, str]:
    return {language.bcp47.lower(): code for code, language in load_languages().items()} | _CHOSEN


@functools.cache
def language_of(locale: str) -> str | None:
    """Return the code of `pt_BR`, `zh-cn`, `sr`, ...; None for a locale outside FLORES-200."""
    tag = _SEPARATORS.sub("-", locale).lower()
    table = _by_tag()
    first, *rest = tag.split("-")
    found = table.get(tag) or table.get(first)
    if tag in table or found is None:
        return found
    scripts = {
        _SCRIPTS.get(part, part.title()) for part in rest if len(part) > 3 or part in _SCRIPTS
    }
    return found if all(script == found.split("_")[1] for script in scripts) else None
