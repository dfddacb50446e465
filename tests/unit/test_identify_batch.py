"""Identification of many texts at once gives what fastText gives one by one."""

from __future__ import annotations

from pathlib import Path

import fasttext
import numpy as np
import pytest

from polylm_core.characters import composed, from_strings, properties
from polylm_core.errors import MachineError
from polylm_core.fasttext_file import read_fasttext
from polylm_core.identify import letters_only, lid_176_path
from polylm_core.identify_batch import BatchIdentifier, load_identifier
from polylm_core.identify_kernel import arrays_of, label_probabilities
from polylm_core.languages import POLYLM_LANGUAGES
from tests.unit.stages.curate_inputs import article_texts

WHOLE = 1_000_000


@pytest.fixture(scope="module")
def library() -> object:
    return fasttext.load_model(str(lid_176_path())).f


@pytest.mark.parametrize("language", [*POLYLM_LANGUAGES, "hin_Deva", "khm_Khmr", "amh_Ethi"])
def test_probabilities_are_those_of_the_library(language: str, library: object) -> None:
    texts = composed([*article_texts(language), *article_texts(language)[0].split(" ")[:20]])
    model = read_fasttext(lid_176_path())
    made = from_strings(texts)
    found = label_probabilities(
        made.values, made.offsets[:-1], made.offsets[1:], properties(), WHOLE, 1, arrays_of(model)
    )
    for row, text in zip(found, texts, strict=True):
        expected = library.predict(f"{letters_only(text)}\n", 5, 0.0, "strict")  # type: ignore[attr-defined]
        if not letters_only(text):
            continue
        for probability, label in expected:
            column = model.labels.index(label.removeprefix("__label__"))
            assert row[column] == pytest.approx(probability, abs=2e-3), (text, label)
        if expected[0][0] > 0.5:
            assert f"__label__{model.labels[int(row.argmax())]}" == expected[0][1]


def test_only_the_first_letters_are_looked_at() -> None:
    identifier = load_identifier()
    mixed = from_strings([f"{article_texts('deu_Latn')[1]} {article_texts('rus_Cyrl')[1] * 20}"])
    german, russian = (int(identifier.columns([code])[0]) for code in ("deu_Latn", "rus_Cyrl"))
    first, whole = (identifier.probabilities(mixed, most)[0] for most in (60, WHOLE))
    assert first[german] > 0.9
    assert whole[russian] > 0.9


def test_a_sample_is_spread_over_a_long_text() -> None:
    identifier = load_identifier()
    german, russian = article_texts("deu_Latn"), article_texts("rus_Cyrl")
    mixed = from_strings(["\n".join([german[1], *russian])])
    wanted = int(identifier.columns(["rus_Cyrl"])[0])
    start, spread = (identifier.probabilities(mixed, 80, windows=n)[0] for n in (1, 8))
    assert start[wanted] < 0.1
    assert spread[wanted] > 0.9


def test_a_stretch_of_a_text_is_identified_alone() -> None:
    german, thai = article_texts("deu_Latn")[1], article_texts("tha_Thai")[1]
    texts = from_strings([f"{german}\n{thai}"])
    cut = len(german.encode())
    bounds = (np.array([0, cut + 1]), np.array([cut, len(texts.values)]))
    identifier = load_identifier()
    found = identifier.probabilities(texts, 200, bounds=bounds).argmax(axis=1)
    assert [identifier.codes[column] for column in found] == [("deu_Latn",), ("tha_Thai",)]


def test_a_language_without_a_label_is_not_known() -> None:
    identifier = load_identifier()
    assert identifier.knows("swh_Latn")
    assert not identifier.knows("umb_Latn")


@pytest.mark.parametrize("content", [b"", b"no model at all, only some text" * 9])
def test_a_file_that_is_no_model_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lid.bin"
    path.write_bytes(content)
    with pytest.raises(MachineError, match=r"lid\.bin: not a fastText model"):
        BatchIdentifier(path)


def test_a_model_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lid.ftz"
    path.write_bytes(lid_176_path().read_bytes()[:-1000])
    with pytest.raises(MachineError, match="the file ends early"):
        BatchIdentifier(path)
