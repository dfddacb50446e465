"""Recipes on the models of others: published figures, sizes, and the pins that are to be found."""

from __future__ import annotations

import jinja2
import pytest

from polylm_core.params import load_params
from polylm_core.stages.finetune.config import LoraMethod
from polylm_core.stages.instruct.composition import divide
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig, ImportedFolder
from tests.architecture.closure import ROOT
from tests.unit.cli.test_plan import plan

MACHINE = ROOT / "infra/profiles/1x8-a100.yaml"
PARAMETERS = {
    "polylm-multialpaca-13b": 13_906_790_400,
    "polylm-assistant-13b": 13_906_790_400,
    "bayling2-7b": 6_738_415_616,
    "bayling2-13b": 13_015_864_320,
    "bayling2-8b": 8_030_261_248,
    "taco-33b": 32_528_943_616,
}
"""As the models' cards have them, PolyLM's as the default sizes of its paper give."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_recipe_is_planned_and_says_what_it_needs_before_it_can_run(name: str) -> None:
    recipe = ROOT / f"recipes/{name}.yaml"
    told = plan(recipe, MACHINE)
    assert told["model"]["parameters"] == PARAMETERS[name]
    params = load_params(recipe)
    phases = params.finetune.phases
    runs = [f"finetune {phase.name}" for phase in phases]
    assert [row["run"] for row in told["runs"] if row["steps"]] == runs
    peaks = [row for row in told["memory_of_a_rank"] if row["part"] == "all"]
    assert [row["run"] for row in peaks] == runs
    assert all(phase.context_tokens == 2048 for phase in phases)
    base = params.pretrain
    assert isinstance(base, ImportedBaseConfig)
    assert isinstance(base.imported, ImportedFolder)
    assert base.imported.unpinned
    remark = told["remarks"][-1]
    assert remark.startswith("before it can run: pretrain.imported.sha256: no sha256 of config")
    assert base.imported.uri.replace("hf://", "git clone https://huggingface.co/") in remark


@pytest.mark.parametrize("name", ["bayling2-laptop", "taco-laptop"])
def test_a_recipe_for_two_cores_is_planned_before_its_model_is_fetched(name: str) -> None:
    told = plan(ROOT / f"recipes/{name}.yaml", ROOT / "infra/profiles/laptop-unsharded.yaml")
    assert told["model"]["parameters"] == 134_515_008  # as SmolLM2-135M's card has it


def test_multialpaca_has_the_published_figures() -> None:
    (phase,) = load_params(ROOT / "recipes/polylm-multialpaca-13b.yaml").finetune.phases
    assert phase.learning_rate == 1e-5
    assert phase.global_batch_tokens == 64 * 2048
    (row,) = plan(ROOT / "recipes/polylm-multialpaca-13b.yaml", MACHINE)["runs"]
    assert (row["steps"], row["tokens"]) == (122, 16_000_000)


@pytest.mark.parametrize("name", ["bayling2-7b", "bayling2-13b", "bayling2-8b"])
def test_bayling_has_the_published_shares_of_sets_that_are_there(name: str) -> None:
    params = load_params(ROOT / f"recipes/{name}.yaml")
    instruct = params.instruct
    shares = {"zho_Hans": 0.432, "eng_Latn": 0.262, "cross-lingual": 0.306}
    assert instruct.composition.shares == shares
    assert instruct.cross_lingual.multi_turn_share > 0
    items = {each.language: each.expected_items or 0 for each in instruct.imports.values()}
    available = {**items, "cross-lingual": 50_000}
    division = divide({part: available[part] for part in shares}, shares, 0.0)
    assert division.limited_by == "zho_Hans"
    (phase,) = params.finetune.phases
    assert phase.expected_tokens == pytest.approx(250 * sum(division.rows.values()), rel=0.02)


def test_taco_hangs_one_adapter_a_language_on_an_english_model() -> None:
    phases = load_params(ROOT / "recipes/taco-33b.yaml").finetune.phases
    assert [phase.name for phase in phases] == ["nepali", "sanskrit", "persian", "maithili"]
    for phase in phases:
        method = phase.method
        assert isinstance(method, LoraMethod)
        assert (method.rank, method.alpha, method.dropout) == (32, 64, 0.05)
        assert method.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    runs = plan(ROOT / "recipes/taco-33b.yaml", MACHINE)["runs"]
    # 60 blocks, 4 matrices of 6,656 by 6,656, two factors of rank 32 each
    assert 60 * 4 * 2 * 32 * 6656 == 102_236_160
    assert {row["trained_parameters"] for row in runs} == {102_236_160}


def test_taco_speaks_to_guanaco_as_it_was_spoken_to() -> None:
    source = load_params(ROOT / "recipes/taco-33b.yaml").finetune.chat_template
    assert source is not None
    template = jinja2.Environment().from_string(source)
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    answered = [*chat, {"role": "assistant", "content": "A"}]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    asked = template.render(messages=chat, add_generation_prompt=True, **tokens)
    assert asked == "<s>S\n### Human: Q ### Assistant:"
    assert template.render(messages=answered, **tokens) == f"{asked} A</s>"
