"""The plan of PolyLM-13B on the cluster it was trained on, to the byte; mistakes all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.cli import plan
from polylm_core.errors import ParamsError
from tests.architecture.closure import ROOT
from tests.unit.cli.test_main import polylm

RECIPE = ROOT / "recipes/polylm-13b.yaml"
PROFILES = ROOT / "infra/profiles"
CLUSTER = PROFILES / "32x8-a100.yaml"


def test_the_plan_of_the_13b_recipe_on_256_gpus() -> None:
    told = plan.lines(RECIPE, PROFILES, str(CLUSTER))
    assert (
        told
        == """\
13,906,790,400 parameters, gpt2
  40 blocks of 314,639,360
  transformer.wte.weight 1,310,720,000
  transformer.wpe.weight 10,485,760
  transformer.ln_f.weight 5,120
  transformer.ln_f.bias 5,120

2,048 sequences a step
  8 in a micro-batch x 1 accumulated x 256 ranks
  base: 152,111 steps, 637,999,775,744 tokens
  multilingual: 23,126 steps, 96,997,474,304 tokens
  in all: 175,237 steps, 734,997,250,048 tokens
  8.588e+10 floating-point operations a token, 6.312e+22 in all

partition of a rank: 54,323,400 to 54,323,400 parameters
  54,323,400 allocated by each

memory of a rank (gpu): 2.98 GB
  parameters: 0.11 GB
  gradients: 0.22 GB
  float32 weights and moments: 0.65 GB
  parameters that stay gathered: 0.01 GB
  buffer of gradients under way: 2.00 GB
while it computes, beside what a block keeps for its backward pass
  the most that is gathered at once: 2.72 GB
  the largest gradient while ranks sum it: 13.11 GB
  the gradients of a group at its update: 0.22 GB
  the logits of a chunk: 0.82 GB
  the gradient of the output matrix: 2.62 GB
  the residual stream before every block: 13.42 GB

a checkpoint: 166,881,484,800 bytes (12 a parameter) in 768 files

finetune phase instructions: full
  13,906,790,400 of 13,906,790,400 parameters are trained
  64 sequences of 2,048 tokens a step
  not on this profile: a global batch of 64 sequences cannot be shared by 256 ranks; change \
