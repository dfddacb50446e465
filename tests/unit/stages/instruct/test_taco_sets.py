"""An English instruction set becomes TaCo's in every other language of the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from polylm_core.contamination import REASON as CONTAMINATED
from polylm_core.errors import TeacherError, TranslatorError
from polylm_core.records import Document, Instruction, Message
from polylm_core.stages.instruct.config import TacoConfig, TogetherConfig
from polylm_core.stages.instruct.quality_tables import QUALITY_FILE
from polylm_core.stages.instruct.stage import instruct
from polylm_core.stages.instruct.taco_form import parts_of
from polylm_core.stages.instruct.taco_sets import (
    NOT_ONE_ANSWER,
    TranslatedSets,
    in_three_parts,
    tasks_of_sets,
)
from polylm_core.storage import sha256_file
from polylm_core.teachers.config import Budget
from polylm_core.teachers.spending import most_of
from polylm_core.translators.config import OpenAITranslator
from polylm_core.translators.instructions import translate_instructions
from polylm_core.translators.translator import EMPTY, NOT_IN_TABLE
from tests.openai_server import KEY, MODEL, prompt_of, serve_openai
from tests.support import make_run
from tests.unit.stages.instruct_inputs import LANGUAGES, make_documents, make_shards, make_sources
from tests.unit.stages.test_instruct import funnel_of, make_config, rows_of
from tests.unit.teachers.asking import KEY_VARIABLE, make_endpoint
from tests.unit.translators.doubles import Double
from tests.unit.translators.test_bureau import make_bureau
from tests.unit.translators.watching import Watcher

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
    languages = ["spa_Latn", "deu_Latn"]
    found = translate_instructions(ROWS, languages, make_bureau(tmp_path, double))
    made = in_three_parts(found, languages, TACO, max_bytes=400)
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


def config_of(folder: Path, *, round_trip_samples: int = 0, **taco: Any) -> Any:
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
            "round_trip_samples": round_trip_samples,
        },
    )


def test_the_stage_translates_the_sets_that_it_is_told(tmp_path: Path) -> None:
    watcher = Watcher()
    shards = make_shards(tmp_path / "02_shards")
    run = replace(
        make_run(tmp_path, languages=LANGUAGES),
        progress=watcher,
        source_locations={
            "glossary": str(tmp_path / "glossary.tsv"),
            "alpaca": str(tmp_path / "alpaca"),
        },
    )
    config = config_of(tmp_path, round_trip_samples=5)
    documents = make_documents(tmp_path / "documents")
    made = instruct(config, documents, shards, make_sources(tmp_path / "sources"), run)
    (row,) = [row for row in rows_of(made) if row.id.startswith("taco/alpaca")]
    assert row.id == "taco/alpaca/0000001/zho_Hans"
    assert row.messages[-1].content.endswith("红色。")
    assert funnel_of(made)["taco", "zho_Hans", NOT_IN_TABLE] == 1
    assert sum(row.origin == "alpaca" for row in rows_of(made)) == 2, "the English ones stay"
    (quality,) = json.loads((made.path / QUALITY_FILE).read_text())
    assert (quality["texts"], quality["language"]) == ("imported sets", "zho_Hans")
    assert (quality["samples"], quality["refused"], quality["chrf_plus_plus"]) == (2, 0, 100.0)
    assert watcher.tables["translation-quality-imported-sets"] == [quality]


def translated_sets(folder: Path, double: Double, samples: int) -> TranslatedSets:
    """What becomes of two sets, of which one is brought into two languages."""
    bureau = make_bureau(folder / "bureau", double, round_trip_samples=samples)
    config = config_of(folder, round_trip_samples=samples)
    into = {"alpaca": ("spa_Latn", "deu_Latn"), "dolly": ("spa_Latn",)}
    taco = config.taco.model_copy(update={"from_imports": into})
    config = config.model_copy(update={"taco": taco})
    rows = [chat("alpaca/1", "Name it.", "Red."), chat("dolly/1", "Hear it.", "Low.")]
    rows[1] = replace(rows[1], origin="dolly")
    shards, documents = make_shards(folder / "02_shards"), make_documents(folder / "documents")
    return tasks_of_sets(config, rows, documents, shards, bureau, seed=7)


def test_a_sample_of_all_sets_of_a_language_is_translated_back(tmp_path: Path) -> None:
    def speak(text: str) -> str:
        return "" if text == "HEAR IT." else text.upper()

    made = translated_sets(tmp_path, Double(speak), samples=9)
    german, spanish = made.quality
    assert (german.texts, german.language, german.samples, german.refused) == (
        "imported sets",
        "deu_Latn",
        2,
        0,
    )
    assert (spanish.language, spanish.samples, spanish.refused) == ("spa_Latn", 3, 1)
    assert 0 < german.chrf_plus_plus < 100, "it does not come back in small letters"


def test_the_size_of_a_sample_is_that_of_a_language(tmp_path: Path) -> None:
    made = translated_sets(tmp_path, Double(), samples=1)
    assert [(row.language, row.samples) for row in made.quality] == [
        ("deu_Latn", 1),
        ("spa_Latn", 1),
    ]
    (tmp_path / "none").mkdir()
    none = translated_sets(tmp_path / "none", Double(), samples=0)
    assert none.quality == []
    assert len(none.harvest.instructions) == len(made.harvest.instructions) == 3


def test_the_way_back_is_needed_before_anything_is_translated(tmp_path: Path) -> None:
    class OneWay(Double):
        def problem(self, source: str, target: str) -> str:
            return "" if source == "eng_Latn" else f"not from {source}"

    double = OneWay()
    with pytest.raises(TranslatorError, match=r"not from deu_Latn\n.*not from spa_Latn"):
        translated_sets(tmp_path, double, samples=1)
    assert double.asked == []


def test_a_translation_that_gives_an_evaluation_away_in_its_language_is_dropped(
    tmp_path: Path,
) -> None:
    exam = (
        "Beim Zug über die alte Brücke zählte der Wächter dreizehn schwarze Pferde und zwei Wagen"
    )
    document = Document("exam/deu_Latn/1", exam, "deu_Latn", "exam", "MIT")
    documents = make_documents(tmp_path / "documents", [document])
    shards = make_shards(tmp_path / "02_shards")
    config = config_of(tmp_path)
    taco = config.taco.model_copy(update={"from_imports": {"alpaca": ("deu_Latn", "spa_Latn")}})
    config = config.model_copy(update={"taco": taco})
    rows = [chat("alpaca/1", "Tell it.", "The guard"), chat("alpaca/2", "Name it.", "Red.")]
    bureau = make_bureau(tmp_path, Double(lambda text: exam if text == "The guard" else text))
    made = tasks_of_sets(config, rows, documents, shards, bureau, seed=7).harvest
    assert sorted(row.id for row in made.instructions) == [
        "taco/alpaca/1/spa_Latn",
        "taco/alpaca/2/deu_Latn",
        "taco/alpaca/2/spa_Latn",
    ]
    assert made.funnel.counts["taco", "deu_Latn", 0, CONTAMINATED] == 1
    unchecked = config.model_copy(update={"import_checks": TogetherConfig(held_out_text=None)})
    made = tasks_of_sets(unchecked, rows, documents, shards, bureau, seed=7).harvest
    assert len(made.instructions) == 4


def shouted(prompt: str, body: dict[str, Any]) -> str:
    return prompt.split("\n---\n", 1)[1].upper()


def translator_with(max_tokens: int) -> OpenAITranslator:
    return OpenAITranslator(
        kind="openai",
        endpoint="translator",
        model=MODEL,
        max_new_tokens=50,
        budget=Budget(max_tokens=max_tokens),
        license="CC0-1.0",
    )


def test_seeds_and_sets_are_translated_from_one_budget(tmp_path: Path) -> None:
    shards, documents = make_shards(tmp_path / "02_shards"), make_documents(tmp_path / "documents")
    sources = make_sources(tmp_path / "sources")

    def run_with(name: str, max_tokens: int) -> None:
        config = config_of(tmp_path)
        translate = config.translate.model_copy(
            update={"translator": translator_with(max_tokens), "languages": ("zho_Hans",)}
        )
        run = replace(
            make_run(tmp_path / name, languages=LANGUAGES),
            source_locations={"alpaca": str(tmp_path / "alpaca")},
            endpoints={"translator": make_endpoint(books.url)},
        )
        changed = config.model_copy(update={"translate": translate})
        instruct(changed, documents, shards, sources, run)

    with serve_openai(answer=shouted) as books, pytest.MonkeyPatch.context() as patched:
        patched.setenv(KEY_VARIABLE, KEY)
        run_with("enough", 100_000)
        assert len(books.charged) == 8, "two seeds and two tasks of a set, each in two texts"
        taken = sum(books.tokens)
        prompts = [prompt_of(body) for body in books.bodies.values()]
        most = max(most_of(prompt, 50).tokens for prompt in prompts)
        books.charged.clear()
        budget = taken * 3 // 4 + most  # enough for either by itself
        with pytest.raises(TeacherError, match=r"Raise `translator\.budget`"):
            run_with("scarce", budget)
    assert sum(books.tokens) <= budget


def test_a_set_that_is_not_imported_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="dolly is none of `imports`"):
        config_of(tmp_path, from_imports={"dolly": ["zho_Hans"]})
