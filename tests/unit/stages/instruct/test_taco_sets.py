"""An English instruction set becomes TaCo's in every other language of the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct.config import TacoConfig
from polylm_core.stages.instruct.stage import instruct
from polylm_core.stages.instruct.taco_form import parts_of
from polylm_core.stages.instruct.taco_sets import NOT_ONE_ANSWER, in_three_parts
from polylm_core.storage import sha256_file
from polylm_core.translators.translator import EMPTY, NOT_IN_TABLE
from tests.support import make_run
from tests.unit.stages.instruct_inputs import LANGUAGES, make_documents, make_shards, make_sources
from tests.unit.stages.test_instruct import funnel_of, make_config, rows_of
from tests.unit.translators.doubles import Double
from tests.unit.translators.test_bureau import make_bureau

TACO = TacoConfig(pairs_per_language=0, also_plain=True)


def chat(name: str, *turns: str) -> Instruction:
    messages = tuple(
        Message("assistant" if place % 2 else "user", turn) for place, turn in enumerate(turns)
    )
    return Instruction(name, "eng_Latn", "eng_Latn", "alpaca", "MIT", messages)


ROWS = [
    chat("alpaca/1", "Name {n} colours.", "Red and blue."),
    chat("alpaca/2", "Say nothing.", "Silence"),
    chat("alpaca/3", "Hi", "Hello", "Bye", "See you"),
    chat("alpaca/4", "Count.", "1, 2, 3, " * 50),
]


def test_a_task_has_its_english_and_its_translation_in_three_parts(tmp_path: Path) -> None:
    double = Double(lambda text: "" if text == "Silence" else text.upper())
    bureau = make_bureau(tmp_path, double)
    made = in_three_parts(ROWS, ["spa_Latn", "deu_Latn"], bureau, TACO, max_bytes=400)
    spanish, plain, german, _ = made.instructions
    assert [row.id for row in made.instructions] == [
        f"{form}/alpaca/1/{code}"
        for code in ("spa_Latn", "deu_Latn")
        for form in ("taco", "taco-plain")
    ]
    parts = parts_of(spanish.messages[-1].content, "spa_Latn")
    assert parts is not None
    assert parts.english_instruction == "Name {n} colours."
    assert parts.english_response == "Red and blue."
    assert parts.response == "RED AND BLUE."
    assert spanish.messages[1] == Message("user", "NAME {n} COLOURS.")
    assert [turn.content for turn in plain.messages] == ["NAME {n} COLOURS.", "RED AND BLUE."]
    assert german.license == "MIT AND CC0-1.0"
    for code in ("spa_Latn", "deu_Latn"):
        for reason in ("kept", EMPTY, NOT_ONE_ANSWER, "too-long"):
            assert made.funnel.counts["taco", code, 0, reason] == 1, reason


def config_of(folder: Path, **taco: Any) -> Any:
    glossary = folder / "glossary.tsv"
    glossary.write_text("eng_Latn\tzho_Hans\nName it.\t说出它。\nRed.\t红色。\n", encoding="utf-8")
    alpaca = folder / "alpaca/a.json"
    alpaca.parent.mkdir(exist_ok=True)
    rows = [{"instruction": "Name it.", "output": "Red."}, {"instruction": "Go.", "output": "No."}]
    alpaca.write_text(json.dumps(rows), encoding="utf-8")
    return make_config(
        taco={"pairs_per_language": 0, "from_imports": {"alpaca": ["zho_Hans"]}, **taco},
        imports={
            "alpaca": {
                "format": "columns",
                "license": "MIT",
                "files": {"a.json": sha256_file(alpaca)},
                "input": None,
                "language": "eng_Latn",
            }
        },
        translate={
            "translator": {
                "kind": "table",
                "source": "glossary",
                "sha256": sha256_file(glossary),
                "license": "MPL-2.0",
            },
            "languages": [],
        },
    )


def test_the_stage_translates_the_sets_that_it_is_told(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "02_shards")
    run = replace(
        make_run(tmp_path, languages=LANGUAGES),
        source_locations={
            "glossary": str(tmp_path / "glossary.tsv"),
            "alpaca": str(tmp_path / "alpaca"),
        },
    )
    config = config_of(tmp_path)
    documents = make_documents(tmp_path / "documents")
    made = instruct(config, documents, shards, make_sources(tmp_path / "sources"), run)
    (row,) = [row for row in rows_of(made) if row.id.startswith("taco/alpaca")]
    assert row.id == "taco/alpaca/0000001/zho_Hans"
    assert row.messages[-1].content.endswith("红色。")
    assert funnel_of(made)["taco", "zho_Hans", NOT_IN_TABLE] == 1
    assert sum(row.origin == "alpaca" for row in rows_of(made)) == 2, "the English ones stay"


def test_a_set_that_is_not_imported_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="dolly is none of `imports`"):
        config_of(tmp_path, from_imports={"dolly": ["zho_Hans"]})
