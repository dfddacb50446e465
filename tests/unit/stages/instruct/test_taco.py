"""TaCo's form: its parts in their order, read back, and made of headings and of seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polylm_core.artifacts import ShardSet, partial_folder, publish
from polylm_core.records import DOCUMENT_SCHEMA, PAIR_SCHEMA, Document, Instruction, Message, Pair
from polylm_core.records import write_parts as write
from polylm_core.stages.instruct import taco
from polylm_core.stages.instruct.config import InstructConfig, TacoConfig
from polylm_core.stages.instruct.seeds import Seed
from polylm_core.stages.instruct.stage import instruct
from polylm_core.stages.instruct.taco_form import (
    Aligned,
    Parts,
    align,
    in_plain_form,
    in_taco_form,
    parts_of,
    system_line,
)
from tests.support import make_run
from tests.unit.stages.instruct_inputs import make_documents, make_sources
from tests.unit.stages.test_instruct import funnel_of, rows_of
from tests.unit.stages.test_instruct import make_config as make_plain_config

COLOURS = Aligned(
    name="set/1",
    language="spa_Latn",
    license="CC0-1.0",
    english_instruction="Name two colours.",
    english_response="Red and blue.",
    question="Nombra dos colores.",
    answer="Rojo y azul.",
)


def test_the_answer_has_three_labelled_parts_and_a_system_line_asks_for_them() -> None:
    task = in_taco_form(COLOURS)
    assert [message.role for message in task.messages] == ["system", "user", "assistant"]
    assert task.messages[0].content == system_line("spa_Latn")
    assert task.messages[0].content.endswith("into Spanish.")
    assert task.messages[1].content == "Nombra dos colores."
    assert task.messages[2].content == (
        "Instruction in English: Name two colours.\n"
        "Response in English: Red and blue.\n"
        "Response in Spanish: Rojo y azul."
    )
    assert (task.id, task.origin, task.language) == ("taco/set/1", "taco", "spa_Latn")


def test_the_plain_form_has_the_same_question_and_answer_and_no_english() -> None:
    task = in_plain_form(COLOURS)
    assert [message.content for message in task.messages] == ["Nombra dos colores.", "Rojo y azul."]
    assert (task.id, task.origin) == ("taco-plain/set/1", "taco-plain")


def test_the_parts_of_an_answer_are_read_back() -> None:
    answer = in_taco_form(COLOURS).messages[2].content
    assert parts_of(answer, "spa_Latn") == Parts(
        "Name two colours.", "Red and blue.", "Rojo y azul."
    )


def chat(language: str, *turns: tuple[Any, str]) -> Instruction:
    messages = tuple(Message(role, content) for role, content in turns)
    return Instruction(f"set/{language}", language, language, "set", "CC0-1.0", messages)


def test_any_english_set_and_its_translation_become_taco_tasks() -> None:
    english = chat(
        "eng_Latn",
        ("system", "Be brief."),
        ("user", "Name two colours."),
        ("assistant", "Red and blue."),
    )
    spanish = chat("spa_Latn", ("user", COLOURS.question), ("assistant", COLOURS.answer))
    assert align(english, spanish) == replace(COLOURS, name="set/spa_Latn")


def test_a_chat_of_several_turns_has_no_taco_form() -> None:
    one = chat("eng_Latn", ("user", "a"), ("assistant", "b"))
    two = chat("spa_Latn", ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    assert align(one, two) is None


@pytest.mark.parametrize(
    "answer",
    [
        "Rojo y azul.",
        "Response in English: b\nInstruction in English: a\nResponse in Spanish: c",
        "Instruction in English: a\nResponse in English: b",
        "Instruction in English: a\nResponse in English: b\nResponse in Spanish:",
        "Instruction in English: a\nResponse in English: b\nResponse in German: c",
        "Instruction in English: a\nResponse in English: b\nResponse in English: b\n"
        "Response in Spanish: c",
        "Well. Instruction in English: a\nResponse in English: b\nResponse in Spanish: c",
    ],
)
def test_an_answer_without_one_of_its_parts_has_none(answer: str) -> None:
    assert parts_of(answer, "spa_Latn") is None


def page(document: str, topic: str) -> list[Pair]:
    units = [
        (f"The {topic} table", f"La tabla {topic}"),
        (f"Shows what {topic} holds in rows.", f"Muestra en filas lo que hay en {topic}."),
    ]
    return [
        Pair(f"help/eng_Latn-spa_Latn/{document}#{n}", "eng_Latn", a, "spa_Latn", b, "help", "MPL")
        for n, (a, b) in enumerate(units)
    ]


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    """Six pages to learn from and four held out, one of them about the same as one of the six."""
    topics = ["colour", "month", "city", "author", "river", "price"]
    held_out = ["colour", "planet", "metal", "forest"]
    out = tmp_path / "02_shards"
    partial = partial_folder(out)
    pages = [pair for topic in topics for pair in page(topic, topic)]
    apart = [pair for topic in held_out for pair in page(f"x-{topic}", topic)]
    write(partial / "pairs/spa_Latn", pages, PAIR_SCHEMA)
    write(partial / "held_out/pairs/spa_Latn", apart, PAIR_SCHEMA)
    for language in ("eng_Latn", "spa_Latn"):
        document = Document(f"help/{language}/page", "A\nB", language, "help", "MPL")
        write(partial / "documents" / language, [document], DOCUMENT_SCHEMA)
    return publish(ShardSet, partial, out, inputs={}, params={}, counts={})


def make_config(**taco: Any) -> InstructConfig:
    headed = {"sources": ["help"], "per_language": 9, "held_out_per_language": 4}
    return InstructConfig.model_validate(
        {
            "revision": 1,
            "min_words": 4,
            "max_words": 22,
            "max_chat_bytes": 640,
            "held_out_per_language": 1,
            "cross_lingual": {
                "hubs": {"eng_Latn": 0},
                "to_hub_share": 0.0,
                "native_share": 0.5,
                "pairs_per_further_language": 0,
                "max_further_chat_bytes": 300,
                "continuations_per_language": 0,
            },
            "taco": {"pairs_per_language": 0, "headed": headed} | taco,
        }
    )


def make_set(tmp_path: Path, shards: ShardSet, config: InstructConfig) -> Any:
    documents = make_documents(tmp_path / "documents")
    run = make_run(tmp_path / "run", languages=("eng_Latn", "spa_Latn"))
    return instruct(config, documents, shards, make_sources(tmp_path / "sources"), run)


def of_origin(rows: list[Instruction], origin: str) -> list[Instruction]:
    return [row for row in rows if row.origin == origin]


def test_headings_become_questions_and_held_out_ones_are_kept_apart(
    tmp_path: Path, shards: ShardSet
) -> None:
    made = make_set(tmp_path, shards, make_config())
    train = of_origin(rows_of(made), "taco")
    held_out = of_origin(rows_of(made, "held_out"), "taco")
    assert len(train) == 5
    assert len(held_out) == 4
    for row in (*train, *held_out):
        parts = parts_of(row.messages[2].content, "spa_Latn")
        assert parts is not None
        assert "table" in parts.english_instruction
        assert parts.english_response.startswith("Shows what")
        assert parts.response.startswith("Muestra en filas")
        assert "La tabla" in row.messages[1].content
    assert "La tabla colour" not in "\n".join(row.messages[1].content for row in train)
    assert funnel_of(made)["taco", "spa_Latn", "held-out"] == 1


def test_the_plain_set_is_of_the_same_questions(tmp_path: Path, shards: ShardSet) -> None:
    made = make_set(tmp_path, shards, make_config(also_plain=True))
    rows = rows_of(made)
    taco, plain = of_origin(rows, "taco"), of_origin(rows, "taco-plain")
    assert [row.messages[1].content for row in taco] == [row.messages[0].content for row in plain]
    for with_english, without in zip(taco, plain, strict=True):
        parts = parts_of(with_english.messages[2].content, "spa_Latn")
        assert parts is not None
        assert parts.response == without.messages[1].content
    assert funnel_of(made)["taco-plain", "spa_Latn", "kept"] == len(plain)
    assert not of_origin(rows_of(made, "held_out"), "taco-plain")


def test_a_seed_s_input_stands_in_the_english_instruction_too() -> None:
    seed = Seed(id="s", instruction="Ordne zu.", input="Hund, Stein", output="Tier", keep=False)
    english = Seed(id="s", instruction="Classify.", input="dog, stone", output="Animal", keep=False)
    unit = taco.Unit(
        language="deu_Latn",
        taco=TacoConfig(pairs_per_language=0),
        config=make_plain_config(),
        shards=Path("none"),
        seeds=(seed,),
        english_seeds=(english,),
        seed_license="MIT",
        seed=7,
    )
    (task,) = taco._from_seeds(unit).instructions
    parts = parts_of(task.messages[-1].content, "deu_Latn")
    assert parts is not None
    assert parts.english_instruction == "Classify.\ndog, stone"
    assert task.messages[1].content == "Ordne zu.\nHund, Stein"
