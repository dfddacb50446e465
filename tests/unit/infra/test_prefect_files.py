"""`infra/prefect`: what a worker is told is what Prefect and the flow understand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.pipeline import STAGES
from tests.unit.infra.prefect_files import mistakes, pool_mistakes

FOLDER = Path(__file__).parents[3] / "infra/prefect"


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    return read


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "kubernetes-pool.json").read_text())
    return read


def test_prefect_understands_every_word(content: dict[str, Any]) -> None:
    assert mistakes(content) == []


def test_the_pipeline_and_each_stage_have_a_deployment(content: dict[str, Any]) -> None:
    targets = {
        deployment["name"]: deployment["parameters"]["target"]
        for deployment in content["deployments"]
    }
    assert targets == {"pipeline": None, **{name: name for name in STAGES}}
    limits = {deployment["concurrency_limit"]["limit"] for deployment in content["deployments"]}
    assert limits == {1}


def test_no_schedule_begins_unasked(content: dict[str, Any]) -> None:
    schedules = [s for d in content["deployments"] for s in d.get("schedules", [])]
    assert [schedule["active"] for schedule in schedules] == [False]


PLANTED = {
    "a key that Prefect passes over": (["deployments", 0, "paramters"], {}),
    "a flow that does not exist": (["deployments", 2, "entrypoint"], "flows/_parent.py:pipelin"),
    "a parameter that the flow lacks": (["deployments", 0, "parameters", "stage"], "mix"),
    "a parameter of another type": (["deployments", 0, "parameters", "retries"], "often"),
    "no such strategy": (["deployments", 1, "concurrency_limit", "collision_strategy"], "WAIT"),
    "two kinds of schedule": (["deployments", 0, "schedules", 0, "interval"], 60),
    "a step that does not exist": (["pull", 0], {"prefect.deployments.steps.set_folder": {}}),
    "parameters that are no mapping": (["deployments", 3, "parameters"], [1]),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_mistake_is_found(content: dict[str, Any], planted: str) -> None:
    path, value = PLANTED[planted]
    wrong = copy.deepcopy(content)
    place: Any = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert mistakes(wrong) != []


def test_the_pool_of_kubernetes_declares_what_its_jobs_use(template: dict[str, Any]) -> None:
    assert pool_mistakes(template) == []
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_a_planted_mistake_in_the_pool_is_found(template: dict[str, Any]) -> None:
    wrong = copy.deepcopy(template)
    del wrong["variables"]["properties"]["image"]
    assert pool_mistakes(wrong) == ["image: used and not declared"]
