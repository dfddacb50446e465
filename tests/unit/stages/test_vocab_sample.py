"""The sample a vocabulary is learned from: bounded, balanced, the same from any parts and order."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core.artifacts import ShardSet, partial_folder, publish
from polylm_core.errors import CorruptArtifactError, StageError
from polylm_core.records import DOCUMENT_SCHEMA, Document, part_file, write_table
from polylm_core.stages.vocab import learn as learning
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.learn import learn
from polylm_core.stages.vocab.sample import count_bytes, read_sample, share_budget
from tests.shards import documents
from tests.support import make_run

LANGUAGES = ("deu_Latn", "eng_Latn")
CONFIG = VocabConfig(
    vocab_size=400, character_coverage=0.999, sample_bytes=9_000, sampling_exponent=0.3
)
TEXTS = {code: documents(code, 120, split="train") for code in LANGUAGES}


def publish_parts(folder: Path, parts: dict[str, list[Sequence[Document]]]) -> ShardSet:
    partial = partial_folder(folder / "02_shards")
    for code, tables in parts.items():
        for number, rows in enumerate(tables):
            file = part_file(partial / "documents" / code, number)
            write_table(file, rows, DOCUMENT_SCHEMA)
    return publish(ShardSet, partial, folder / "02_shards", inputs={}, params={}, counts={})


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    return publish_parts(tmp_path, {code: [rows] for code, rows in TEXTS.items()})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The samples that training was given; training itself is not waited for."""
    samples: list[list[str]] = []

    def train(sentences: object, **_: object) -> bytes:
        samples.append(list(sentences))  # type: ignore[call-overload]
        return b"a model"

    monkeypatch.setattr(learning, "train_sentencepiece", train)
    return samples


def expected_lines(rows: Sequence[Document], seed: int, budget_bytes: int) -> list[str]:
    """The rule said plainly: whole documents by hash, until the next line exceeds the share."""
    lines: list[str] = []
    for row in sorted(rows, key=lambda r: hashlib.sha256(f"{seed}\n{r.id}".encode()).digest()):
        for line in row.text.split("\n"):
            budget_bytes -= len(line.encode())
            if budget_bytes < 0:
                return lines
            lines.append(line)
    return lines


def test_the_sample_is_the_documents_of_lowest_hash(
    shards: ShardSet, tmp_path: Path, seen: list[list[str]]
) -> None:
    learned = learn(CONFIG, shards, make_run(tmp_path, languages=LANGUAGES))
    budget = share_budget(learned.language_bytes, sample_bytes=9_000, exponent=0.3)
    expected = [line for code in LANGUAGES for line in expected_lines(TEXTS[code], 7, budget[code])]
    assert seen == [expected]
    assert sum(learned.sample_bytes.values()) == sum(len(line.encode()) for line in expected)
    assert 8_500 < sum(learned.sample_bytes.values()) <= 9_000


def test_parts_and_their_order_change_nothing(
    shards: ShardSet, tmp_path: Path, seen: list[list[str]]
) -> None:
    parts: dict[str, list[Sequence[Document]]] = {
        code: [rows[70:][::-1], rows[:1], rows[1:70]] for code, rows in TEXTS.items()
    }
    other = publish_parts(tmp_path / "other", parts)
    learn(CONFIG, shards, make_run(tmp_path, languages=LANGUAGES))
    learn(CONFIG, other, make_run(tmp_path / "other", languages=LANGUAGES))
    assert seen[0] == seen[1]


def test_another_seed_draws_another_sample(
    shards: ShardSet, tmp_path: Path, seen: list[list[str]]
) -> None:
    for seed in (1, 2, 1):
        folder = tmp_path / str(len(seen))
        learn(CONFIG, shards, make_run(folder, languages=LANGUAGES, seed=seed))
    assert seen[0] == seen[2] != seen[1]


def test_a_few_very_unequal_documents_still_fill_the_share(
    tmp_path: Path, seen: list[list[str]]
) -> None:
    short = [replace(row, text="short") for row in TEXTS["eng_Latn"][:60]]
    long = replace(TEXTS["eng_Latn"][60], text="\n".join(f"line {n:04d}" for n in range(2000)))
    shards = publish_parts(tmp_path, {"eng_Latn": [[*short, long]]})
    learn(CONFIG, shards, make_run(tmp_path, languages=("eng_Latn",)))
    assert seen == [expected_lines([*short, long], 7, 9_000)]
    assert len(seen[0]) > 900


