"""What became of everything, as files and as tables that people see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from polylm_core.progress import NullProgress
from polylm_core.records import Instruction, Message
from polylm_core.stages.instruct import funnel_tables
from polylm_core.stages.instruct.config import SelfInstructConfig
from polylm_core.stages.instruct.filters import Sieve, Task, masked
from polylm_core.stages.instruct.selection import KEPT, Funnel, Harvest
from tests.unit.stages.test_instruct import SELF_INSTRUCT

GERMAN = "Im Winter ist es kalt und die Tage sind sehr kurz."
ENGLISH = "In winter it is cold and the days are very short."


class Watcher(NullProgress):
    def __init__(self) -> None:
        self.tables: dict[str, list[Mapping[str, object]]] = {}

    def table(self, key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        self.tables[key] = list(rows)


def make_funnel() -> Funnel:
    funnel = Funnel()
    funnel.count("self-instruct", "deu_Latn", KEPT, 3, round=1)
    funnel.count("self-instruct", "deu_Latn", "link", round=2)
    funnel.count("taco", "deu_Latn", KEPT, 7)
    funnel.measure("self-instruct", "deu_Latn", {"lines checked": 4, "lines in the language": 3})
    return funnel


def test_the_funnel_is_written_by_round(tmp_path: Path) -> None:
    funnel_tables.write(tmp_path, make_funnel())
    rows = pq.read_table(tmp_path / "funnel.parquet").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("self-instruct", "deu_Latn", 1, KEPT, 3),
        ("self-instruct", "deu_Latn", 2, "link", 1),
        ("taco", "deu_Latn", 0, KEPT, 7),
    ]
    measures = pq.read_table(tmp_path / "measures.parquet").to_pylist()
    assert [tuple(row.values()) for row in measures] == [
        ("self-instruct", "deu_Latn", "lines checked", 4),
        ("self-instruct", "deu_Latn", "lines in the language", 3),
    ]


def test_people_see_the_funnel_by_origin_by_round_and_what_was_measured() -> None:
    watcher = Watcher()
    funnel_tables.show(make_funnel(), watcher)
    assert watcher.tables["instruction-funnel"] == [
        {"origin": "self-instruct", "reason": KEPT, "count": 3},
        {"origin": "self-instruct", "reason": "link", "count": 1},
        {"origin": "taco", "reason": KEPT, "count": 7},
    ]
    assert watcher.tables["instruction-funnel-by-round"] == [
        {"round": 1, "language": "deu_Latn", "reason": KEPT, "count": 3},
        {"round": 2, "language": "deu_Latn", "reason": "link", "count": 1},
    ]
    (row,) = watcher.tables["instruction-checks"]
    assert (row["lines passed"], row["words passed"]) == ("75.0%", "-")


def test_without_a_teacher_there_is_no_table_of_rounds() -> None:
    watcher, funnel = Watcher(), Funnel()
    funnel.count("taco", "deu_Latn", KEPT, 7)
    funnel_tables.show(funnel, watcher)
    assert set(watcher.tables) == {"instruction-funnel"}


def test_the_language_check_counts_what_it_judged() -> None:
    sieve = Sieve("deu_Latn", SelfInstructConfig.model_validate(SELF_INSTRUCT))
    sieve.judge(Task("Beschreibe den Winter.", "", f"{GERMAN}\n{ENGLISH}\n3"))
    sieve.judge(Task("Sieh nach.", "", "Auf https://example.org/page"))
    assert sieve.measures == {
        "tasks checked": 1,
        "lines checked": 2,
        "lines in the language": 1,
        "words checked": 22,
        "words in the script": 22,
    }


def test_what_is_dropped_later_is_dropped_from_its_round() -> None:
    message = (Message("user", "?"), Message("assistant", "!"))
    row = Instruction("a", "deu_Latn", "deu_Latn", "self-instruct", "CC0-1.0", message)
    harvest = Harvest([row], make_funnel(), {"a": 1})
    harvest.drop({0: "near-duplicate"})
    assert harvest.instructions == []
    counts = harvest.funnel.counts
    assert counts["self-instruct", "deu_Latn", 1, KEPT] == 2
    assert counts["self-instruct", "deu_Latn", 1, "near-duplicate"] == 1


def test_masked_data_is_counted_by_its_kind() -> None:
    task = Task("Call +49 30 901820 or write to ann@example.org.", "", "ann@example.org")
    _, found = masked(task, "deu_Latn")
    assert found == {
        "<PHONE_NUMBER> masked": 1,
        "<EMAIL> masked": 2,
        "tasks with personal data": 1,
    }
