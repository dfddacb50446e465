"""The plan of PolyLM-13B on the cluster it was trained on; figures of others; mistakes at once."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.cli.planning.answer import Known, answer
from polylm_core.cli.planning.prices import load_prices
from polylm_core.cli.planning.request import load_request
from polylm_core.errors import ParamsError, Problem
from polylm_core.training.plan import model_states_of
from polylm_core.training.sizes import sizes_of
from tests.architecture.closure import ROOT
from tests.engines import ARCHITECTURES, make_shape
from tests.unit.cli.test_main import polylm

RECIPE = ROOT / "recipes/polylm-13b.yaml"
PROFILES = ROOT / "infra/profiles"
CLUSTER = PROFILES / "32x8-a100.yaml"
DAY = 86400


def plan(recipe: Path, profile: Path | str, **asked: Any) -> dict[str, Any]:
    return planned(recipe, profile, **asked)[0]


def planned(
    recipe: Path, profile: Path | str, **asked: Any
) -> tuple[dict[str, Any], list[Problem]]:
    return answer(load_request(recipe, PROFILES, str(profile)), load_prices(), Known(**asked))


def memory(told: dict[str, Any], run: str = "pretrain") -> dict[str, int]:
    return {row["part"]: row["bytes"] for row in told["memory_of_a_rank"] if row["run"] == run}


def written(file: Path, source: Path, **changes: Any) -> Path:
    """A copy of a YAML file with other values by dotted name."""
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        section = content
        for name in parents:
            section = section.setdefault(name, {})
        section[last] = value
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def problems(recipe: Path, profile: Path | str) -> dict[str, str]:
    with pytest.raises(ParamsError) as caught:
        load_request(recipe, PROFILES, str(profile))
    return {problem.location: problem.message for problem in caught.value.problems}


def test_polylm_13b_on_256_a100_at_1170_tokens_a_second_and_gpu_is_24_7_days() -> None:
    # arXiv 2307.06018, section 3.3 and Table 3: 638 billion tokens at that speed.
    told = plan(RECIPE, CLUSTER, tokens_per_second=1170)
    base, multilingual, _ = told["runs"]
    assert base["seconds"] / DAY == pytest.approx(24.7, abs=0.06)
    assert multilingual["seconds"] / DAY == pytest.approx(97e9 / 256 / 1170 / DAY, rel=1e-4)
    by_profile = plan(RECIPE, CLUSTER)["runs"][0]["seconds"]
    assert by_profile == pytest.approx(base["seconds"], rel=0.005)  # its share of the peak is that


def test_the_plan_of_the_13b_recipe_to_the_byte() -> None:
    told = plan(RECIPE, CLUSTER)
    assert told["model"]["parameters"] == 13_906_790_400
    assert [(row["tokens"], row["steps"]) for row in told["runs"][:2]] == [
        (637_999_775_744, 152_111),
        (96_997_474_304, 23_126),
    ]
    assert sum(row["operations"] or 0 for row in told["runs"]) == pytest.approx(6.312e22, rel=1e-3)
    (ranks,) = told["ranks"]
    assert (ranks["ranks"], ranks["micro_batch"], ranks["accumulated"]) == (256, 8, 1)
    assert ranks["parameters_of_a_rank"] == 54_323_400
    found = memory(told)
    assert found["parameters"] == 2 * 54_323_400
    assert found["gradients"] == 4 * 54_323_400
    assert found["optimizer"] == 12 * 54_323_400
    # 8 rows of 2,048 tokens and 5,120 float32 before each of 40 blocks; 2 x 4 + 12 x 2 bytes for
    # what goes into norms, matrices and the GELU of one.
    stream = 8 * 2048 * 5120
    assert found["activations: before every block, and of one"] == stream * (40 * 4 + 8 + 28)
    assert found["all, without recompute_activations"] > 80e9 > found["all"]
    assert told["disk"]["checkpoint_bytes"] == 166_881_484_800
    assert told["disk"]["corpus_tokens_bytes"] == 4 * 735_000_000_000


def test_tokens_of_languages_are_those_of_the_paper_s_table() -> None:
    told = {row["language"]: row for row in plan(RECIPE, CLUSTER)["tokens_by_language"]}
    assert len(told) == 19
    weights = {"eng_Latn": 424.96, "zho_Hans": 139.29, "kor_Hang": 0.84}
    for code, weight in weights.items():  # of 629.04 billion, less the pairs
        expected = weight / 629.04 * 638e9 * (1 - 0.0016)
        assert told[code]["base_tokens"] == pytest.approx(expected, rel=1e-4)
    assert told["pairs with English"]["multilingual_tokens"] == pytest.approx(0.0476 * 97e9)
    assert sum(row["all_tokens"] for row in told.values()) == 735_000_000_000


def test_the_default_run_s_peak_of_memory_is_planned_within_15_per_cent() -> None:
    # The largest `peak_memory_bytes` of throughput.jsonl, on two ranks of two cores.
    measured = {"pretrain": 1_184_079_872, "finetune instructions": 1_387_040_768}
    told = plan(ROOT / "params.yaml", "laptop")
    for run, peak in measured.items():
        assert memory(told, run)["all"] == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize("machines", [1, 4, 32])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_model_states_are_within_two_per_cent_of_deepspeed_s_estimator(
    architecture: str, machines: int
) -> None:
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs

    big = {"hidden_size": 2048, "num_heads": 16, "num_layers": 24, "vocab_size": 256_000}
    if architecture == "llama":
        big |= {"num_kv_heads": 8, "intermediate_size": 5632}
    sizes = sizes_of(make_shape(architecture, **big))
    _, expected, _ = estimate_zero3_model_states_mem_needs(
        sizes.parameters, sizes.largest_module, 8, machines, cpu_offload=False
    )
    assert model_states_of(sizes, 8 * machines) == pytest.approx(expected, rel=0.02)


def test_spot_machines_cost_less_and_lose_by_young_s_formula(tmp_path: Path) -> None:
    spot = written(tmp_path / "spot.yaml", CLUSTER, hardware__spot_share=0.5)
    plain, told = plan(RECIPE, CLUSTER), plan(RECIPE, spot)
    base, alone = told["runs"][0], plain["runs"][0]
    interval = 500 * alone["seconds"] / 152_111
    rate = 0.5 * 32 * 0.10 / 730 / 3600  # machines at the spot price, a tenth lost in a month
    lost = rate * (interval / 2 + 600)
    assert base["seconds"] == pytest.approx(alone["seconds"] * (1 + lost))
    hours = base["seconds"] / 3600
    assert base["usd"] == pytest.approx(256 * hours * (0.5 * 0.86 + 0.5 * 2.49))
    assert told["cost"]["expected_interruptions"] == pytest.approx(
        rate * told["cost"]["all_runs_seconds"]
    )


def test_a_budget_refuses(tmp_path: Path) -> None:
    told, refused = planned(RECIPE, CLUSTER, max_usd=1000.0)
    assert told["cost"]["usd"] > 400_000
    assert "is less than the run is planned to cost, $4" in str(refused[0])
    unknown = planned(RECIPE, CLUSTER, max_usd=1e6)[1]
    assert "what finetune instructions examples costs is not known" in str(unknown[0])
    tuning = ROOT / "recipes/polylm-multialpaca-13b.yaml"
    assert planned(tuning, PROFILES / "1x8-a100.yaml", max_usd=1e6)[1] == []
    tight = written(tmp_path / "tight.yaml", CLUSTER, hardware__max_usd=1000)
    assert planned(RECIPE, tight)[1][0].location == "hardware.max_usd"
    free = written(tmp_path / "free.yaml", CLUSTER, hardware={"max_usd": 5})
    assert "cannot be held: no price or no speed is known" in str(planned(RECIPE, free)[1][0])


def test_a_user_s_table_of_prices_takes_the_place_of_ours(tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    row = {"peak_flops": 312e12, "usd_per_hour": 1.0, "source": "our contract", "date": "2026-11"}
    own.write_text(yaml.safe_dump({"accelerators": {"a100-80gb": row}}), encoding="utf-8")
    request = load_request(RECIPE, PROFILES, str(CLUSTER))
    told, _ = answer(request, load_prices(own), Known())
    cost = told["cost"]
    assert cost["usd"] == pytest.approx(256 * cost["all_runs_seconds"] / 3600)
    assert cost["prices_of"] == "2026-11: our contract"
    own.write_text("accelerators: {a100-80gb: {usd: 1}}", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"a100-80gb\.usd"):
        load_prices(own)


def test_endpoints_that_are_asked_are_named_with_their_ceilings(tmp_path: Path) -> None:
    place = {"teacher": {"address": "http://localhost:8000/v1"}}
    profile = written(tmp_path / "placed.yaml", PROFILES / "1x8-a100.yaml", endpoints=place)
    told = plan(ROOT / "recipes/polylm-multialpaca-13b.yaml", profile)
    teacher, translator = told["endpoints"]
    assert teacher["section"] == "instruct.self_instruct.teacher"
    assert teacher["answers_at"] == "http://localhost:8000/v1"
    assert teacher["at_most_tokens"] == 60_000_000
    assert translator["answers_at"].startswith("unknown: add it to `endpoints`")


def test_an_accelerator_without_a_row_is_named(tmp_path: Path) -> None:
    odd = written(tmp_path / "odd.yaml", CLUSTER, hardware__accelerator="a100")
    with pytest.raises(ParamsError, match=r"hardware\.accelerator: no row .*known: a100-80gb"):
        plan(RECIPE, odd)


def test_memory_that_does_not_suffice_is_told_with_what_helps(tmp_path: Path) -> None:
    kept = written(tmp_path / "kept.yaml", CLUSTER, training__recompute_activations=False)
    told, refused = planned(RECIPE, kept)
    assert (
        "takes 143.05 GB of each of 256 ranks, a100-80gb has 80.00 GB; recompute_activations (38."
        in str(refused[0])
    )
    assert str(refused[0]) in told["problems"]


def test_memory_is_that_of_the_fewest_ranks_that_go_on(tmp_path: Path) -> None:
    fewer = written(tmp_path / "fewer.yaml", CLUSTER, training__workers=8, training__min_workers=1)
    told, refused = planned(ROOT / "recipes/polylm-1.7b.yaml", fewer)
    assert refused == []
    small = {"training__workers": 256, "training__min_workers": 2}
    told, refused = planned(RECIPE, written(tmp_path / "two.yaml", CLUSTER, **small))
    assert "of each of 2 ranks" in str(refused[0])
    assert "a larger min_workers would help" in str(refused[0])
    assert memory(told)["all"] < 80e9, "the table is of all ranks"
    small |= {"training__recompute_activations": False}
    told, refused = planned(RECIPE, written(tmp_path / "kept.yaml", CLUSTER, **small))
    assert "143.05 GB of each of 256 ranks" in str(refused[0]), "more than two would not help"
    assert "more workers would help" in str(refused[0])


def test_checkpoints_that_stay_for_good_take_disk(tmp_path: Path) -> None:
    kept = written(tmp_path / "kept.yaml", CLUSTER, training__checkpoints__keep_every_steps=5000)
    before, after = (plan(RECIPE, profile) for profile in (CLUSTER, kept))
    steps = sum(row["steps"] for row in before["runs"] if row["run"] == "pretrain")
    more = after["disk"]["kept_checkpoints_bytes"] - before["disk"]["kept_checkpoints_bytes"]
    assert more == steps // 5000 * before["disk"]["checkpoint_bytes"]


def test_a_fine_tuning_that_the_ranks_cannot_share_is_a_problem_with_its_mend() -> None:
    told, refused = planned(RECIPE, CLUSTER)
    assert refused == []  # pretraining can be run there
    assert any("state its expected_tokens" in remark for remark in told["remarks"])
    (problem,) = told["problems"]
    assert "steps of 64 sequences cannot be shared by 256 ranks, but by 64" in problem
    alone = problems(ROOT / "recipes/polylm-multialpaca-13b.yaml", CLUSTER)
    assert "POLYLM_PROFILE=NAME dvc repro finetune" in next(iter(alone.values()))


def test_a_profile_is_named_by_its_name_or_file(tmp_path: Path) -> None:
    for wrong in (
        tmp_path / "1x1-h200",
        PROFILES / "1x1-h200",
        PROFILES / "1x1-h200.txt",
        PROFILES,
    ):
        (message,) = problems(RECIPE, wrong).values()
        assert message.startswith(f"no profile {wrong}; name one of {PROFILES} (")
        assert CLUSTER.stem in message


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    said = "cannot be read: Is a directory; name a recipe"
    assert problems(tmp_path, CLUSTER) == {f"{tmp_path}: (file)": said}


def test_ranks_share_a_batch_that_no_micro_batch_of_their_size_divides(tmp_path: Path) -> None:
    odd = written(
        tmp_path / "odd.yaml", CLUSTER, training__workers=128, training__micro_batch_sequences=6
    )
    (ranks,) = plan(RECIPE, odd)["ranks"]
    assert (ranks["micro_batch"], ranks["accumulated"], ranks["ranks"]) == (4, 4, 128)


def test_every_number_of_ranks_that_a_profile_allows_is_planned(tmp_path: Path) -> None:
    fewer = written(tmp_path / "fewer.yaml", CLUSTER, training__min_workers=120)
    told = plan(RECIPE, fewer)["ranks"]
    assert [(row["accumulated"], row["ranks"]) for row in told] == [(1, 256), (2, 128)]


def test_a_ramp_is_planned(tmp_path: Path) -> None:
    batch = 2048 * 2048
    ramp = [{"tokens": 100 * batch, "parts": 16}, {"tokens": 100 * batch, "parts": 4}]
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__batch_ramp=ramp)
    fewer = written(tmp_path / "fewer.yaml", CLUSTER, training__workers=128)
    told = plan(recipe, fewer)
    _, *pieces = told["ranks"]
    assert [row["sequences_a_step"] for row in pieces] == [128, 512]
    # The plain run has 152,111 steps there; 200 of them become 1,600 and 400.
    assert [row["steps"] for row in told["runs"][:2]] == [153_911, 23_126]
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
    assert found.keys() == {
        f"{recipe}: pretrain.model",
        f"{recipe}: seed",
        f"{profile}: training.sharding",
    }
    said = found[f"{recipe}: pretrain.model"]
    assert "hidden_size (5120) is no multiple of num_heads (41)" in said


def test_a_batch_that_is_no_multiple_of_the_context_is_told(tmp_path: Path) -> None:
    recipe = written(tmp_path / "recipe.yaml", RECIPE, pretrain__global_batch_tokens=4_194_305)
    found = problems(recipe, CLUSTER)
    assert found == {
        "pretrain.global_batch_tokens": "is no multiple of pretrain.model.context_tokens (2,048)"
    }


def test_offloading_and_one_whole_rank_are_told(tmp_path: Path) -> None:
    away = written(tmp_path / "away.yaml", CLUSTER, training__offload_optimizer="cpu")
    assert memory(plan(RECIPE, away))["optimizer, on cpu"] == 12 * 54_323_400
    alone = {"sharding": "none", "workers": 1, "accelerator": "gpu"}
    whole = written(tmp_path / "whole.yaml", CLUSTER, training=alone)
    found = memory(plan(ROOT / "recipes/polylm-1.7b.yaml", whole))
    held = found["parameters"] + found["gradients"] + found["optimizer"]
    assert held == 16 * 1_737_084_928


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
    told = plan(recipe, CLUSTER)["model"]
    assert (told["architecture"], told["parameters"]) == ("llama", 7_768_117_248)


def test_the_command_prints_the_plan_in_three_seconds_or_one_error() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = polylm(
        "plan", "recipes/polylm-13b.yaml", "--profile", "32x8-a100", "--json", folder=ROOT
    )
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"] == plan(RECIPE, CLUSTER)["runs"]
    assert took < 3  # seconds of a processor, 0.8 when nothing else runs
    done = polylm("plan", str(RECIPE), "--profile", "no-such", folder=ROOT)
    assert done.returncode == 1
    assert "no profile no-such" in done.stderr
    assert "Traceback" not in done.stderr
    done = polylm("plan", "polylm-13b", "--profile", "32x8-a100", "--max-usd", "9", folder=ROOT)
    assert done.returncode == 1
    assert "24.7 days" in done.stdout
    assert "--max-usd: is less than the run is planned to cost" in done.stderr


def test_a_speed_is_measured_by_training_the_recipe_s_model() -> None:
    arguments = ("plan", "tests/recipes/tiny.yaml", "--profile", "laptop", "--json")
    done = polylm(*arguments, "--calibrate-seconds", "0.2", folder=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert any("measured here: " in remark for remark in told["remarks"])
    assert 0 < told["cost"]["all_runs_seconds"] < 600
    assert told["cost"]["usd"] is None
    assert "hours and money: nothing says" in polylm(*arguments, folder=ROOT).stdout
