"""`encode` ends in the same bytes whoever works and whatever is killed, and does no part twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from polylm_core import records, restart
from polylm_core.artifacts import ShardSet, Tokenizer, TokenSet
from polylm_core.compute.local import LocalBackend
from polylm_core.stages.base import StageRun
from polylm_core.stages.encode import part, stage
from polylm_core.stages.encode.config import EncodeConfig
from polylm_core.stages.encode.part import EncodePart, PartCounts
from polylm_core.stages.encode.stage import encode
from polylm_core.stages.vocab.config import VocabConfig
from polylm_core.stages.vocab.stage import vocab
from tests.shards import make_shards
from tests.support import make_run

LANGUAGES = ("eng_Latn", "deu_Latn", "tha_Thai")
PARTS = 36
"""Three languages and three pairs: five parts of eight rows to train on, one held out."""

Encoding = Callable[[StageRun], TokenSet]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, Tokenizer]:
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "PART_ROWS", 8)
        shards = make_shards(folder)
    config = VocabConfig(vocab_size=420, character_coverage=0.999, sample_bytes=20_000)
    return shards, vocab(config, shards, make_run(folder, languages=LANGUAGES, name="vocab"))


@pytest.fixture(scope="module")
def encoding(inputs: tuple[ShardSet, Tokenizer]) -> Encoding:
    return lambda run: encode(EncodeConfig(), *inputs, run)


@pytest.fixture(scope="module")
def tokens(encoding: Encoding, tmp_path_factory: pytest.TempPathFactory) -> TokenSet:
    return encoding(make_run(tmp_path_factory.mktemp("undisturbed"), languages=LANGUAGES))


@pytest.fixture
def run(tmp_path: Path) -> StageRun:
    return make_run(tmp_path, languages=LANGUAGES)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The parts that are really encoded, one after the other."""
    seen: list[Path] = []
    original = part._encode

    def watched(unit: EncodePart, stem: Path) -> PartCounts:
        seen.append(unit.stem.relative_to(unit.stem.parents[2]))
        return original(unit, stem)

    monkeypatch.setattr(part, "_encode", watched)
    return seen


def die(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_same_bytes_come_from_parts_and_from_a_whole(
    inputs: tuple[ShardSet, Tokenizer], tokens: TokenSet, run: StageRun, tmp_path: Path
) -> None:
    whole = encode(EncodeConfig(), make_shards(tmp_path), inputs[1], run)
    assert whole.manifest.files == tokens.manifest.files


def test_the_same_bytes_come_from_one_worker_and_from_two(
    encoding: Encoding, tokens: TokenSet, run: StageRun
) -> None:
    backend = LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1)
    assert encoding(replace(run, backend=backend)).fingerprint == tokens.fingerprint


def test_a_stage_that_ended_goes_on_with_the_parts_that_are_left(
    encoding: Encoding,
    tokens: TokenSet,
    run: StageRun,
    encoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(part, "write_marker", lambda *_: len(encoded) == 10 and die())
        with pytest.raises(KeyboardInterrupt):
            encoding(run)
    assert not run.out.exists()
    assert len(encoded) == 10  # none of them is marked as finished
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_require_training_text", die)
        with pytest.raises(KeyboardInterrupt):
            encoding(run)
    assert len(encoded[10:]) == len(set(encoded[10:])) == PARTS
    assert encoding(run).fingerprint == tokens.fingerprint
    assert len(encoded) == 10 + PARTS
    assert not (run.work / "parts").exists()


@pytest.fixture
def all_parts_finished(
    encoding: Encoding, run: StageRun, monkeypatch: pytest.MonkeyPatch
) -> StageRun:
    """A stage that was killed when every part was finished and nothing published."""
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_join_streams", die)
        with pytest.raises(KeyboardInterrupt):
            encoding(run)
    return run


def test_a_finished_part_that_was_damaged_is_made_again(
    encoding: Encoding, tokens: TokenSet, all_parts_finished: StageRun, encoded: list[Path]
) -> None:
    run = all_parts_finished
    (parts,) = (run.work / "parts").iterdir()
    (parts / "train/deu_Latn/00001.bin").write_bytes(b"\0\0")
    (parts / "train/eng_Latn/00000.done.json").write_text("{")
    (parts / "held_out/tha_Thai/00000.documents.parquet").unlink()
    assert encoding(run).fingerprint == tokens.fingerprint
    assert sorted(map(str, encoded)) == [
        "held_out/tha_Thai/00000",
        "train/deu_Latn/00001",
        "train/eng_Latn/00000",
    ]


def test_a_part_that_other_code_finished_is_made_again(
    encoding: Encoding,
    all_parts_finished: StageRun,
    encoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restart, "version", lambda package: f"{package} of another day")
    encoding(all_parts_finished)
    assert len(encoded) == PARTS


def killed_between_parts(shards: Path, tokenizer: Path, folder: Path) -> None:
    """Encode slowly, for a test that kills the process; run in a process of its own."""
    original = part._encode

    def slow(unit: EncodePart, stem: Path) -> PartCounts:
        time.sleep(0.2)
        return original(unit, stem)

    part._encode = slow
    run = make_run(folder, languages=LANGUAGES)
    encode(EncodeConfig(), ShardSet.load(shards), Tokenizer.load(tokenizer), run)


def test_a_killed_stage_ends_in_the_same_bytes_and_keeps_its_parts(
    inputs: tuple[ShardSet, Tokenizer],
    encoding: Encoding,
    tokens: TokenSet,
    run: StageRun,
    encoded: list[Path],
) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from tests.unit.stages.test_encode_restart import killed_between_parts;"
        "killed_between_parts(*map(Path, sys.argv[1:]))"
    )
    folders = [str(path) for path in (inputs[0].path, inputs[1].path, run.work.parent)]
    process = subprocess.Popen([sys.executable, "-c", code, *folders])
    deadline = time.monotonic() + 60
    while len(list(run.work.rglob("*.done.json"))) < 3:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list(run.work.rglob("*.done.json")))
    assert encoding(run).fingerprint == tokens.fingerprint
    assert len(encoded) == PARTS - finished
