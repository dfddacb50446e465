"""Imported sets in the stage: judged together, counted, told before anything is removed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.artifacts import InstructionSet
from polylm_core.compute.local import LocalBackend
from polylm_core.errors import ParamsError, SourceError
from polylm_core.params import load_params
from polylm_core.pipeline import check_sources
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.config import InstructConfig
from polylm_core.stages.instruct.stage import instruct
from tests.architecture.closure import ROOT
from tests.support import make_run
from tests.unit.stages.instruct.import_files import ALPACA, declare, json_array
from tests.unit.stages.instruct_inputs import LANGUAGES, make_documents, make_shards, sentences
from tests.unit.stages.test_instruct import funnel_of, make_config, rows_of

POEM = "A long answer in so many words that a copy of it is told from all other answers at once."
ROWS = [
    *ALPACA,
    {"instruction": "Write a poem.", "input": "", "output": POEM},
    {"instruction": "Write a poem!", "input": "", "output": POEM},
    {"instruction": "Write a sentence.", "input": "", "output": sentences("eng_Latn")[50]},
]
CONTENT = json_array(ROWS)


def config_of(**changes: Any) -> InstructConfig:
    declared = declare("alpaca.json", **changes)
    declared["files"] = {"alpaca.json": hashlib.sha256(CONTENT).hexdigest()}
    return make_config(taco=None, imports={"alpaca": declared}, revision=1)


def make_set(folder: Path, config: InstructConfig, **changes: Any) -> InstructionSet:
    sources = folder / "00_sources"
    (sources / "alpaca").mkdir(parents=True)
    (sources / "alpaca/alpaca.json").write_bytes(CONTENT)
    shards = make_shards(folder / "02_shards")
    run: StageRun = replace(make_run(folder, languages=LANGUAGES), **changes)
    return instruct(config, make_documents(folder / "01_documents"), shards, sources, run)


def test_imported_tasks_are_learned_beside_those_made_here(tmp_path: Path) -> None:
    made = make_set(tmp_path, config_of(expected_items=7))
    rows = [row for row in rows_of(made) if row.origin == "alpaca"]
    assert [row.id for row in rows] == [f"alpaca/{number:07d}" for number in (1, 2, 4, 5)]
    for row in rows:  # each leads to its row of the file
        source = ROWS[int(row.id.rpartition("/")[2]) - 1]
        assert row.messages[-1].content == source["output"]
    funnel = funnel_of(made)
    ends = {reason: n for (origin, _, reason), n in funnel.items() if origin == "alpaca"}
    assert ends == {"kept": 4, "empty-part": 1, "near-duplicate": 1, "contaminated": 1}
    assert made.counts["imports"] == {"alpaca": {"items": 7, "expected": 7}}
    assert "cross-lingual" in made.counts["train_by_origin"]


def test_imported_sets_are_the_same_in_two_processes(tmp_path: Path) -> None:
    first = make_set(tmp_path / "one", config_of())
    with LocalBackend(map_workers=2, training_workers=1, threads_per_worker=1) as backend:
        second = make_set(tmp_path / "two", config_of(), backend=backend)
    assert first.fingerprint == second.fingerprint


def test_the_checks_together_can_be_left_out(tmp_path: Path) -> None:
    content = config_of().model_dump() | {
        "import_checks": {"near_duplicates": None, "held_out_text": None}
    }
    made = make_set(tmp_path, InstructConfig.model_validate(content))
    assert made.counts["train_by_origin"]["alpaca"] == {"eng_Latn": 6}


def test_a_missing_set_stops_the_stage(tmp_path: Path) -> None:
    content = config_of().model_dump()
    content["imports"]["other"] = declare("o.json")
    with pytest.raises(SourceError, match=r"1 of 2 sets.*\n  other: 1 of 1 files not in"):
        make_set(tmp_path, InstructConfig.model_validate(content))


def recipe_with(folder: Path, imports: dict[str, Any]) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["instruct"]["imports"] = imports
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_missing_set_is_told_before_anything_runs(tmp_path: Path) -> None:
    far = declare("f.json", uri="https://example.org/files")
    params = load_params(recipe_with(tmp_path, {"near": declare("n.json"), "far": far}))
    with pytest.raises(ParamsError) as told:
        check_sources(ROOT / "data/00_sources", params)
    (problem,) = told.value.problems
    assert problem.location == "instruct.imports.near"
    assert "put n.json into data/00_sources/near" in problem.message


@pytest.mark.parametrize(
    ("name", "message"),
    [("udhr", "is a source of `ingest` too"), ("taco", "is the origin of what this stage makes")],
)
def test_a_name_that_stands_for_something_else_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        load_params(recipe_with(tmp_path, {name: declare("a.json")}))


def test_the_recipe_of_the_assistant_has_nine_sets_with_their_published_counts() -> None:
    imports = load_params(ROOT / "recipes/polylm-assistant-13b.yaml").instruct.imports
    assert sorted(declared.expected_items or 0 for declared in imports.values()) == [
        *(28, 4535, 15011, 48818, 52002, 55668, 100000, 132701, 140591),
    ]


def test_the_recipe_of_multialpaca_asks_as_published() -> None:
    settings = load_params(ROOT / "recipes/polylm-multialpaca-13b.yaml").instruct.self_instruct
    assert settings is not None
    assert len(settings.languages) == 11
    rounds = [settings.prompts_of_round(number) for number in range(1, settings.rounds + 1)]
    assert rounds == [10] + [100] * 9
    assert settings.num_prompts == 11 * 910
    assert settings.tasks_per_prompt == 17
