"""The command `apertium`: the real one where it is installed, a stand-in otherwise."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest

from polylm_core.errors import TranslatorError
from polylm_core.settings import Profile
from polylm_core.translators.apertium import (
    DATA_VARIABLE,
    Apertium,
    find_apertium,
    find_mode,
    mode_fingerprint,
)
from polylm_core.translators.codes import apertium_codes
from polylm_core.translators.config import ApertiumTranslator, ProtectionConfig
from polylm_core.translators.guarded import translate_guarded
from polylm_core.translators.places import require_translator
from polylm_core.translators.translator import Translation

STAND_IN = """#!/bin/sh
case "$1" in
  -l) printf '  en-es\\n  spa-eng\\n  eng-fra\\n  eng-deu\\n' ;;
  -V) echo 'Apertium 3.8.3' ;;
  *)
    shift 3
    case "$1" in
      en-es) tr 'a-z' 'A-Z' ;;
      eng-fra) echo 'out of order' >&2; exit 3 ;;
      eng-deu) tr -d '\\n' ;;
    esac ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = tmp_path / "bin/apertium"
    modes = tmp_path / "share/apertium/modes"
    modes.mkdir(parents=True)
    command.parent.mkdir()
    command.write_text(STAND_IN)
    command.chmod(0o755)
    (tmp_path / "rules.bin").write_bytes(b"rules")
    (modes / "en-es.mode").write_text(f"lt-proc '{tmp_path}/rules.bin' | cat\n")
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return command


def make_apertium(**fingerprints: str) -> Apertium:
    pairs = {name.replace("__", "-"): value for name, value in fingerprints.items()}
    pairs = pairs or {"eng_Latn-spa_Latn": "?"}
    return find_apertium(
        ApertiumTranslator(kind="apertium", fingerprints=pairs, license="GPL-2.0-or-later")
    )


def test_a_missing_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TranslatorError, match=r"apt-get install apertium`.*eng_Latn-spa_Latn"):
        make_apertium()


def test_a_pair_is_found_under_its_old_name_too(stand_in: Path) -> None:
    assert find_mode(stand_in, "eng_Latn", "spa_Latn") == "en-es"
    assert find_mode(stand_in, "spa_Latn", "eng_Latn") == "spa-eng"
    assert apertium_codes("arb_Arab") == ("ara", "arb", "ar")
    assert apertium_codes("zho_Hant") == ("zho",)


def test_a_missing_pair_says_what_to_install(stand_in: Path) -> None:
    problem = make_apertium().problem("eng_Latn", "kat_Geor")
    assert "no pair from English into Georgian (eng_Latn-kat_Geor)" in problem
    assert "install the package apertium-eng-kat or apertium-kat-eng" in problem


def test_the_data_of_a_pair_is_pinned(stand_in: Path, tmp_path: Path) -> None:
    seen = mode_fingerprint(stand_in, "en-es")
    assert make_apertium(eng_Latn__spa_Latn=seen).problem("eng_Latn", "spa_Latn") == ""
    (tmp_path / "rules.bin").write_bytes(b"other rules")
    problem = make_apertium(eng_Latn__spa_Latn=seen).problem("eng_Latn", "spa_Latn")
    assert f"params say {seen} for eng_Latn-spa_Latn" in problem
    assert "params say nothing" in make_apertium(spa_Latn__eng_Latn=seen).problem(
        "eng_Latn", "spa_Latn"
    )


def test_doctor_tells_of_each_pair_what_is_wrong(stand_in: Path) -> None:
    config = make_apertium(eng_Latn__spa_Latn="?", eng_Latn__kat_Geor="?").config
    seen = mode_fingerprint(stand_in, "en-es")
    with pytest.raises(TranslatorError, match=rf"(?s){seen}, params say \?.*English into Georgian"):
        require_translator(config, Profile())


def test_the_same_data_elsewhere_is_the_same_pair(stand_in: Path, tmp_path: Path) -> None:
    seen = mode_fingerprint(stand_in, "en-es")
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "bin", other / "bin")
    (other / "share/apertium/modes").mkdir(parents=True)
    (other / "rules.bin").write_bytes(b"rules")
    mode = other / "share/apertium/modes/en-es.mode"
    mode.write_text(f"lt-proc '{other}/rules.bin' | cat\n")
    assert mode_fingerprint(other / "bin/apertium", "en-es") == seen


def test_each_line_is_a_paragraph(stand_in: Path) -> None:
    apertium = pickle.loads(pickle.dumps(make_apertium()))
    asked = ["one", "two\rlines", "drei ö"]
    assert apertium.translate(asked, "eng_Latn", "spa_Latn") == [
        Translation("ONE"),
        Translation("TWO LINES"),
        Translation("DREI ö"),
    ]
    assert apertium.translate([], "eng_Latn", "spa_Latn") == []


def test_a_command_that_fails_is_quoted(stand_in: Path) -> None:
    with pytest.raises(TranslatorError, match="eng-fra ended with 3: out of order"):
        make_apertium().translate(["one"], "eng_Latn", "fra_Latn")
    with pytest.raises(TranslatorError, match="gave 1 paragraphs for 2"):
        make_apertium().translate(["one", "two"], "eng_Latn", "deu_Latn")


@pytest.mark.parametrize("pair", ["eng_Latn", "eng_Latn-xxx_Latn", "eng_Latn-spa_Latn-fra_Latn"])
def test_a_pair_of_unknown_languages_is_refused(pair: str) -> None:
    with pytest.raises(ValueError, match="fingerprints"):
        ApertiumTranslator(kind="apertium", fingerprints={pair: "?"}, license="GPL-2.0")


@pytest.mark.skipif(
    not shutil.which("apertium")
    or not find_mode(Path(shutil.which("apertium") or ""), "eng_Latn", "spa_Latn"),
    reason="apertium with its pair eng-spa is not installed",
)
def test_the_real_command_translates_each_line_by_itself() -> None:
    apertium = make_apertium()
    lines = ["a red house", "the dog sleeps", "with your friends", "It is big."]
    made = apertium.translate(lines, "eng_Latn", "spa_Latn")
    assert made[0].text == "Una casa roja"
    assert made == [apertium.translate([line], "eng_Latn", "spa_Latn")[0] for line in lines]
    (guarded,) = translate_guarded(
        apertium,
        ["Open `x.txt` and see the {colour} house at https://x.org/a_b.\n```\na red house\n```"],
        "eng_Latn",
        "spa_Latn",
        ProtectionConfig(),
    )
    assert guarded.text.endswith("https://x.org/a_b.\n```\na red house\n```")
    assert "`x.txt`" in guarded.text
    assert "{colour}" in guarded.text
    assert "casa" in guarded.text
