"""FineWeb-2's settings are read, mean what they meant and are written byte for byte."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from polylm_core.errors import ParamsError
from polylm_core.stages.curate import fineweb
from polylm_core.stages.curate.config import RuleThresholds

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
    settings = fineweb.parse(SETTINGS, "tha_Thai.yml")

    thresholds = RuleThresholds.model_validate(settings.thresholds())

    assert thresholds.max_duplicate_line_share == 0.25
    assert thresholds.max_top_ngram_share == {2: 1.03, 3: 0.18}
    assert thresholds.max_duplicate_ngram_share == {5: 0.15, 6: 0.12}
    assert thresholds.min_alphabetic_word_share == 0.75
    assert (thresholds.min_mean_word_characters, thresholds.max_mean_word_characters) == (3, 11)
    assert thresholds.min_words == 50
    assert settings.stopwords == ("no", "on", "ที่")
    assert settings.line_punct_thr == -1
    assert settings.min_stop_words == 2


def test_what_is_read_is_written_byte_for_byte() -> None:
    assert fineweb.dump(fineweb.parse(SETTINGS, "x.yml")) == SETTINGS


def test_words_that_yaml_takes_for_yes_and_no_stay_words() -> None:
    plain = SETTINGS.replace("'no'", "no").replace("'on'", "on")

    assert fineweb.parse(plain, "x.yml") == fineweb.parse(SETTINGS, "x.yml")


def test_settings_of_datatrove_beyond_the_files_are_kept() -> None:
    text = SETTINGS + "short_line_thr: 0.67\nline_punct_exclude_zero: true\n"
    settings = fineweb.parse(text, "x.yml")

    assert settings.short_line_thr == 0.67
    assert settings.line_punct_exclude_zero is True
    assert fineweb.parse(fineweb.dump(settings), "x.yml") == settings


def test_our_thresholds_are_written_as_theirs_and_come_back() -> None:
    ours = RuleThresholds().model_dump()

    settings = fineweb.FineWebSettings.of_thresholds(
        ours, language_score=0.5, line_punct_thr=-1, new_line_ratio=0.3, stopwords=("und", "die")
    )

    again = fineweb.parse(fineweb.dump(settings), "deu_Latn.yml").thresholds()
    assert again == {name: ours[name] for name in again}


def test_a_rule_that_is_off_never_fires() -> None:
    off = SETTINGS.replace("dup_line_frac: 0.25", "dup_line_frac: 0")

    assert fineweb.parse(off, "x.yml").thresholds()["max_duplicate_line_share"] == 1


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
        fineweb.load(path)

    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"none\.yml"):
        fineweb.load(tmp_path / "none.yml")


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
            settings = fineweb.parse(text, member.name)
            assert fineweb.dump(settings) == text
            RuleThresholds.model_validate(settings.thresholds())
            count += 1

    assert count == 1929
