"""Seed tasks in languages that have none: translated, marked as such, and all counted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.artifacts import InstructionSet, ShardSet
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import ParamsError, SourceError, TranslatorError
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.quality_tables import QUALITY_FILE
from polylm_core.stages.instruct.seeds import needed_seeds, read_seeds
from polylm_core.stages.instruct.stage import instruct
from polylm_core.stages.instruct.translated import translate_seeds
from polylm_core.storage import sha256_file
from polylm_core.translators.translator import EMPTY, NOT_IN_TABLE
from tests.support import make_run
from tests.unit.stages.instruct_inputs import LANGUAGES, make_documents, make_shards, make_sources
from tests.unit.stages.test_instruct import funnel_of, make_config, rows_of
from tests.unit.translators.doubles import Double
from tests.unit.translators.test_bureau import make_bureau
from tests.unit.translators.watching import Watcher

GLOSSARY = (
    "eng_Latn\tzho_Hans\n"
    "Name two colours.\t说出两种颜色。\nRed and blue.\t红色和蓝色。\nWhere is Rome?\t罗马在哪里？\n"
)


def seeds_of(folder: Path, rows: list[dict[str, Any]], language: str = "eng_Latn") -> Path:
    seeds = folder / "seed_tasks"
    seeds.mkdir(parents=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (seeds / f"{language}.jsonl").write_bytes(content)
    files = {f"{language}.jsonl": {"sha256": hashlib.sha256(content).hexdigest()}}
    declaration = {"name": "seed_tasks", "licence": "Apache-2.0", "files": files}
    (seeds / "source.yaml").write_text(yaml.safe_dump(declaration), encoding="utf-8")
    return folder


KEEP = {
    "id": "k",
    "instruction": "Fix this.",
    "input": "print('a'",
    "output": "print('a')",
    "keep": True,
}
PLAIN = {
    "id": "p",
    "instruction": "Fill {in} this.",
    "input": "Hello",
    "output": "Bye",
    "keep": False,
}
BARE = {"id": "b", "instruction": "Say it.", "input": "", "output": "Silence", "keep": False}


def translating(folder: Path, **changes: Any) -> InstructConfig:
    glossary = folder / "glossary.tsv"
    glossary.write_text(GLOSSARY, encoding="utf-8")
    translator = {
        "kind": "table",
        "source": "glossary",
        "sha256": sha256_file(glossary),
        "license": "MPL-2.0",
    }
    content = {"translator": translator, "languages": ["zho_Hans"], "round_trip_samples": 5}
    return make_config(taco={"pairs_per_language": 0}, translate=content | changes)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return make_shards(tmp_path_factory.mktemp("data") / "02_shards")


def run_stage(
    folder: Path, shards: ShardSet, config: InstructConfig, **changes: Any
) -> InstructionSet:
    run = replace(
        make_run(folder, languages=LANGUAGES),
        source_locations={"glossary": str(folder / "glossary.tsv")},
        **changes,
    )
    documents = make_documents(folder / "documents")
    return instruct(config, documents, shards, make_sources(folder / "sources"), run)


def test_translated_seeds_are_learned_and_those_refused_are_counted(
    tmp_path: Path, shards: ShardSet
) -> None:
    watcher = Watcher()
    made = run_stage(tmp_path, shards, translating(tmp_path), progress=watcher)
    (row,) = [row for row in rows_of(made) if row.id.startswith("taco/seed_tasks/zho_Hans")]
    assert row.id == "taco/seed_tasks/zho_Hans/seed-0"
    assert row.license == "Apache-2.0 AND MPL-2.0"
    assert row.messages[1].content == "说出两种颜色。"
    assert row.messages[2].content.endswith("红色和蓝色。")
    assert funnel_of(made)["seed-translated", "zho_Hans", NOT_IN_TABLE] == 1, "In Italy."
    german = [row for row in rows_of(made) if row.id.startswith("taco/seed_tasks/deu_Latn")]
    assert {row.license for row in german} == {"Apache-2.0"}
    (quality,) = json.loads((made.path / QUALITY_FILE).read_text())
    assert quality == watcher.tables["translation-quality-seed-tasks"][0]
    assert quality["texts"] == "seed tasks"
    assert (quality["language"], quality["samples"], quality["bleu"]) == ("zho_Hans", 3, 100.0)
    assert watcher.totals["eng_Latn to zho_Hans, texts"] == 5
    assert watcher.totals["zho_Hans to eng_Latn, texts"] == 3


def test_the_number_of_workers_changes_nothing(tmp_path: Path, shards: ShardSet) -> None:
    config = translating(tmp_path, texts_per_unit=1)
    (tmp_path / "two").mkdir()
    translating(tmp_path / "two")
    one = run_stage(tmp_path, shards, config)
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        two = run_stage(tmp_path / "two", shards, config, backend=backend)
    assert one.fingerprint == two.fingerprint


def test_without_a_round_trip_there_is_no_table_of_it(tmp_path: Path, shards: ShardSet) -> None:
    watcher = Watcher()
    config = translating(tmp_path, round_trip_samples=0)
    made = run_stage(tmp_path, shards, config, progress=watcher)
    assert not (made.path / QUALITY_FILE).exists()
    assert not any("quality" in key for key in watcher.tables)


def test_what_is_kept_as_it_is_is_not_translated(tmp_path: Path) -> None:
    seeds = read_seeds(seeds_of(tmp_path, [KEEP, PLAIN, BARE]))
    double = Double(lambda text: "" if text == "Silence" else text.upper())
    bureau = make_bureau(tmp_path / "work", double, languages=["spa_Latn", "fra_Latn"])
    found = translate_seeds(seeds, bureau, seed=7)
    assert found.seeds is not None
    for language in ("spa_Latn", "fra_Latn"):
        kept, plain = found.seeds.by_language[language]
        assert kept.model_dump() == KEEP | {"instruction": "FIX THIS."}
        assert plain.model_dump() == PLAIN | {
            "instruction": "FILL {in} THIS.",
            "input": "HELLO",
            "output": "BYE",
        }
        assert found.refused.counts["seed-translated", language, 0, EMPTY] == 1
        assert found.seeds.license_of(language) == "Apache-2.0 AND CC0-1.0"
    assert found.seeds.license_of("eng_Latn") == "Apache-2.0"
    assert found.seeds.by_language["eng_Latn"] == seeds.by_language["eng_Latn"]
    assert not any("print" in text for text in double.asked)
    assert found.quality == []


def test_translated_seeds_that_are_learned_as_they_stand_say_so(
    tmp_path: Path, shards: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polylm_core.stages.instruct import stage

    seeds = read_seeds(seeds_of(tmp_path, [PLAIN]))
    bureau = make_bureau(tmp_path / "work", Double(), languages=["spa_Latn"])
    found = translate_seeds(seeds, bureau, seed=7)
    assert found.seeds is not None
    made = stage._seeds_as_they_stand(make_config(), found.seeds, ("eng_Latn", "spa_Latn"))
    assert [(row.id, row.origin, row.license) for row in made.instructions] == [
        ("seed/eng_Latn/p", "seed", "Apache-2.0"),
        ("seed-translated/spa_Latn/p", "seed-translated", "Apache-2.0 AND CC0-1.0"),
    ]


def test_a_language_with_seeds_of_its_own_is_not_translated_into(tmp_path: Path) -> None:
    config = translating(tmp_path, languages=["spa_Latn", "deu_Latn"])
    with pytest.raises(ParamsError, match=r"instruct\.translate\.languages\.1: has seed tasks"):
        needed_seeds(config, make_sources(tmp_path))


def test_english_seeds_are_needed(tmp_path: Path) -> None:
    sources = seeds_of(tmp_path, [PLAIN], language="deu_Latn")
    with pytest.raises(SourceError, match="no seed tasks in eng_Latn to be translated"):
        needed_seeds(translating(tmp_path), sources)


def test_no_part_that_needs_seeds_asks_for_none(tmp_path: Path) -> None:
    assert needed_seeds(make_config(taco=None), tmp_path) is None


def test_a_round_trip_needs_the_way_back(tmp_path: Path) -> None:
    class OneWay(Double):
        def problem(self, source: str, target: str) -> str:
            return "" if source == "eng_Latn" else f"not from {source}"

    seeds = read_seeds(seeds_of(tmp_path, [PLAIN]))
    translate_seeds(seeds, make_bureau(tmp_path / "work", OneWay()), seed=7)
    bureau = make_bureau(tmp_path / "work", OneWay(), round_trip_samples=1)
    with pytest.raises(TranslatorError, match="not from spa_Latn"):
        translate_seeds(seeds, bureau, seed=7)


def test_translation_for_nobody_is_refused() -> None:
    translate = {"translator": {"kind": "table", "license": "MIT"}, "languages": ["zho_Hans"]}
    with pytest.raises(ValueError, match="is for seed tasks"):
        make_config(taco=None, translate=translate)
