"""Labels of language identification models as codes of the registry.

Three families of fastText models are understood: lid.176 (ISO 639-1 or -3 codes without a script),
GlotLID (Kargaran et al. 2023, arXiv 2310.16248; ISO 639-3 and script, Han as `Hani`) and OpenLID
(Burchell et al. 2023, arXiv 2305.13820; FLORES codes). A label that is a code of the registry means
it; the tables below are the others. A label that merges languages means all of them, the one with
most text first; a label of no language of the registry (`zxx_Latn`, `srp_Latn`) means none.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from typing import Literal

from polylm_core.errors import SourceError
from polylm_core.languages import from_lid_label, load_languages

Scheme = Literal["lid176", "glotlid", "openlid", "openlid-v3"]

PREFIX = "__label__"

_CHINESE = ("zho_Hans", "zho_Hant")
_PERSIAN = ("pes_Arab", "prs_Arab")
_ARABIC = (
    "arb_Arab",
    "arz_Arab",
    "ary_Arab",
    "aeb_Arab",
    "acm_Arab",
    "apc_Arab",
    "ajp_Arab",
    "ars_Arab",
    "acq_Arab",
)

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "ekk_Latn": ("est_Latn",),
    "fil_Latn": ("tgl_Latn",),
    "gug_Latn": ("grn_Latn",),
    "ktu_Latn": ("kon_Latn",),
}
"""FLORES-200 has the macrolanguage (or Tagalog), newer lists its member: Standard Estonian,
Filipino, Paraguayan Guarani, Kituba (all so in FLORES+)."""

_EXCEPTIONS: Mapping[Scheme, Mapping[str, tuple[str, ...]]] = types.MappingProxyType(
    {
        # languages-v3.md and assets/map/flores.json of GlotLID; the last three are of v1 and v2.
        "glotlid": {
            **_MEMBERS,
            "kng_Latn": ("kon_Latn",),
            "cmn_Hani": _CHINESE,
            "yue_Hani": ("yue_Hant",),
            "fas_Arab": _PERSIAN,
            "arb_Arab": ("arb_Arab", "acq_Arab"),
            "twi_Latn": ("twi_Latn", "aka_Latn"),
            "zho_Hani": _CHINESE,
            "ara_Arab": _ARABIC,
            "aze_Latn": ("azj_Latn",),
        },
        # v1 has FLORES-200's codes; v2, by its card, those of FLORES+, with some Glottocodes.
        "openlid": {
            **_MEMBERS,
            "cmn_Hans": ("zho_Hans",),
            "cmn_Hant": ("zho_Hant",),
            "zgh_Tfng": ("tzm_Tfng",),
            "apc_Arab_nort3139": ("apc_Arab",),
            "apc_Arab_sout3123": ("ajp_Arab",),
            "twi_Latn_akua1239": ("aka_Latn",),
            "twi_Latn_asan1239": ("twi_Latn",),
        },
        # README of HPLT's v3: Arabic and Persian varieties are merged, Dyula goes with Bambara.
        "openlid-v3": {
            **_MEMBERS,
            "cmn_Hans": ("zho_Hans",),
            "cmn_Hant": ("zho_Hant",),
            "zgh_Tfng": ("tzm_Tfng",),
            "ara_Arab": _ARABIC,
            "fas_Arab": _PERSIAN,
            "bam_Latn": ("bam_Latn", "dyu_Latn"),
        },
    }
)

_WITHOUT_SCRIPT = re.compile(r"[a-z]{2,3}")
_WITH_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}(_[a-z]+\d*)?")
_LEAST_KNOWN_SHARE = 0.9
"""Of OpenLID's labels, that have a code: all of v1; later ones add a few languages."""


def codes_of(label: str, scheme: Scheme) -> tuple[str, ...]:
    """Codes that a label stands for, with or without its prefix; empty for another language."""
    name = label.removeprefix(PREFIX)
    if scheme == "lid176":
        return from_lid_label(name)
    exceptions = _EXCEPTIONS[scheme]
    if name in exceptions:
        return exceptions[name]
    return (name,) if name in load_languages() else ()


def scheme_of(labels: Iterable[str]) -> Scheme:
    """How a model names its languages; raises SourceError when it is none of the known ways."""
    names = {label.removeprefix(PREFIX) for label in labels}
    if names and all(_WITHOUT_SCRIPT.fullmatch(name) for name in names):
        return "lid176"
    if names and all(_WITH_SCRIPT.fullmatch(name) for name in names):
        if names & {"cmn_Hani", "zho_Hani"}:
            return "glotlid"
        scheme: Scheme = "openlid-v3" if "ara_Arab" in names else "openlid"
        known = sum(bool(codes_of(name, scheme)) for name in names)
        if known >= _LEAST_KNOWN_SHARE * len(names):
            return scheme
    sample = ", ".join(sorted(names)[:8]) or "none"
    raise SourceError(
        f"the labels of this identification model follow no known scheme ({len(names)} labels: "
        f"{sample}); use lid.176, GlotLID or OpenLID, or another model with FLORES codes"
    )
