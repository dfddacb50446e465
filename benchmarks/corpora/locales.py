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
_NOT_THESE = frozenset({"sr-latn", "sr-el", "uz-cyrl", "az-latn", "en-gb-oed", "pa-pk", "zh-yue"})
_SEPARATORS = re.compile(r"[_@.]")


@functools.cache
def _by_tag() -> dict[str, str]:
    return {language.bcp47.lower(): code for code, language in load_languages().items()} | _CHOSEN


@functools.cache
def language_of(locale: str) -> str | None:
    """Return the code of `pt_BR`, `zh-cn`, `sr`, ...; None for a locale outside FLORES-200."""
    tag = _SEPARATORS.sub("-", locale).lower()
    if tag in _NOT_THESE:
        return None
    table = _by_tag()
    first = tag.split("-")[0]
    return table.get(tag) or table.get(first)
