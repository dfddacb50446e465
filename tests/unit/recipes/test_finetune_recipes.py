"""Recipes on the models of others: published figures, sizes, and the pins that are to be found."""

from __future__ import annotations

import pytest

from polylm_core.cli import plan
from polylm_core.params import load_params
from polylm_core.stages.finetune.config import LoraMethod
from polylm_core.stages.pretrain.imported_config import ImportedBaseConfig, ImportedFolder
from tests.architecture.closure import ROOT

PROFILES = ROOT / "infra/profiles"
MACHINE = PROFILES / "1x8-a100.yaml"
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
    told = plan.lines(recipe, PROFILES, str(MACHINE))
    assert told[0].startswith(f"{PARAMETERS[name]:,} parameters")
    params = load_params(recipe)
    phases = params.finetune.phases
    assert sum(line.startswith("finetune phase ") for line in told) == len(phases)
    assert sum(line.startswith("memory of a rank") for line in told) == len(phases)
    assert sum(line.startswith("  about ") for line in told) == len(phases)
    assert all(phase.context_tokens == 2048 for phase in phases)
    base = params.pretrain
    assert isinstance(base, ImportedBaseConfig)
    assert isinstance(base.imported, ImportedFolder)
    assert base.imported.unpinned
    assert told[-1].startswith("before it can run: pretrain.imported.sha256: no sha256 of config")
    assert base.imported.uri.replace("hf://", "git clone https://huggingface.co/") in told[-1]


def test_multialpaca_has_the_published_figures() -> None:
    (phase,) = load_params(ROOT / "recipes/polylm-multialpaca-13b.yaml").finetune.phases
    assert phase.learning_rate == 1e-5
    assert phase.global_batch_tokens == 64 * 2048
    told = plan.lines(ROOT / "recipes/polylm-multialpaca-13b.yaml", PROFILES, str(MACHINE))
    assert "  about 122 steps, 16,000,000 tokens in 1 epochs" in told


def test_taco_hangs_one_adapter_a_language_on_an_english_model() -> None:
    phases = load_params(ROOT / "recipes/taco-33b.yaml").finetune.phases
    assert [phase.name for phase in phases] == ["nepali", "sanskrit", "persian", "maithili"]
    for phase in phases:
        method = phase.method
        assert isinstance(method, LoraMethod)
        assert (method.rank, method.alpha, method.dropout) == (32, 64, 0.05)
        assert method.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    told = plan.lines(ROOT / "recipes/taco-33b.yaml", PROFILES, str(MACHINE))
    # 60 blocks, 4 matrices of 6,656 by 6,656, two factors of rank 32 each
    assert 60 * 4 * 2 * 32 * 6656 == 102_236_160
    assert "  102,236,160 of 32,631,179,776 parameters are trained" in told
