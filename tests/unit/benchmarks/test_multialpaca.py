"""The replay of released tasks lists what it drops; the novelty benchmark's peer and lists."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from benchmarks.multialpaca import RECIPE, check_language, measure, read_tasks, replay
from benchmarks.novelty import altered, first_similar
from polylm_core.stages.instruct.answers import Task
from polylm_core.stages.instruct.config import InstructConfig, SelfInstructConfig

WINTER = "En invierno hace mucho frío y los días son muy cortos."
GOOD = Task("Describe el tiempo que hace en invierno.", "", WINTER)
PLANTED = [
    (GOOD, None),
    (Task("Abre la página.", "", "Está en https://example.org."), "link"),
    (Task("Nombra dos colores.", "", ""), "incomplete"),
    (Task("Describe el tiempo que hace en primavera.", "", WINTER), "not-novel"),
    (
        Task("Ordena los números 5, 7, 1", "números 5, 7, 1 los ordena", "1, 5, 7"),
        "redundant-input",
    ),
    (Task("Escribe una frase sobre el frío.", "", "It is very cold in winter here."), None),
]


@pytest.fixture(scope="module")
def config() -> SelfInstructConfig:
    content = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    found = InstructConfig.model_validate(content["instruct"]).self_instruct
    assert found is not None
    return found


def test_every_planted_task_is_listed_with_its_reason(
    config: SelfInstructConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    found = replay([task for task, _ in PLANTED], "spa_Latn", config)
    listed = {
        int(line.split("\t")[1]): line.split("\t")[2]
        for line in capsys.readouterr().out.split("\n")[:-1]
    }
    expected = {n: reason for n, (_, reason) in enumerate(PLANTED, start=1) if reason}
    assert listed == expected
    assert [line for line, _ in found.kept] == [1, 6]


def test_the_language_check_is_listed_apart(
    config: SelfInstructConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    found = replay([task for task, _ in PLANTED], "spa_Latn", config)
    capsys.readouterr()
    checked = check_language(found, "spa_Latn", config)
    assert checked["taken"] == 1
    assert checked["line_pass_rate"] == 0.5
    assert "spa_Latn\t6\tlanguage check" in capsys.readouterr().out


def test_a_kept_share_is_of_all_tasks(config: SelfInstructConfig) -> None:
    row = measure([task for task, _ in PLANTED], "spa_Latn", config)
    assert row["kept_share"] == pytest.approx(2 / 6, abs=1e-5)
    assert sum(row["dropped"].values()) + row["kept"] == row["tasks"] == 6


def test_a_null_of_a_released_file_is_an_empty_part(tmp_path: Path) -> None:
    rows = [{"instruction": "A", "input": None, "output": "B"}]
    path = tmp_path / "x.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    assert list(read_tasks(path)) == [Task("A", "", "B")]


def test_the_peer_names_the_first_similar_instruction() -> None:
    class Scorer:
        def score(self, words: list[str], asked: list[str]) -> dict[str, object]:
            same = float(words == asked)
            return {"rougeL": type("Score", (), {"fmeasure": same})}

    assert first_similar([["a"], ["b"], ["b"]], Scorer(), ["b"]) == 1
    assert first_similar([["a"]], Scorer(), ["b"]) is None


def test_an_altered_copy_has_as_many_words() -> None:
    words = [str(number) for number in range(200)]
    copy = altered(words, ["x"], random.Random(1))
    assert len(copy) == 200
    assert 0.05 < copy.count("x") / 200 < 0.6
