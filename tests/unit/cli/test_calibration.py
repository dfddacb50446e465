"""`polylm calibrate` and `polylm fineweb2`, as a user calls them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from polylm_core.cli import main
from polylm_core.errors import MachineError, PolyLMError
from polylm_core.params import load_params
from polylm_core.stages.curate import fineweb_files
from polylm_core.stages.curate.rules_config import RulesConfig
from tests.architecture.closure import ROOT

FINEWEB2 = """\
dup_line_frac: 0.25
dup_n_grams:
- - 5
  - 0.15
language_score: 0.7
line_punct_thr: -1
max_avg_word_length: 11
max_non_alpha_words_ratio: 0.75
min_avg_word_length: 3
new_line_ratio: 0.2
stopwords:
- 'no'
top_n_grams:
- - 2
  - 1.03
"""


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hundred documents in a language lid.176 does not know, a third with many figures."""
    monkeypatch.chdir(ROOT)
    rng = random.Random(5)
    words = [f"{a}{b}n" for a in ("ka", "lo", "mi", "su", "tu") for b in "aeiou"]
    path = tmp_path / "seed.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(150):
            figures = [str(rng.randrange(10**5)) for _ in range(15 * (number % 3 == 0))]
            text = " ".join([*rng.choices(words, k=30), *figures])
            file.write(json.dumps({"text": text}) + "\n")
    return path


def run(*arguments: object) -> tuple[str, str]:
    """Standard output and error of a command that ends well."""
    done = CliRunner().invoke(main.app, [str(each) for each in arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout, done.stderr


def mistake(*arguments: object) -> str:
    done = CliRunner().invoke(main.app, [str(each) for each in arguments])
    assert isinstance(done.exception, PolyLMError), done.output + repr(done.exception)
    return str(done.exception)


def test_the_settings_can_be_pasted_into_the_recipe(seed: Path, tmp_path: Path) -> None:
    printed, table = run("calibrate", "umb_Latn", seed)

    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    rules = yaml.safe_load(printed)["curate"]["rules"]
    for section in ("by_language", "stop_words"):
        content["curate"]["rules"].setdefault(section, {}).update(rules[section])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    pasted = load_params(tmp_path / "params.yaml").curate.rules
    assert pasted.for_language("umb_Latn").max_digit_share > 0.2
    assert len(pasted.stop_words_of("umb_Latn")) >= 8
    assert "false rejects of unseen text: " in table
    assert "digits" in table
    assert "does not know the language" in table


def test_a_file_of_fineweb2_is_written_and_never_over_another(seed: Path, tmp_path: Path) -> None:
    out = tmp_path / "umb_Latn.yml"
    printed, _ = run("calibrate", "umb_Latn", seed, "--format", "fineweb2", "--out", out)

    assert f"written: {out}" in printed
    assert "all together" in printed
    assert fineweb_files.load(out).min_stop_words == 2
    said = mistake("calibrate", "umb_Latn", seed, "--out", out)
    assert "exists and would be replaced" in said


def test_programs_read_the_same_with_the_settings(seed: Path) -> None:
    printed, said = run("calibrate", "umb_Latn", seed, "--json")

    content = json.loads(printed)
    digits = next(rule for rule in content["rules"] if rule["rule"] == "digits")
    assert digits["seed_before_share"] > 0.2 > digits["seed_after_share"]
    assert "by_language" in yaml.safe_load(content["settings"])["curate"]["rules"]
    assert said == ""


def test_mistakes_are_said_in_words(seed: Path, tmp_path: Path) -> None:
    assert "unknown language 'khm'" in mistake("calibrate", "khm", seed)
    assert "needs about 1,250" in mistake("calibrate", "umb_Latn", seed, "--budget", 0.001)
    assert "budget" in mistake("calibrate", "umb_Latn", seed, "--budget", 7)
    assert "no such file" in mistake("calibrate", "umb_Latn", tmp_path / "none.txt")
    assert "lid.176" in mistake("calibrate", "umb_Latn", seed, "--classifier", seed)


def test_outside_a_checkout_there_is_no_recipe(
    seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert "no params.yaml" in mistake("calibrate", "umb_Latn", seed)


def test_the_declared_classifier_has_to_be_given_and_the_one_declared(tmp_path: Path) -> None:
    from polylm_core.cli.calibration import identifier_of

    config = load_params(ROOT / "params.yaml").curate
    model = {"source": "glotlid", "file": "model.bin", "sha256": "0" * 64}
    identify = type(config.identify).model_validate(
        {**config.identify.model_dump(), "model": model}
    )
    declared = config.model_copy(update={"identify": identify})
    other = tmp_path / "model.bin"
    with pytest.raises(MachineError, match=r"glotlid/model\.bin: say where it lies"):
        identifier_of(declared, None)
    with pytest.raises(MachineError, match="does not exist"):
        identifier_of(declared, other)
    other.write_bytes(b"another")
    with pytest.raises(MachineError, match="sha256 is"):
        identifier_of(declared, other)


def test_files_of_fineweb2_become_a_section_under_our_codes(tmp_path: Path) -> None:
    for name in ("tha_Thai.yml", "cmn_Hani.yml"):
        (tmp_path / name).write_text(FINEWEB2, encoding="utf-8")

    printed, _ = run("fineweb2", tmp_path / "tha_Thai.yml", tmp_path / "cmn_Hani.yml")

    rules = yaml.safe_load(printed)["curate"]["rules"]
    assert set(rules["fineweb2"]) == {"tha_Thai", "zho_Hans", "zho_Hant"}
    assert rules["fineweb2"]["zho_Hant"] == yaml.safe_load(FINEWEB2)
    config = RulesConfig.model_validate({"default": {}, **rules})
    assert config.for_language("tha_Thai").max_repeated_line_share == 0.25
    assert config.stop_words_of("tha_Thai") == ("no",)


def test_a_file_of_a_language_outside_the_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "aai_Latn.yml").write_text(FINEWEB2, encoding="utf-8")

    assert "unknown language 'aai_Latn'" in mistake("fineweb2", tmp_path / "aai_Latn.yml")
    assert "cannot be read" in mistake("fineweb2", tmp_path / "none.yml")
