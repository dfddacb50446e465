"""`infra/prefect`: what a worker is told is what Prefect and the flow understand."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from polylm_core.pipeline import STAGES
from tests.kuberay import built, problems
from tests.unit.infra.kubernetes_pool import cluster_mistakes, job_of
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


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """What is on the cluster beside the pool's jobs."""
    return built(FOLDER.parent / "kuberay/gpu")


def pod_of(template: dict[str, Any]) -> Any:
    return template["job_configuration"]["job_manifest"]["spec"]["template"]


def container_of(template: dict[str, Any]) -> Any:
    return pod_of(template)["spec"]["containers"][0]


def by_default(template: dict[str, Any], name: str, value: str) -> None:
    template["variables"]["properties"][name]["default"] = value


def without_mount(template: dict[str, Any]) -> None:
    mounts = container_of(template)["volumeMounts"]
    mounts[:] = [mount for mount in mounts if mount["name"] != "profile"]


def test_the_jobs_of_the_pool_fit_the_cluster(
    template: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    assert cluster_mistakes(template, sent) == []
    assert problems({**job_of(template), "metadata": {"name": "job"}}) == []
    (namespace,) = [item for item in sent if item["kind"] == "Namespace"]
    names = template["variables"]["properties"]
    assert names["namespace"]["default"] == namespace["metadata"]["name"]


MISFITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "service account": (
        lambda t: by_default(t, "service_account_name", "polylm"),
        "ServiceAccount polylm: is not sent",
    ),
    "claim": (lambda t: by_default(t, "checkout_claim", "x"), "PersistentVolumeClaim x: is not"),
    "secret": (lambda t: by_default(t, "secret", "polylm"), "secrets: ['polylm'], those of"),
    "token": (lambda t: container_of(t)["env"].pop(), "RAY_AUTH_TOKEN: is not from the secret"),
    "token in the open": (
        lambda t: container_of(t)["env"][2].update(value="x", valueFrom={}),
        "RAY_AUTH_TOKEN: is not from the secret",
    ),
    "labels": (lambda t: pod_of(t).pop("metadata"), "network: a job does not reach the head"),
    "a label of KubeRay's": (
        lambda t: pod_of(t)["metadata"]["labels"].update({"ray.io/cluster": "polylm"}),
        "labels: ray.io/cluster is for",
    ),
    "profile": (without_mount, "profile kubernetes: is not mounted in /srv/polylm/infra/profiles"),
    "profile told of": (lambda t: container_of(t)["envFrom"].pop(0), "profile None: is not"),
    "image": (lambda t: by_default(t, "image", "polylm:0.1.0-cpu"), "image: of no pod"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_planted_misfit_with_the_cluster_is_found(
    misfit: str, template: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    change, told = MISFITS[misfit]
    wrong = copy.deepcopy(template)
    change(wrong)
    assert told in "; ".join(cluster_mistakes(wrong, sent))


@pytest.mark.parametrize("policy", ["ray-among-itself", "runs-among-ray"])
def test_a_policy_that_shuts_the_jobs_out_is_found(
    policy: str, template: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    wrong = [item for item in sent if item["metadata"]["name"] != policy]
    assert "network: " in "; ".join(cluster_mistakes(template, wrong))


def test_the_worker_of_the_pool_is_pinned() -> None:
    """`pip install -e '.[kubernetes]'` is in the how-to; the pin keeps what it was read with."""
    root = FOLDER.parents[1]
    assert "prefect-kubernetes==" in (root / "constraints.txt").read_text(encoding="utf-8")
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras["optional-dependencies"]["kubernetes"] == ["prefect-kubernetes"]