global_batch_tokens, or training.workers in the profile""".splitlines()
    )


def written(file: Path, source: Path, **changes: Any) -> Path:
    """A copy of a YAML file with other values by dotted name."""
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        section = content
        for name in parents:
            section = section[name]
        section[last] = value
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def problems(recipe: Path, profile: Path) -> dict[str, str]:
    with pytest.raises(ParamsError) as caught:
        plan.lines(recipe, PROFILES, str(profile))
    return {problem.location: problem.message for problem in caught.value.problems}


def test_a_profile_is_named_by_its_name_or_file(tmp_path: Path) -> None:
    for wrong in (tmp_path / "one-gpu", PROFILES / "one-gpu", PROFILES / "one-gpu.txt", PROFILES):
        (message,) = problems(RECIPE, wrong).values()
        assert message.startswith(f"no profile {wrong}; name one of {PROFILES} (")
        assert CLUSTER.stem in message


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert problems(tmp_path, CLUSTER) == {
        "(file)": "cannot be read: Is a directory; name a recipe"
    }


def test_ranks_share_a_batch_that_no_micro_batch_of_their_size_divides(tmp_path: Path) -> None:
    odd = written(
        tmp_path / "odd.yaml", CLUSTER, training__workers=128, training__micro_batch_sequences=6
    )
    told = plan.lines(RECIPE, PROFILES, str(odd))
    assert "  4 in a micro-batch x 4 accumulated x 128 ranks" in told


def test_every_number_of_ranks_that_a_profile_allows_is_planned(tmp_path: Path) -> None:
    fewer = written(tmp_path / "fewer.yaml", CLUSTER, training__min_workers=120)
    told = plan.lines(RECIPE, PROFILES, str(fewer))
    assert [line for line in told if line.endswith("ranks")] == [
        "  8 in a micro-batch x 1 accumulated x 256 ranks",
        "  8 in a micro-batch x 2 accumulated x 128 ranks",
    ]


def test_a_ramp_is_planned(tmp_path: Path) -> None:
    batch = 2048 * 2048
    ramp = [{"tokens": 100 * batch, "parts": 16}, {"tokens": 100 * batch, "parts": 4}]
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__batch_ramp=ramp)
    fewer = written(tmp_path / "fewer.yaml", CLUSTER, training__workers=128)
    told = plan.lines(recipe, PROFILES, str(fewer))
    assert "  first 419,430,400 tokens in steps of 128 sequences" in told
    assert "  next 419,430,400 tokens in steps of 512 sequences" in told
    # The plain run has 152,111 steps there; 200 of them become 1,600 and 400.
    assert "  base: 153,911 steps, 637,999,775,744 tokens" in told
    assert "  in all: 177,037 steps, 734,997,250,048 tokens" in told
    assert "a global batch of 128 sequences" in problems(recipe, CLUSTER)["training.workers"]


def test_what_recipe_and_profile_cannot_do_together_is_told_at_once(tmp_path: Path) -> None:
    recipe = written(
        tmp_path / "recipe.yaml",
        RECIPE,
        vocab={"imported": {"uri": "x", "sha256": "0" * 64, "license": "MIT"}},
        pretrain__global_batch_tokens=98_000_000_000 * 2048,
    )
    profile = written(tmp_path / "profile.yaml", CLUSTER, training__workers=243)
    found = problems(recipe, profile)
    assert found.keys() == {
        "vocab.vocab_size",
        "training.workers",
        "mix.stages.0",
        "mix.stages.1",
    }
    assert "98000000000 sequences cannot be shared by 243 ranks" in found["training.workers"]
    assert "638,000,000,000 tokens does not fill one step" in found["mix.stages.0"]


def test_mistakes_of_the_recipe_and_of_the_profile_are_told_together(tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__model__num_heads=41, seed=-1)
    profile = written(tmp_path / "profile.yaml", CLUSTER, training__sharding="zero9")
    found = problems(recipe, profile)
    assert found.keys() == {"pretrain.model", "seed", "training.sharding"}
    assert "hidden_size (5120) is no multiple of num_heads (41)" in found["pretrain.model"]


def test_a_batch_that_is_no_multiple_of_the_context_is_told(tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__global_batch_tokens=4_194_305)
    found = problems(recipe, CLUSTER)
    assert found == {
        "pretrain.global_batch_tokens": "is no multiple of pretrain.model.context_tokens (2,048)"
    }


def test_offloading_and_one_whole_rank_are_told(tmp_path: Path) -> None:
    away = written(tmp_path / "away.yaml", CLUSTER, training__offload_optimizer="cpu")
    assert "  float32 weights and moments, on cpu: 0.65 GB" in plan.lines(
        RECIPE, PROFILES, str(away)
    )
    alone = {"sharding": "none", "workers": 1, "accelerator": "gpu"}
    whole = written(tmp_path / "whole.yaml", CLUSTER, training=alone)
    told = plan.lines(ROOT / "recipes/polylm-1.7b.yaml", PROFILES, str(whole))
    assert "memory of a rank (gpu): 27.79 GB" in told  # 16 bytes of 1,737,084,928 parameters


def test_a_llama_is_planned(tmp_path: Path) -> None:
    model = {
        "architecture": "llama",
        "num_layers": 32,
        "hidden_size": 4096,
        "num_heads": 32,
        "num_kv_heads": 8,
        "intermediate_size": 11008,
        "context_tokens": 2048,
        "initializer_std": 0.02,
        "rope_theta": 500000,
        "rms_norm_epsilon": 0.00001,
        "tied_embeddings": False,
    }
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__model=model)
    told = plan.lines(recipe, PROFILES, str(CLUSTER))
    assert told[0] == "7,768,117,248 parameters, llama"
    assert "  lm_head.weight 1,048,576,000" in told


def test_the_command_prints_the_plan_or_one_error_without_a_traceback() -> None:
    done = polylm("plan", "polylm-13b", "--profile", CLUSTER.stem, folder=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == plan.lines(RECIPE, PROFILES, str(CLUSTER))
    done = polylm("plan", str(RECIPE), "--profile", "no-such", folder=ROOT)
    assert done.returncode == 1
    assert "no profile no-such" in done.stderr
    assert "Traceback" not in done.stderr
