"""Planted faults: each is found, and told with its mend."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import replace
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.cli import demands, surroundings
from polylm_core.cli.doctor import examined
from polylm_core.cli.planning.request import load_request
from polylm_core.params import load_params
from polylm_core.settings import Profile
from polylm_core.stages.evaluate.config import BenchmarksConfig
from tests.architecture.closure import ROOT

NOBODY = "127.0.0.1:9"
"""The port of `discard`, which nothing has listened on for decades."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the repository's recipe, sources and a profile of its own."""
    for name in ("params.yaml", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "infra/profiles").mkdir(parents=True)
    shutil.copy(ROOT / "infra/profiles/laptop.yaml", tmp_path / "infra/profiles")
    for variable in ("PREFECT_API_URL", "RAY_ADDRESS", "POLYLM_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def profile_with(checkout: Path, **changes: Any) -> None:
    file = checkout / "infra/profiles/laptop.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["training"] |= changes.pop("training", {})
    file.write_text(yaml.safe_dump(content | changes), encoding="utf-8")


def test_planted_faults_are_found_all_at_once(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_version = metadata.version
    old = {"ray": "2.55.1", "torch": "2.5.1"}
    monkeypatch.setattr(metadata, "version", lambda name: old.get(name) or true_version(name))
    monkeypatch.setenv("PREFECT_API_URL", f"http://{NOBODY}/api")
    monkeypatch.setenv("RAY_ADDRESS", f"ray://{NOBODY}")
    monkeypatch.setenv("PATH", "/nowhere")
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(checkout))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    profile_with(
        checkout,
        training={"workers": 3},
        source_locations={"udhr": str(checkout / "nowhere"), "crawl": "s3://corpora/crawl"},
    )
    content, problems = examined(checkout)
    told = "\n".join(problems)
    for planted in (
        "no gcc and no g++ on PATH: apt install gcc g++",
        "ray 2.55.1 has a known vulnerability",
        "torch 2.5.1 has a known vulnerability",
        f"http://{NOBODY}/api",
        f"Ray at ray://{NOBODY}",
        "a global batch of 8 sequences cannot be shared by 3 ranks",
        "source_locations.udhr: ",
        "no credentials for s3://corpora/crawl: set AWS_PROFILE",
    ):
        assert planted in told
    assert sum(not row["well"] for row in content["checks"]) >= 8
    json.dumps(content)  # as `--json` prints it


def test_a_judge_without_endpoint_and_questions_is_told_before_anything_runs(
    checkout: Path,
) -> None:
    recipe = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    file = {"file": "question.jsonl", "sha256": "0" * 64}
    recipe["evaluate"]["judge"] = {
        "grader": {
            "kind": "openai",
            "endpoint": "judge",
            "model": "m",
            "budget": {"max_tokens": 1},
        },
        "questions": {"eng_Latn": file},
        "prompts": file,
        "max_new_tokens": 64,
    }
    (checkout / "params.yaml").unlink()
    (checkout / "params.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    told = "\n".join(examined(checkout)[1])
    assert "where the judge 'judge' answers" in told
    assert "name their folder in `benchmark_locations.judge`" in told


def test_a_language_to_write_in_without_seed_tasks_is_told_before_anything_runs(
    checkout: Path,
) -> None:
    recipe = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    recipe["instruct"]["self_instruct"]["languages"] += ["kor_Hang"]
    (checkout / "params.yaml").unlink()
    (checkout / "params.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    told = "\n".join(examined(checkout)[1])
    assert "has no seed tasks; add a file of them, or name it in `instruct.translate" in told
    assert "kor_Hang" in told


def test_what_ray_and_prefect_take_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a token of Ray")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:of Prefect")
    assert surroundings.ray(Profile()).problem is None

    def refuse(request: object, timeout: float) -> None:
        raise urllib.error.HTTPError(str(request), 401, "Unauthorized", Message(), None)

    monkeypatch.setenv("PREFECT_API_URL", "http://watched.example/api")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert surroundings.prefect("").problem is None


def test_services_that_ask_for_no_token_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "head.example:6379")
    assert "asks for no token" in (surroundings.ray(Profile()).problem or "")
    monkeypatch.setenv("PREFECT_API_URL", "http://user:password@watched.example/api")
    found = surroundings.prefect("")
    assert "without a token" in (found.problem or "")
    assert "password" not in f"{found.found} {found.problem}"


def test_gpus_that_are_not_here_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    profile = Profile.model_validate({"training": {"workers": 8, "accelerator": "gpu"}})
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho NVIDIA H200\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found = surroundings.gpus(profile)
    assert found.found == "1: NVIDIA H200"
    assert "trains on 8 GPUs, here are 1; take another profile" in (found.problem or "")
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert surroundings.gpus(profile).problem is None


def test_a_large_recipe_needs_a_large_disk_and_memory(tmp_path: Path) -> None:
    big = load_request(ROOT / "recipes/polylm-13b.yaml", ROOT / "infra/profiles", "32x8-a100")
    found = demands.disk(big, tmp_path)
    assert "the recipe writes about 6.07 TB" in (found.problem or "")
    (tmp_path / "data/01_documents").mkdir(parents=True)
    assert demands.disk(big, tmp_path).problem is None, "part of it may be what is written already"
    wide = {"training": {"backend": "local", "workers": 64, "accelerator": "cpu"}}
    small = load_request(ROOT / "recipes/polylm-1.7b.yaml", ROOT / "infra/profiles", "32x8-a100")
    on_cpu = type(small)(small.recipe, small.params, "here", Profile.model_validate(wide))
    assert "`polylm plan` has the parts" in (demands.memory(on_cpu).problem or "")


def test_memory_of_all_ranks_is_asked_for_though_fewer_may_go_on() -> None:
    """Activations are in every rank: two take more than one that goes on alone."""
    found = load_request(ROOT / "params.yaml", ROOT / "infra/profiles", "laptop")
    training = {"backend": "ray", "workers": 2, "accelerator": "cpu", "sharding": "zero3"}
    told = []
    for fewest in (1, 2):
        profile = Profile.model_validate({"training": {**training, "min_workers": fewest}})
        told.append(demands.memory(replace(found, profile=profile)).found)
    assert told[0] == told[1]


def test_a_benchmark_that_is_not_where_the_profile_says_is_told_before_anything_runs() -> None:
    recipe = load_params(ROOT / "params.yaml")
    asked = BenchmarksConfig.model_validate({"sets": {"xcopa": {}, "xquad": {}}})
    evaluate = recipe.evaluate.model_copy(update={"benchmarks": asked})
    profile = Profile.model_validate({"benchmark_locations": {"xcopa": "/nowhere"}})
    found = [*demands.locations(recipe.model_copy(update={"evaluate": evaluate}), profile)]
    (problem,) = (check.problem for check in found)
    assert problem is not None
    assert problem.startswith(
        "benchmark_locations.xcopa: /nowhere is no folder; put the benchmark there"
    )


def test_a_location_that_no_source_has_is_told_and_no_problem() -> None:
    params = load_params(ROOT / "params.yaml")
    profile = Profile.model_validate({"source_locations": {"wikipedia": "s3://dumps"}})
    (found,) = demands.locations(params, profile)
    assert found.problem is None
    assert "the first wikipedia" in found.found
