"""The id of a written task: it leads to the stored answer, and other filters do not change it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from polylm_core.stages.instruct.answers import Task
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.self_instruct import Unit, make_tasks
from tests.openai_server import serve_openai
from tests.unit.stages.test_instruct import SELF_INSTRUCT
from tests.unit.teachers.asking import make_config, teacher_of

SEEDS = (Task("Name two colours.", "", "Red and blue."), Task("Where is Rome?", "", "In Italy."))
WORDS = ("river", "mountain", "market", "orchestra", "volcano", "library", "harbour", "telescope")


def two_tasks(prompt: str, body: dict[str, Any]) -> str:
    """Two tasks that no other answer has, of which the first has a long output."""
    seed = int(body["seed"])
    one, two = WORDS[seed % 8], WORDS[seed // 8 % 8]
    return (
        f" Describe the {one} {seed}.\n4. Input: <noinput>\n4. Output: {'It is wide. ' * 9}\n"
        f"5. Instruction: Praise {seed} {two}s.\n5. Input: <noinput>\n5. Output: How fine they are."
    )


def test_an_id_leads_to_its_answer_and_stays_with_other_filters(tmp_path: Path) -> None:
    content = SELF_INSTRUCT | {
        "teacher": make_config().model_dump(),
        "languages": ["eng_Latn"],
        "max_generated_tokens": 160,
        "rounds": 1,
        "max_similarity": 1.0,
        "checks": {"language": None},
    }
    stricter = content | {"checks": {"language": None, "min_distinct_share": 0.5}}
    found: list[dict[str, str]] = []
    with serve_openai(answer=two_tasks) as books:
        for settings in (content, stricter):
            config = SelfInstructConfig.model_validate(settings)
            with teacher_of(books.url, tmp_path / "answers") as teacher:
                unit = Unit({"eng_Latn": SEEDS}, teacher, config, seed=7, work=tmp_path)
                rows = make_tasks(unit)[0].instructions
            found.append({row.id: row.messages[0].content for row in rows})
    every, fewer = found
    assert len(every) == 8, "four prompts with two tasks each"
    assert len(fewer) == 4
    assert fewer.items() <= every.items()
    stored = dict(
        sqlite3.connect(tmp_path / "answers").execute("SELECT request_sha256, answer FROM answers")
    )
    for name, question in every.items():
        _, language, place, key = name.split("/")
        (answer,) = [text for address, text in stored.items() if address.startswith(key)]
        assert question.removeprefix("Describe") in json.loads(answer)["text"]
        assert (language, place[:3]) == ("eng_Latn", "01-")
    assert sorted({name.split("/")[2] for name in every})[-1] == "01-004-02"
