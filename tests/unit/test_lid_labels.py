"""Labels of identification models, each asserted as its makers document it."""

from __future__ import annotations

import pytest

from polylm_core.errors import SourceError
from polylm_core.languages import load_languages
from polylm_core.lid_labels import Scheme, codes_of, scheme_of

GLOTLID = ["__label__eng_Latn", "__label__cmn_Hani", "__label__und_Mong", "__label__aai_Latn"]
OPENLID_V1 = [f"__label__{code}" for code in load_languages() if code != "arb_Latn"]
OPENLID_V3 = [
    "__label__ara_Arab" if code == "arb_Arab" else f"__label__{code}"
    for code in load_languages()
    if not code.endswith("_Arab") or code == "arb_Arab"
]


@pytest.mark.parametrize(
    ("scheme", "label", "codes"),
    [
        ("lid176", "__label__de", ("deu_Latn",)),
        ("lid176", "zh", ("zho_Hans", "zho_Hant")),
        ("lid176", "als", ()),  # Alemannic there, not Albanian
        ("glotlid", "__label__eng_Latn", ("eng_Latn",)),
        ("glotlid", "__label__cmn_Hani", ("zho_Hans", "zho_Hant")),
        ("glotlid", "yue_Hani", ("yue_Hant",)),
        ("glotlid", "arb_Arab", ("arb_Arab", "acq_Arab")),
        ("glotlid", "fas_Arab", ("pes_Arab", "prs_Arab")),
        ("glotlid", "ekk_Latn", ("est_Latn",)),
        ("glotlid", "fil_Latn", ("tgl_Latn",)),
        ("glotlid", "twi_Latn", ("twi_Latn", "aka_Latn")),
        ("glotlid", "als_Latn", ("als_Latn",)),
        ("glotlid", "srp_Latn", ()),  # FLORES has Serbian in Cyrillic only
        ("glotlid", "und_Mong", ()),
        ("glotlid", "zxx_Latn", ()),
        ("openlid", "zho_Hans", ("zho_Hans",)),
        ("openlid", "cmn_Hant", ("zho_Hant",)),
        ("openlid", "arb_Arab", ("arb_Arab",)),
        ("openlid", "apc_Arab_sout3123", ("ajp_Arab",)),
        ("openlid-v3", "fas_Arab", ("pes_Arab", "prs_Arab")),
        ("openlid-v3", "bam_Latn", ("bam_Latn", "dyu_Latn")),
        ("openlid-v3", "zxx_Zxxx", ()),
    ],
)
def test_a_label_stands_for_its_codes(scheme: Scheme, label: str, codes: tuple[str, ...]) -> None:
    assert codes_of(label, scheme) == codes


def test_the_merged_arabic_of_openlid_3_begins_with_the_standard() -> None:
    codes = codes_of("ara_Arab", "openlid-v3")

    assert codes[0] == "arb_Arab"
    assert {"arz_Arab", "ary_Arab", "acq_Arab"} < set(codes)
    assert "urd_Arab" not in codes


@pytest.mark.parametrize("scheme", ["glotlid", "openlid", "openlid-v3"])
def test_every_code_meant_is_in_the_registry(scheme: Scheme) -> None:
    labels = ["ekk_Latn", "fil_Latn", "gug_Latn", "ktu_Latn", "kng_Latn", "cmn_Hani", "ara_Arab",
              "fas_Arab", "aze_Latn", "zgh_Tfng", "twi_Latn_akua1239"]  # fmt: skip

    assert {code for label in labels for code in codes_of(label, scheme)} <= set(load_languages())


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["__label__en", "__label__ceb", "__label__zh"], "lid176"),
        (GLOTLID, "glotlid"),
        (OPENLID_V1, "openlid"),
        ([*OPENLID_V3, "__label__srp_Latn", "__label__zxx_Zxxx"], "openlid-v3"),
    ],
)
def test_a_scheme_is_known_by_its_labels(labels: list[str], scheme: Scheme) -> None:
    assert scheme_of(labels) == scheme


@pytest.mark.parametrize(
    "labels", [[], ["__label__positive", "__label__negative"], ["xxx_Latn", "yyy_Latn", "eng_Latn"]]
)
def test_labels_of_another_kind_are_shown(labels: list[str]) -> None:
    with pytest.raises(SourceError, match="follow no known scheme") as error:
        scheme_of(labels)

    assert all(label.removeprefix("__label__") in str(error.value) for label in labels)
