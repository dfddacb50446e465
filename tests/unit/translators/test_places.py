"""Where translators are: told before a run by `polylm doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.errors import MachineError, TeacherError, TranslatorError
from polylm_core.settings import Profile
from polylm_core.translators.config import (
    ApertiumTranslator,
    Seq2SeqTranslator,
    TableTranslator,
)
from polylm_core.translators.places import require_translator
from tests.unit.teachers.asking import KEY_VARIABLE, make_endpoint
from tests.unit.translators.test_by_endpoint import make_config

MODEL = Seq2SeqTranslator(kind="seq2seq", source="nllb", fingerprint="0" * 64, license="MIT")
TABLE = TableTranslator(kind="table", source="glossary", sha256="0" * 64, license="MIT")
APERTIUM = ApertiumTranslator(
    kind="apertium", fingerprints={"eng_Latn-spa_Latn": "?"}, license="GPL-2.0-or-later"
)


def test_a_profile_is_held_against_the_recipe_s_translator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = make_config().translator
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    profile = Profile(endpoints={"translator": make_endpoint("http://localhost:8000/v1")})
    with pytest.raises(MachineError, match=KEY_VARIABLE):
        require_translator(remote, profile)
    monkeypatch.setenv(KEY_VARIABLE, "sk-1")
    require_translator(remote, profile)
    with pytest.raises(TeacherError, match="where the translator 'translator' answers"):
        require_translator(remote, Profile())
    for config in (MODEL, TABLE):
        with pytest.raises(TeacherError, match=r"where the translator .* lies"):
            require_translator(config, Profile())
    with pytest.raises(TranslatorError, match="apt-get install apertium"):
        require_translator(APERTIUM, Profile())
    require_translator(TableTranslator(kind="table", license="MIT"), Profile())
