"""Items of evaluation sets that stand in training text are found, with the text they stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from polylm_core.artifacts import InstructionSet, ShardSet, partial_folder, publish
from polylm_core.records import (
    DOCUMENT_SCHEMA,
    INSTRUCTION_SCHEMA,
    PAIR_SCHEMA,
    Document,
    Instruction,
    Message,
    Pair,
    write_parts,
    write_table,
)
from polylm_core.stages.evaluate.config import ContaminationConfig
from polylm_core.stages.evaluate.overlap import (
    OverlapUnit,
    evaluated_items,
    item_text,
    measure_overlap,
)
from polylm_core.stages.evaluate.tables import Answer, Translation
from tests.support import make_run

LONG = "the quick brown fox jumps over the lazy dog and then it sleeps in the warm sun until noon"
SHORT = "Where is the nearest railway station?"
ITALIAN = "L'uomo aprì il rubinetto e l'acqua fluì dal becco sul pavimento."
CHINESE = "没有连接就无法显示该页面"


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, InstructionSet]:
    folder = tmp_path_factory.mktemp("trained")
    partial = partial_folder(folder / "02_shards")
    for language, text in (
        ("eng_Latn", f"A line before.\nHe said that {LONG.upper()}, and more!\n{SHORT}"),
        ("zho_Hans", CHINESE),
    ):
        rows = [Document(f"d/{language}", text, language, "s", "MIT")]
        write_parts(partial / "documents" / language, rows, DOCUMENT_SCHEMA)
    pair = Pair("p", "eng_Latn", "Water flows.", "ita_Latn", ITALIAN, "s", "MIT")
    write_parts(partial / "pairs/ita_Latn", [pair], PAIR_SCHEMA)
    shards = publish(ShardSet, partial, folder / "02_shards", inputs={}, params={}, counts={})
    partial = partial_folder(folder / "07_instructions")
    messages = (
        Message("user", "Say it."),
        Message("assistant", "Das Wetter ist heute sehr schön."),
    )
    task = Instruction(
        id="i", language="deu_Latn", prompt_language="eng_Latn", origin="o", license="MIT",
        messages=messages,
    )  # fmt: skip
    write_table(partial / "train.parquet", [task], INSTRUCTION_SCHEMA)
    instructions = publish(
        InstructionSet, partial, folder / "07_instructions", inputs={}, params={}, counts={}
    )
    return shards, instructions


def shares(
    units: list[OverlapUnit], trained_on: tuple[ShardSet, InstructionSet], folder: Path
) -> dict[tuple[str, str, str], tuple[float, int]]:
    found = measure_overlap(ContaminationConfig(), units, *trained_on, make_run(folder))
    return {(s.model, s.metric, s.language): (s.value, s.items) for s in found.scores}


def test_runs_and_whole_short_lines_are_found_by_set_and_language(
    trained_on: tuple[ShardSet, InstructionSet], tmp_path: Path
) -> None:
    published = [
        ("xcopa", "eng_Latn", {"premise": f"Well, {LONG} today", "choice1": "Yes", "label": 0}),
        ("xcopa", "eng_Latn", {"premise": "Something that nobody wrote before.", "label": 1}),
        ("xcopa", "ita_Latn", {"premise": ITALIAN}),
        ("xcopa", "zho_Hans", {"premise": f"{CHINESE}吗"}),  # neither a run nor the whole line
        ("xquad", "eng_Latn", {"question": SHORT, "answers": {"text": ["Here"]}}),
        ("xquad", "eng_Latn", {"question": f"{SHORT} And the nearest bus stop?"}),
    ]
    units = evaluated_items(ContaminationConfig(), [], [], published)
    found = shares(units, trained_on, tmp_path)
    assert found["base", "xcopa_share", "eng_Latn"] == (0.5, 2)
    assert found["base", "xcopa_share", "ita_Latn"] == (1.0, 1)
    assert found["base", "xcopa_share", "zho_Hans"] == (0.0, 1)
    assert found["base", "xcopa_share", ""] == (0.5, 4)
    assert found["base", "xquad_share", "eng_Latn"] == (0.5, 2)


def test_the_chat_model_has_read_the_instructions_too(
    trained_on: tuple[ShardSet, InstructionSet], tmp_path: Path
) -> None:
    config = ContaminationConfig()
    answer = Answer(
        "i", "deu_Latn", "eng_Latn", "o", "?", "Das Wetter ist heute sehr schön.", "!", 1, True,
        "de", True,
    )  # fmt: skip
    into = Translation("deu_Latn", "into_english", "t", "?", SHORT, "!", True)
    units = evaluated_items(config, [answer], [into], [])
    measured = measure_overlap(config, units, *trained_on, make_run(tmp_path))
    found = {(s.model, s.metric, s.language): s.value for s in measured.scores}
    assert found["base", "answers_share", "deu_Latn"] == 0.0
    assert found["chat", "answers_share", "deu_Latn"] == 1.0
    assert found["base", "translation_share", "eng_Latn"] == 1.0
    assert {(item.model, item.suite, item.text) for item in measured.items} == {
        ("chat", "answers", answer.reference),
        ("base", "translation", SHORT),
        ("chat", "translation", SHORT),
    }


def test_of_a_translation_the_reference_is_looked_for_in_its_own_language(
    trained_on: tuple[ShardSet, InstructionSet], tmp_path: Path
) -> None:
    row = {"source": "Wo?", "reference": SHORT, "target_code": "eng_Latn"}
    published = [("flores200_into_english", "deu_Latn", row)]
    units = evaluated_items(ContaminationConfig(), [], [], published)
    found = shares(units, trained_on, tmp_path)
    assert found["base", "flores200_into_english_share", "eng_Latn"] == (1.0, 1)


def test_a_language_that_was_not_trained_on_gives_nothing_away(
    trained_on: tuple[ShardSet, InstructionSet], tmp_path: Path
) -> None:
    units = [OverlapUnit("fra_Latn", {"xnli": [LONG]})]
    assert shares(units, trained_on, tmp_path)["chat", "xnli_share", "fra_Latn"] == (0.0, 1)


def test_all_strings_of_an_item_are_its_text() -> None:
    item = {"a": "one", "n": 3, "b": ["two", {"c": "three"}], "d": "", "e": None}
    assert item_text(item) == "one\ntwo\nthree"


def test_items_of_short_lines_alone_are_not_looked_for() -> None:
    published = [("set", "eng_Latn", {"question": "Yes?", "answer": "No."})]
    assert evaluated_items(ContaminationConfig(), [], [], published) == []
