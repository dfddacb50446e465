"""What translation models and commands call our languages.

NLLB-200 has the codes of FLORES-200, M2M-100 two-letter ones as CLDR has them, Apertium ISO 639-3
ones and, in older pairs, two-letter ones. Where they differ from the registry, it is said here.
"""

from __future__ import annotations

from polylm_core.languages import get_language

NLLB = {"sat_Olck": "sat_Beng"}
"""Santali: the code says Bengali, the text of NLLB-200 and FLORES-200 is Ol Chiki."""
M2M_100 = {"nob_Latn": "no", "nso_Latn": "ns", "tgl_Latn": "tl", "zho_Hans": "zh"}
"""Norwegian is Bokmål there, and Chinese is simplified."""
APERTIUM = {
    "arb_Arab": ("ara",),
    "zsm_Latn": ("zlm", "msa"),
    "kmr_Latn": ("kmr", "kur"),
    "lvs_Latn": ("lvs", "lav"),
    "swh_Latn": ("swa",),
    "npi_Deva": ("nep",),
    "azj_Latn": ("aze",),
    "uzn_Latn": ("uzb",),
    "khk_Cyrl": ("khk", "mon"),
    "als_Latn": ("sqi",),
    "srp_Cyrl": ("srp",),  # the pairs of `hbs` write Latin letters
    "hrv_Latn": ("hrv", "hbs_HR"),
    "bos_Latn": ("bos", "hbs_BS"),
    "zho_Hans": ("zho",),
    "pes_Arab": ("pes", "fas"),
    "ydd_Hebr": ("yid",),
}
"""Macrolanguages, where that is what a pair is named after."""


def nllb_code(code: str) -> str:
    """The code of NLLB-200."""
    return NLLB.get(code, code)


def m2m_code(code: str) -> str:
    """The code of M2M-100, should it know the language."""
    return M2M_100.get(code, get_language(code).bcp47)


def marian_codes(code: str) -> set[str]:
    """What the tokenizer of a MarianMT model may call the language."""
    return {code.split("_")[0], m2m_code(code), get_language(code).bcp47.split("-")[0]}


def apertium_codes(code: str) -> tuple[str, ...]:
    """What a pair of Apertium may call the language, the likeliest first."""
    tag = get_language(code).bcp47
    iso = code.split("_")[0]
    two_letters = (tag,) if "-" not in tag else ()
    return tuple(dict.fromkeys((*APERTIUM.get(code, ()), iso, *two_letters)))
