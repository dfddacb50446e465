"""Models in Hugging Face folders: the languages asked for, and always the same."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from polylm_core.errors import TeacherError
from polylm_core.languages import load_languages
from polylm_core.translators.config import Seq2SeqTranslator
from polylm_core.translators.seq2seq import TranslationModel, find_model
from polylm_core.translators.translator import CUT_OFF, TOO_LONG, Translation
from tests.unit.translators.tiny_models import declared, make_m2m, make_marian, make_nllb

LINES = ["The house", "The garden and the house can be seen", "Here", "from the garden here"]


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "nllb"
    make_nllb(folder)
    return folder


@pytest.fixture(scope="module")
def m2m(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "m2m"
    make_m2m(folder)
    return folder


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "marian"
    make_marian(folder)
    return folder


def found(folder: Path, **changes: Any) -> TranslationModel:
    return find_model(declared(folder, **changes), {"tiny": str(folder)})


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], list[int]]]:
    """First two tokens of each line read and of each line written, by the real `generate`."""
    from transformers import M2M100ForConditionalGeneration

    real = M2M100ForConditionalGeneration.generate
    seen: list[tuple[list[int], list[int]]] = []

    def generate(self: Any, **settings: Any) -> Any:
        output = real(self, **settings)
        read = settings["input_ids"][:, :1].tolist()
        seen.extend((a, b[:2]) for a, b in zip(read, output.tolist(), strict=True))
        return output

    monkeypatch.setattr(M2M100ForConditionalGeneration, "generate", generate)
    return seen


def test_nllb_is_told_both_languages(nllb: Path, generated: list[Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(nllb)
    made = found(nllb).translate(LINES, "eng_Latn", "spa_Latn")
    assert [bool(each.text) or each.refusal for each in made] == [True] * 4
    languages = tokenizer.convert_tokens_to_ids(["eng_Latn", "spa_Latn"])
    assert generated == [([languages[0]], [2, languages[1]])] * 4
    assert not any("spa_Latn" in each.text or "</s>" in each.text for each in made)


def test_m2m_100_is_told_them_by_its_own_codes(m2m: Path, generated: list[Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(m2m)
    made = found(m2m).translate(LINES[:1], "eng_Latn", "zho_Hans")
    assert not made[0].refusal
    ids = [tokenizer.get_lang_id("en"), tokenizer.get_lang_id("zh")]
    assert generated == [([ids[0]], [2, ids[1]])]
    assert tokenizer.convert_ids_to_tokens(ids) == ["__en__", "__zh__"]


def test_one_target_is_not_another(nllb: Path) -> None:
    model = found(nllb)
    spanish = model.translate(LINES, "eng_Latn", "spa_Latn")
    german = model.translate(LINES, "eng_Latn", "deu_Latn")
    assert spanish != german
    assert model.translate(LINES, "eng_Latn", "spa_Latn") == spanish


@pytest.mark.parametrize("model", ["nllb", "m2m", "marian"])
def test_a_worker_translates_as_the_stage_does(model: str, request: pytest.FixtureRequest) -> None:
    ours = found(request.getfixturevalue(model))
    made = ours.translate(LINES, "eng_Latn", "spa_Latn")
    assert pickle.loads(pickle.dumps(ours)).translate(LINES, "eng_Latn", "spa_Latn") == made
    assert all(each.text for each in made)


def test_the_languages_of_nllb_are_known_but_for_two(nllb: Path) -> None:
    model = found(nllb)
    unknown = {code for code in load_languages() if model.problem("eng_Latn", code)}
    assert unknown == {"arb_Latn", "min_Arab"}
    assert "does not know Minangkabau (Arabic script) (min_Arab)" in model.problem(
        "min_Arab", "eng_Latn"
    )


def test_the_hundred_languages_of_m2m_100_are_found_in_the_registry(m2m: Path) -> None:
    from transformers import AutoTokenizer

    from polylm_core.translators.codes import m2m_code

    model = found(m2m)
    known = {m2m_code(code) for code in load_languages() if not model.problem("eng_Latn", code)}
    own = set(AutoTokenizer.from_pretrained(m2m).lang_code_to_token)
    assert own - known == {"br", "fy"}, "Breton and Frisian are not in FLORES-200"
    assert not model.problem("tgl_Latn", "nob_Latn")
    assert "Chinese" in model.problem("eng_Latn", "zho_Hant")


def test_marian_has_one_pair(marian: Path) -> None:
    model = found(marian)
    assert model.problem("eng_Latn", "spa_Latn") == ""
    assert "translates from en into es alone" in model.problem("spa_Latn", "eng_Latn")


def test_a_line_that_does_not_end_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    make_m2m(tmp_path / "endless", ends=False)
    model = found(tmp_path / "endless")
    assert model.translate(["house", "garden " * 60], "eng_Latn", "spa_Latn") == [
        Translation("", CUT_OFF),
        Translation("", TOO_LONG),
    ]


@pytest.mark.parametrize("model", ["nllb", "m2m", "marian"])
def test_a_line_that_the_limit_cuts_off_is_refused(
    model: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    cut = found(folder, max_new_tokens=2).translate(LINES, "eng_Latn", "spa_Latn")
    assert cut == [Translation("", CUT_OFF)] * len(LINES)
    whole = found(folder).translate(LINES, "eng_Latn", "spa_Latn")
    assert [each.refusal for each in whole] == [""] * len(LINES)


def test_another_folder_than_the_pinned_one_is_refused(nllb: Path) -> None:
    with pytest.raises(TeacherError, match="params say 0000"):
        found(nllb, fingerprint="0" * 64)
    with pytest.raises(TeacherError, match="where the translator 'tiny' lies"):
        find_model(declared(nllb), {})


def test_the_license_of_a_model_is_asked_for() -> None:
    with pytest.raises(ValueError, match="license"):
        Seq2SeqTranslator.model_validate(
            {"kind": "seq2seq", "source": "tiny", "fingerprint": "0" * 64}
        )
