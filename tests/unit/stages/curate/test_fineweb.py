"""FineWeb-2's settings are read, mean what they meant and are written byte for byte."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from polylm_core.errors import ParamsError
from polylm_core.languages import get_language
from polylm_core.stages.curate import fineweb, fineweb_files
from polylm_core.stages.curate.rules import judge_of
from polylm_core.stages.curate.rules_config import RulesConfig, RuleThresholds

ARCHIVE = Path(__file__).parents[5] / "shared" / "data" / "fineweb2_configs.tar.xz"

SETTINGS = """\
dup_line_frac: 0.25
dup_n_grams:
- - 5
  - 0.15
- - 6
  - 0.12
language_score: 0.7
line_punct_thr: -1
max_avg_word_length: 11
max_non_alpha_words_ratio: 0.75
min_avg_word_length: 3
new_line_ratio: 0.2
stopwords:
- 'no'
- 'on'
- "\\u0E17\\u0E35\\u0E48"
top_n_grams:
- - 2
  - 1.03
- - 3
  - 0.18
"""


def test_a_file_is_read_as_thresholds_of_ours() -> None:
    settings = fineweb_files.parse(SETTINGS, "tha_Thai.yml")

    thresholds = RuleThresholds.model_validate(settings.thresholds())

    assert thresholds.max_repeated_line_share == 0.25
    assert thresholds.max_repeated_line_character_share == 0.1
    assert thresholds.max_repeated_paragraph_share == 1
    assert thresholds.max_new_line_ratio == 0.2
    assert thresholds.max_top_ngram_share == {2: 1.03, 3: 0.18}
    assert thresholds.max_duplicate_ngram_share == {5: 0.15, 6: 0.12}
    assert thresholds.min_alphabetic_word_share == 0.75
    assert (thresholds.min_mean_word_characters, thresholds.max_mean_word_characters) == (3, 11)
    assert thresholds.min_words == 50
    assert settings.stopwords == ("no", "on", "ที่")
    assert thresholds.min_line_end_share == 0
    assert thresholds.max_short_line_share == 1
    assert thresholds.min_stop_words == 2


def test_what_is_read_is_written_byte_for_byte() -> None:
    assert fineweb_files.dump(fineweb_files.parse(SETTINGS, "x.yml")) == SETTINGS


def test_words_that_yaml_takes_for_yes_and_no_stay_words() -> None:
    plain = SETTINGS.replace("'no'", "no").replace("'on'", "on")

    assert fineweb_files.parse(plain, "x.yml") == fineweb_files.parse(SETTINGS, "x.yml")


def test_settings_of_datatrove_beyond_the_files_are_kept() -> None:
    text = SETTINGS + "short_line_thr: 0.67\nline_punct_exclude_zero: true\n"
    settings = fineweb_files.parse(text, "x.yml")

    assert settings.short_line_thr == 0.67
    assert settings.line_punct_exclude_zero is True
    assert fineweb_files.parse(fineweb_files.dump(settings), "x.yml") == settings


def test_our_thresholds_are_written_as_theirs_and_come_back() -> None:
    ours = RuleThresholds(min_top_ngrams=1).model_dump()

    settings = fineweb.FineWebSettings.of_thresholds(
        ours, language_score=0.5, stopwords=("und", "die")
    )

    again = fineweb_files.parse(fineweb_files.dump(settings), "deu_Latn.yml").thresholds()
    assert again == {name: ours[name] for name in again}
    beyond = {"characters_per_word", "max_digit_share", "min_script_share"}
    assert ours.keys() - again.keys() == beyond


def test_a_threshold_of_nothing_at_all_does_not_turn_a_rule_off() -> None:
    strict = RuleThresholds(max_repeated_line_share=0, max_bullet_line_share=0).model_dump()
    settings = fineweb.FineWebSettings.of_thresholds(strict, language_score=0, stopwords=())

    again = RuleThresholds.model_validate(settings.thresholds())
    assert 0 < again.max_repeated_line_share < 1e-6
    assert 0 < again.max_bullet_line_share < 1e-6
    assert again.min_stop_words == 0


@pytest.mark.parametrize(
    ("line", "name", "threshold"),
    [
        ("dup_line_frac: 0", "max_repeated_line_share", 1),
        ("dup_para_frac: 0.3", "max_repeated_paragraph_share", 0.3),
        ("dup_line_char_frac: 0.05", "max_repeated_line_character_share", 0.05),
        ("dup_line_char_frac: 0.2", "max_repeated_line_character_share", 0.1),
        ("char_duplicates_ratio: 0", "max_repeated_line_character_share", 0),
        ("max_bullet_lines_ratio: 0", "max_bullet_line_share", 1),
        ("max_symbol_word_ratio: 0", "max_symbol_to_word_ratio", fineweb.OFF_RATIO),
        ("line_punct_thr: 0.12", "min_line_end_share", 0.12),
        ("line_punct_exclude_zero: true", "allow_no_line_end", True),
        ("short_line_thr: 0.67", "max_short_line_share", 0.67),
        ("short_line_length: 20", "short_line_characters", 20),
        ("min_doc_words: 0", "min_words", 1),
    ],
)
def test_each_setting_and_its_off_mean_what_they_mean_in_datatrove(
    line: str, name: str, threshold: float
) -> None:
    key = line.partition(":")[0]
    others = [each for each in SETTINGS.splitlines() if not each.startswith(f"{key}:")]

    assert fineweb_files.parse("\n".join([*others, line]), "x.yml").thresholds()[name] == threshold


def test_a_file_pasted_into_the_recipe_holds_between_default_and_override() -> None:
    config = RulesConfig.model_validate(
        {
            "default": {"min_words": 10, "max_digit_share": 0.3},
            "fineweb2": {
                "deu_Latn": yaml.safe_load(SETTINGS),
                "fra_Latn": yaml.safe_load(SETTINGS),
            },
            "by_language": {"deu_Latn": {"max_repeated_line_share": 0.5}},
            "stop_words": {"fra_Latn": ["de", "la"]},
        }
    )

    german = config.for_language("deu_Latn")
    assert (german.max_digit_share, german.min_words) == (0.3, 50)
    assert (german.max_repeated_line_share, german.max_new_line_ratio) == (0.5, 0.2)
    assert config.stop_words_of("deu_Latn") == ("no", "on", "ที่")
    assert config.stop_words_of("fra_Latn") == ("de", "la")
    assert config.stop_words_of("ita_Latn") == ()
    assert config.for_language("ita_Latn") == config.default


@pytest.mark.parametrize("section", ["fineweb2", "by_language", "stop_words"])
def test_settings_of_a_language_that_no_registry_knows_are_refused(section: str) -> None:
    values = {"fineweb2": yaml.safe_load(SETTINGS), "by_language": {}, "stop_words": ["no"]}

    with pytest.raises(ValidationError, match=f"{section}: cmn_Hani is no language"):
        RulesConfig.model_validate({"default": {}, section: {"cmn_Hani": values[section]}})


def test_stop_words_of_a_pasted_file_are_asked_for() -> None:
    config = RulesConfig.model_validate(
        {"default": {}, "fineweb2": {"deu_Latn": yaml.safe_load(SETTINGS)}}
    )

    assert "few-stop-words" in judge_of(get_language("deu_Latn"), config).reasons
    assert "few-stop-words" not in judge_of(get_language("nld_Latn"), config).reasons


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("new_line_ratio", "newline_ratio", "newline_ratio"),
        ("language_score: 0.7", "language_score: 7", "language_score"),
        ("- - 2\n", "- - 0\n", "top_n_grams"),
        ("min_avg_word_length: 3", "min_avg_word_length: 30", "min_avg_word_length"),
        ("stopwords:\n", "stopwords: [\n", "not YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "abc_Latn.yml"
    path.write_text(SETTINGS.replace(old, new))

    with pytest.raises(ParamsError, match=r"abc_Latn\.yml") as error:
        fineweb_files.load(path)

    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"none\.yml"):
        fineweb_files.load(tmp_path / "none.yml")


@pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"needs {ARCHIVE}")
def test_all_published_files_are_read_and_written_byte_for_byte() -> None:
    count = 0
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if not member.name.endswith(".yml"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            text = file.read().decode()
            settings = fineweb_files.parse(text, member.name)
            assert fineweb_files.dump(settings) == text
            RuleThresholds.model_validate(settings.thresholds())
            count += 1

    assert count == 1929