def test_small_languages_get_more_than_their_size() -> None:
    budget = share_budget({"a": 1_000_000, "b": 1_000}, sample_bytes=10_000, exponent=0.3)
    assert sum(budget.values()) <= 10_000
    assert budget["b"] / budget["a"] == pytest.approx(0.001**0.3, rel=0.01)
    equal = share_budget({"a": 1_000_000, "b": 1_000}, sample_bytes=10_000, exponent=0)
    assert equal["a"] == equal["b"] == 5000


def test_sizes_are_counted_in_bytes_of_utf8(tmp_path: Path) -> None:
    rows = documents("tha_Thai", 9, split="train")
    write_table(tmp_path / "t.parquet", rows, DOCUMENT_SCHEMA)
    assert count_bytes(tmp_path / "t.parquet") == sum(len(row.text.encode()) for row in rows)
    write_table(tmp_path / "none.parquet", [], DOCUMENT_SCHEMA)
    assert count_bytes(tmp_path / "none.parquet") == 0


def test_lines_come_back_whatever_breaks_they_hold(tmp_path: Path) -> None:
    lines = ["a\rb", "c\u2028d", "e\x0bf\x85g"]
    (tmp_path / "s.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert list(read_sample([tmp_path / "s.txt", tmp_path / "s.txt"])) == lines * 2


def test_a_run_with_other_thresholds_finds_the_trained_model(
    shards: ShardSet, tmp_path: Path, seen: list[list[str]]
) -> None:
    run = make_run(tmp_path, languages=LANGUAGES)
    first = learn(CONFIG, shards, replace(run, work=tmp_path / "runs" / "vocab-1"))
    looser = CONFIG.model_copy(update={"gate": CONFIG.gate.model_copy(update={"max_parity": 9})})
    assert learn(looser, shards, replace(run, work=tmp_path / "runs" / "vocab-2")) == first
    assert len(seen) == 1
    larger = CONFIG.model_copy(update={"vocab_size": 401})
    learn(larger, shards, replace(run, work=tmp_path / "runs" / "vocab-3"))
    assert len(seen) == 2


def test_a_damaged_model_is_trained_again(
    shards: ShardSet, tmp_path: Path, seen: list[list[str]]
) -> None:
    run = make_run(tmp_path, languages=LANGUAGES)
    learn(CONFIG, shards, run)
    (model,) = run.work.glob("learned-*/tokenizer.model")
    model.write_bytes(b"half")
    assert learn(CONFIG, shards, run).model == b"a model"
    assert len(seen) == 2


def test_what_a_killed_run_kept_is_not_read_again(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[list[str]]
) -> None:
    run = make_run(tmp_path, languages=LANGUAGES)
    kept = []
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(learning, "take_sample", _killed)
            with pytest.raises(KeyboardInterrupt):
                learn(CONFIG, shards, run)
        files = sorted(run.work.glob("*/sample/**/*.parquet"))
        kept.append([(file, file.stat().st_mtime_ns) for file in files])
    assert kept[0] == kept[1]
    assert len(kept[0]) == 2
    learn(CONFIG, shards, run)
    learn(CONFIG, shards, make_run(tmp_path / "fresh", languages=LANGUAGES))
    assert seen[0] == seen[1]


def _killed(unit: object) -> int:
    raise KeyboardInterrupt


def test_a_sample_too_small_for_the_vocabulary_says_what_to_change(
    shards: ShardSet, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"vocab_size": 100_000})
    with pytest.raises(StageError, match=r"vocab\.vocab_size"):
        learn(config, shards, make_run(tmp_path, languages=LANGUAGES))


def test_a_language_without_a_shard_is_named(shards: ShardSet, tmp_path: Path) -> None:
    shutil.rmtree(shards.path / "documents" / "deu_Latn")
    with pytest.raises(CorruptArtifactError, match="deu_Latn"):
        learn(CONFIG, shards, make_run(tmp_path, languages=LANGUAGES))
