"""The language registry: complete, unambiguous, in its own scripts, named in other languages."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter

import babel
import pytest
from pydantic import ValidationError

from polylm_core.errors import UnknownLanguageError
from polylm_core.languages import (
    NAMES_WITHOUT_CLDR,
    POLYLM_LANGUAGES,
    SCRIPT_RANGES,
    Language,
    from_lid_label,
    get_language,
    load_languages,
    name_in,
)

# https://fasttext.cc/docs/en/language-identification.html, "List of supported languages".
LID176_LABELS = frozenset(
    """
    af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb
    co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he
    hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez
    li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne new nl nn
    no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq
    sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo
    yue zh
    """.split()
)


def letters_in_script(text: str, language: Language) -> float:
    letters = [char for char in text if char.isalpha()]
    ranges = language.script_ranges
    return sum(any(lo <= ord(char) <= hi for lo, hi in ranges) for char in letters) / len(letters)


def test_the_registry_has_the_204_languages_of_flores_200_in_order() -> None:
    codes = list(load_languages())
    assert len(codes) == 204
    assert codes == sorted(codes)
    assert {"por_Latn", "arb_Latn", "taq_Tfng", "sat_Olck", "yue_Hant", "zul_Latn"} <= set(codes)


def test_the_registry_is_read_once_and_cannot_be_changed() -> None:
    languages = load_languages()
    assert load_languages() is languages
    with pytest.raises(TypeError):
        languages["xxx_Latn"] = languages["por_Latn"]  # type: ignore[index]
    with pytest.raises(ValidationError):
        languages["por_Latn"].english_name = "Galician"


def test_a_row_says_what_is_known_of_a_language() -> None:
    assert get_language("por_Latn") == Language(
        code="por_Latn",
        bcp47="pt",
        english_name="Portuguese",
        native_name="português",
        lid_label="pt",
        script="Latn",
        words="spaces",
    )


@pytest.mark.parametrize("wrong", [{"words": "syllables"}, {"code": "pt"}, {"speakers": 260e6}])
def test_a_row_with_a_wrong_or_unknown_value_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Language.model_validate(get_language("por_Latn").model_dump() | wrong)


@pytest.mark.parametrize("column", ["bcp47", "english_name"])
def test_tags_and_english_names_are_unique(column: str) -> None:
    values = Counter(getattr(language, column) for language in load_languages().values())
    assert [value for value, count in values.items() if count > 1] == []


def test_every_code_ends_with_its_script_and_every_script_has_ranges() -> None:
    languages = load_languages().values()
    assert [lang.code for lang in languages if lang.code[4:] != lang.script] == []
    assert {lang.script for lang in languages} == set(SCRIPT_RANGES)


def test_ranges_are_ascending_and_only_han_scripts_share_them() -> None:
    for ranges in SCRIPT_RANGES.values():
        bounds = [bound for pair in ranges for bound in pair]
        assert bounds == sorted(bounds)
    owners = {
        char: {
            s for s, ranges in SCRIPT_RANGES.items() if any(a <= ord(char) <= b for a, b in ranges)
        }
        for char in "añяδءאहকਕકకಕകකกကກខ한漢あアⵣᱥაአབଓத"
    }
    assert {char for char, scripts in owners.items() if len(scripts) != 1} == {"漢"}
    assert owners["漢"] == {"Hans", "Hant", "Jpan"}
    assert owners["あ"] == {"Jpan"}


def test_native_names_are_nfc_and_written_in_the_script_of_the_language() -> None:
    for language in load_languages().values():
        assert unicodedata.is_normalized("NFC", language.native_name), language.code
        assert letters_in_script(language.native_name, language) == 1.0, language.code


def test_latin_ranges_hold_all_ascii_letters_and_nothing_else_of_ascii() -> None:
    latin = SCRIPT_RANGES["Latn"]
    ascii_in = {chr(i) for i in range(128) if any(lo <= i <= hi for lo, hi in latin)}
    assert ascii_in == set(string.ascii_letters)


def test_languages_without_spaces_between_words_are_known() -> None:
    without = {code for code, language in load_languages().items() if language.words == "none"}
    assert without == {
        *("zho_Hans", "zho_Hant", "yue_Hant", "jpn_Jpan", "tha_Thai", "lao_Laoo"),
        *("khm_Khmr", "mya_Mymr", "shn_Mymr", "bod_Tibt", "dzo_Tibt"),
    }


def test_lid_labels_are_labels_of_lid_176() -> None:
    assert len(LID176_LABELS) == 176
    labels = {language.lid_label for language in load_languages().values()} - {""}
    assert labels <= LID176_LABELS
    assert len(labels) > 110


@pytest.mark.parametrize(
    ("label", "codes"),
    [
        ("pt", ("por_Latn",)),
        ("zh", ("zho_Hans", "zho_Hant")),
        ("ar", ("arb_Arab",)),
        ("arz", ("arz_Arab",)),
        ("sq", ("als_Latn",)),
        ("als", ()),  # Alemannic in lid.176, Tosk Albanian in ISO 639-3
        ("no", ("nob_Latn",)),
        ("la", ()),
        ("", ()),
    ],
)
def test_a_lid_label_leads_to_its_codes(label: str, codes: tuple[str, ...]) -> None:
    assert from_lid_label(label) == codes


def test_every_label_leads_back_and_only_chinese_is_ambiguous() -> None:
    labelled = [language for language in load_languages().values() if language.lid_label]
    assert all(language.code in from_lid_label(language.lid_label) for language in labelled)
    labels = {language.lid_label for language in labelled}
    assert {label for label in labels if len(from_lid_label(label)) > 1} == {"zh"}


def test_polylm_has_18_languages_each_with_a_label_and_a_cldr_locale() -> None:
    tags = [get_language(code).bcp47 for code in POLYLM_LANGUAGES]
    assert " ".join(tags) == "zh-Hans en es fr pt ru de it ar ja ko th vi id nl pl tr he"
    for code, tag in zip(POLYLM_LANGUAGES, tags, strict=True):
        assert code in from_lid_label(get_language(code).lid_label)
        assert babel.Locale.parse(tag, sep="-").language == tag.split("-")[0]


@pytest.mark.parametrize("code", ["por", "pt", "por_latn", "por-Latn", ""])
def test_an_unknown_code_is_refused(code: str) -> None:
    with pytest.raises(UnknownLanguageError, match="unknown language"):
        get_language(code)


def test_the_error_for_an_unknown_code_suggests_the_nearest() -> None:
    with pytest.raises(UnknownLanguageError, match="por_Latn"):
        get_language("por_Lat")
    with pytest.raises(UnknownLanguageError, match="fra_Latn"):
        name_in("fra_Latin", "deu_Latn")


@pytest.mark.parametrize(
    ("code", "in_code", "name"),
    [
        ("deu_Latn", "fra_Latn", "allemand"),
        ("por_Latn", "deu_Latn", "Portugiesisch"),
        ("jpn_Jpan", "spa_Latn", "japonés"),
        ("eng_Latn", "jpn_Jpan", "英語"),
        ("eng_Latn", "zho_Hant", "英文"),
        ("zho_Hans", "fra_Latn", "chinois simplifié"),
        ("tha_Thai", "tha_Thai", "ไทย"),
        ("ind_Latn", "ind_Latn", "Bahasa Indonesia"),
        ("prs_Arab", "deu_Latn", "Dari"),
        ("kas_Deva", "fra_Latn", "cachemiri (dévanagari)"),
        ("acm_Arab", "eng_Latn", "Mesopotamian Arabic"),
        ("acm_Arab", "zho_Hans", "美索不达米亚阿拉伯语"),
        ("kas_Deva", "zho_Hans", "克什米尔语 (天城文)"),
    ],
)
def test_a_language_has_a_name_in_another(code: str, in_code: str, name: str) -> None:
    assert name_in(code, in_code) == name


@pytest.mark.parametrize(
    ("code", "in_code"),
    [
        ("acm_Arab", "fra_Latn"),  # a language CLDR does not name in French
        ("deu_Latn", "ace_Latn"),  # a reader CLDR does not know
        ("deu_Latn", "arb_Latn"),  # CLDR has Arabic, but not in Latin letters
        ("deu_Latn", "ajp_Arab"),  # CLDR answers apc when asked for ajp
    ],
)
def test_the_english_name_stands_in_where_cldr_has_none(code: str, in_code: str) -> None:
    assert name_in(code, in_code) == get_language(code).english_name


@pytest.mark.parametrize("in_code", POLYLM_LANGUAGES)
def test_no_two_polylm_languages_share_a_name_in_any_of_them(in_code: str) -> None:
    names = {name_in(code, in_code) for code in POLYLM_LANGUAGES}
    assert len(names) == len(POLYLM_LANGUAGES)
    if in_code != "eng_Latn":
        assert names.isdisjoint(name_in(code, "eng_Latn") for code in ("deu_Latn", "jpn_Jpan"))


def test_all_204_languages_have_a_name_of_their_own_in_english_and_in_chinese() -> None:
    codes = load_languages()
    assert len({name_in(code, "eng_Latn") for code in codes}) == 204
    chinese = {code: name_in(code, "zho_Hans") for code in codes}
    assert len(set(chinese.values())) == 204
    han = get_language("zho_Hans")
    assert [code for code, name in chinese.items() if letters_in_script(name, han) < 1] == []


def test_a_name_of_our_own_stands_only_where_cldr_has_none() -> None:
    for in_code, names in NAMES_WITHOUT_CLDR.items():
        locale = babel.Locale.parse(get_language(in_code).bcp47, sep="-")
        tags = {get_language(code).bcp47.split("-")[0] for code in names}
        assert tags.isdisjoint(locale.languages)
