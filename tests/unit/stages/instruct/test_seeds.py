"""Seed tasks in either of the two forms that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polylm_core.errors import SourceError
from polylm_core.stages.instruct.seeds import Seed, read_seeds
from tests.architecture.closure import ROOT
from tests.unit.stages.instruct.test_translated import PLAIN, seeds_of

RELEASED = ROOT.parent / "shared/data/seeds/seed_tasks.jsonl"
ALPACA = {
    "id": "seed_task_1",
    "name": "antonym_relation",
    "instruction": "What is the relation between the given pairs?",
    "instances": [
        {"input": "Night : Day :: Right : Left", "output": "They are opposites."},
        {"input": "Up : Down", "output": "They are opposites too."},
    ],
    "is_classification": False,
}


def test_a_seed_of_self_instruct_gives_its_first_instance(tmp_path: Path) -> None:
    seeds = read_seeds(seeds_of(tmp_path, [ALPACA, PLAIN, ALPACA | {"id": "2", "keep": True}]))
    first, second, third = seeds.by_language["eng_Latn"]
    assert first == Seed(
        id="seed_task_1",
        instruction="What is the relation between the given pairs?",
        input="Night : Day :: Right : Left",
        output="They are opposites.",
        keep=False,
    )
    assert second.model_dump() == PLAIN
    assert third.keep, "what the published form cannot say may be added"


@pytest.mark.parametrize("instances", [[], "none", ["text"], [{"input": "", "output": ""}]])
def test_a_seed_without_an_instance_is_named(tmp_path: Path, instances: object) -> None:
    sources = seeds_of(tmp_path, [ALPACA, ALPACA | {"instances": instances}])
    with pytest.raises(SourceError, match=r"eng_Latn\.jsonl, line 2: .*Self-Instruct's with"):
        read_seeds(sources)


def test_the_forms_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="name: Extra inputs"):
        read_seeds(seeds_of(tmp_path, [PLAIN | {"name": "n"}]))


@pytest.mark.skipif(not RELEASED.is_file(), reason="the 175 seeds do not lie in ../shared/data")
def test_the_seeds_of_alpaca_are_read_as_they_are_published(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in RELEASED.read_text(encoding="utf-8").splitlines()]
    assert len(read_seeds(seeds_of(tmp_path, rows)).by_language["eng_Latn"]) == 175
