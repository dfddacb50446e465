"""What is judged of the tasks of all languages together."""

from __future__ import annotations

import pytest

from polylm_core.artifacts import DocumentSet, ShardSet
from polylm_core.records import Document, Instruction, Message, Pair
from polylm_core.stages.instruct.config import ChecksConfig, NearTasksConfig
from polylm_core.stages.instruct.selection import KEPT, Harvest
from polylm_core.stages.instruct.together import near_duplicates, sift_together
from tests.unit.stages.instruct_inputs import make_documents, make_shards, sentences

CODE = "def add(a, b):\n    return a + b  # the sum of two numbers, whatever they are"

EXAM = "Quelle est la capitale de la France depuis le quinzième siècle ?"
UNSAID = "Which of these rivers is the longest one in South America?"
IN_ENGLISH = "The old lighthouse keeper never learned to swim."
IN_ITALIAN = "Il vecchio guardiano del faro non imparò mai a nuotare."


def row(name: str, language: str, question: str, answer: str) -> Instruction:
    messages = (Message("user", question), Message("assistant", answer))
    return Instruction(name, language, language, "self-instruct", "CC0-1.0", messages)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("shards") / "02_shards")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> DocumentSet:
    """An evaluation set in French, one that does not say its language, and a pair."""
    exam = [
        Document("exam/1", EXAM, "fra_Latn", "exam", "CC0-1.0"),
        Document("exam/2", f"x\n{UNSAID}", "", "exam", "CC0-1.0"),
    ]
    pair = Pair("exam/3", "eng_Latn", IN_ENGLISH, "ita_Latn", IN_ITALIAN, "exam", "CC0-1.0")
    return make_documents(tmp_path_factory.mktemp("data") / "01_documents", exam, [pair])


def harvest_of(rows: list[Instruction]) -> Harvest:
    harvest = Harvest(list(rows))
    for each in rows:
        harvest.funnel.count(each.origin, each.language, KEPT)
    return harvest


def test_of_near_duplicates_in_two_languages_the_first_stays() -> None:
    rows = [
        row("a", "deu_Latn", "Add:", CODE),
        row("b", "fra_Latn", "Add :", f"{CODE}."),
        row("c", "fra_Latn", "Nomme une couleur.", "Le jaune est une couleur très claire."),
    ]
    assert near_duplicates(rows, NearTasksConfig()) == [1]
    assert near_duplicates(rows[::-1], NearTasksConfig()) == [2]
    assert near_duplicates(rows, NearTasksConfig(min_jaccard=1.0)) == [1]
    assert near_duplicates([], NearTasksConfig()) == []


def test_the_similarity_asked_for_decides_what_is_near() -> None:
    rows = [
        row("a", "deu_Latn", "Add these two numbers in Python, please.", CODE),
        row("b", "fra_Latn", "Write a sum as a function of two numbers!", CODE),
    ]
    assert near_duplicates(rows, NearTasksConfig(min_jaccard=0.95)) == []
    assert near_duplicates(rows, NearTasksConfig(min_jaccard=0.3, bands=50, rows=1)) == [1]


def test_a_task_with_a_held_out_line_is_contaminated_and_counted(
    documents: DocumentSet, shards: ShardSet
) -> None:
    held = sentences("deu_Latn")[50]
    rows = [
        row("a", "deu_Latn", "Schreibe einen Satz.", held),
        row("b", "deu_Latn", "Schreibe einen anderen Satz.", "Heute scheint die Sonne hell."),
    ]
    sifted = sift_together(harvest_of(rows), ChecksConfig(), documents, shards)
    assert [each.id for each in sifted.instructions] == ["b"]
    assert sifted.funnel.counts["self-instruct", "deu_Latn", 0, "contaminated"] == 1
    assert sifted.funnel.counts["self-instruct", "deu_Latn", 0, KEPT] == 1
    unchecked = ChecksConfig(held_out_text=None, near_duplicates=None)
    assert sift_together(harvest_of(rows), unchecked, documents, shards).instructions == rows


def test_a_short_held_out_line_gives_nothing_away(documents: DocumentSet, shards: ShardSet) -> None:
    held = sentences("deu_Latn")[50]
    letters = sum(map(str.isalpha, held))
    rows = [row("a", "deu_Latn", "Schreibe einen Satz.", held)]
    checks = ChecksConfig.model_validate({"held_out_text": {"min_line_letters": letters + 1}})
    assert len(sift_together(harvest_of(rows), checks, documents, shards).instructions) == 1


def test_a_question_of_an_evaluation_set_is_contaminated_in_its_language(
    documents: DocumentSet, shards: ShardSet
) -> None:
    rows = [
        row("a", "fra_Latn", EXAM, "Paris, sans doute, et depuis bien plus longtemps."),
        row("b", "deu_Latn", EXAM, "Das ist eine andere Sprache, also keine Prüfungsfrage."),
        row("c", "deu_Latn", UNSAID, "Der Amazonas ist länger als alle anderen Flüsse."),
        row("d", "eng_Latn", "Write about the sea.", IN_ENGLISH),
        row("e", "ita_Latn", "Scrivi del mare.", IN_ITALIAN),
        row("f", "ita_Latn", "Scrivi di nuovo del mare.", "Il mare è blu e molto profondo."),
    ]
    sifted = sift_together(harvest_of(rows), ChecksConfig(), documents, shards)
    assert [each.id for each in sifted.instructions] == ["b", "f"]
