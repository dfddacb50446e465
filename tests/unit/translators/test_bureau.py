"""Units of translation: each done once, the same for any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from polylm_core.compute.local import LocalBackend
from polylm_core.errors import TranslatorError
from polylm_core.teachers.opening import Surroundings
from polylm_core.teachers.teacher import Usage
from polylm_core.translators.bureau import Bureau
from polylm_core.translators.config import TranslateConfig
from polylm_core.translators.opening import open_bureau
from polylm_core.translators.table import Table
from polylm_core.translators.translator import Scope, Translation, Translator
from tests.support import SequentialBackend
from tests.unit.translators.doubles import Double
from tests.unit.translators.watching import Watcher

TEXTS = [f"Sentence {word} with {{name}}" for word in "one two three four five six seven".split()]
SPOKEN = [text.upper().replace("{NAME}", "{name}") for text in TEXTS]


@dataclass(frozen=True)
class Shouting:
    """A translator that a worker can be sent."""

    is_remote: bool = False
    scope: Scope = "line"

    def problem(self, source: str, target: str) -> str:
        return ""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        return [Translation(text.upper()) for text in texts]


def make_config(**changes: Any) -> TranslateConfig:
    table = {"kind": "table", "license": "CC0-1.0"}
    content = {"translator": table, "languages": ["spa_Latn"], "texts_per_unit": 2}
    return TranslateConfig.model_validate(content | changes)


def make_bureau(
    folder: Path,
    translator: Translator,
    /,
    watcher: Watcher | None = None,
    backend: Any = None,
    **config: Any,
) -> Bureau:
    return Bureau(
        translator,
        make_config(**config),
        folder,
        backend or SequentialBackend(),
        watcher or Watcher(),
        Usage,
    )


def test_people_see_each_unit(tmp_path: Path) -> None:
    watcher = Watcher()
    made = make_bureau(tmp_path, Double(), watcher).translate(
        [*TEXTS, TEXTS[0]], "eng_Latn", "spa_Latn"
    )
    assert [each.text for each in made] == [*SPOKEN, SPOKEN[0]]
    assert watcher.totals == {"eng_Latn to spa_Latn, texts": 7}
    assert watcher.done == 7


def test_a_unit_is_not_translated_again_after_a_crash(tmp_path: Path) -> None:
    def fails_at(word: str) -> Callable[[str], str]:
        def speak(text: str) -> str:
            if word in text:
                raise KeyboardInterrupt
            return text.upper()

        return speak

    first = Double(fails_at("five"))
    with pytest.raises(KeyboardInterrupt):
        make_bureau(tmp_path, first).translate(TEXTS, "eng_Latn", "spa_Latn")
    again = Double()
    made = make_bureau(tmp_path, again).translate(TEXTS, "eng_Latn", "spa_Latn")
    assert [each.text for each in made] == SPOKEN
    assert [text.split()[1] for text in again.asked] == ["five", "six", "seven"]


def test_a_unit_s_file_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    make_bureau(tmp_path, Double()).translate(TEXTS, "eng_Latn", "spa_Latn")
    files = sorted(tmp_path.rglob("*.json"))
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:60])
    again = Double()
    made = make_bureau(tmp_path, again).translate(TEXTS, "eng_Latn", "spa_Latn")
    assert [each.text for each in made] == SPOKEN
    assert 1 <= len(again.asked) <= 2


@pytest.mark.parametrize(
    "change",
    [
        {"translator": {"kind": "table", "license": "MIT"}},
        {"protection": {"max_pieces": 1}},
        {"texts_per_unit": 3},
    ],
)
def test_other_parameters_are_other_units(tmp_path: Path, change: dict[str, Any]) -> None:
    make_bureau(tmp_path, Double()).translate(TEXTS, "eng_Latn", "spa_Latn")
    again = Double()
    make_bureau(tmp_path, again, **change).translate(TEXTS, "eng_Latn", "spa_Latn")
    assert len(again.asked) >= 6


def test_other_languages_are_other_units(tmp_path: Path) -> None:
    double = Double()
    bureau = make_bureau(tmp_path, double)
    for target in ("spa_Latn", "deu_Latn", "spa_Latn"):
        bureau.translate(TEXTS, "eng_Latn", target)
    assert len(double.asked) == 14


def test_two_workers_translate_as_one_does(tmp_path: Path) -> None:
    alone = make_bureau(tmp_path / "one", Shouting()).translate(TEXTS, "eng_Latn", "spa_Latn")
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        made = make_bureau(tmp_path / "two", Shouting(), backend=backend).translate(
            TEXTS, "eng_Latn", "spa_Latn"
        )
    assert made == alone
    names = [sorted(p.name for p in (tmp_path / n).rglob("*.json")) for n in ("one", "two")]
    assert names[0] == names[1]


def test_all_languages_that_are_not_known_are_told_at_once(tmp_path: Path) -> None:
    bureau = make_bureau(tmp_path, Double(unknown=("deu_Latn", "fra_Latn")))
    bureau.require([("eng_Latn", "spa_Latn")])
    with pytest.raises(TranslatorError, match=r"know deu_Latn\n  does not know fra_Latn") as told:
        bureau.require([("eng_Latn", code) for code in ("deu_Latn", "spa_Latn", "fra_Latn")])
    assert "spa_Latn" not in str(told.value)


def test_a_table_is_opened_as_declared(tmp_path: Path) -> None:
    with open_bureau(
        make_config(),
        Surroundings({}, {}, tmp_path / "answers"),
        shards=tmp_path / "shards",
        work=tmp_path / "work",
        backend=SequentialBackend(),
        progress=Watcher(),
    ) as bureau:
        assert bureau.translator == Table(tmp_path / "shards/pairs")
    assert not (tmp_path / "answers").exists()


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (["eng_Latn"], "translated from"),
        (["spa_Latn", "spa_Latn"], "more than once"),
        (["spa_Latin"], "did you mean spa_Latn"),
    ],
)
def test_wrong_languages_are_told(languages: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_config(languages=languages)
