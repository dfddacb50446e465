"""infra/kuberay is what Kubernetes and KubeRay read, as far as one can say without a cluster."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr as autoscaling_config,
)

from polylm_core.settings import load_profile
from tests.architecture.closure import ROOT
from tests.kuberay import CRD_FILES, CRDS, SPECS, Schema, built, definition, pods, problems

KUBERAY = ROOT / "infra/kuberay"
Item = dict[str, Any]


@pytest.fixture(scope="module")
def overlay() -> list[Item]:
    return built(KUBERAY / "gpu")


@pytest.fixture(scope="module")
def job() -> Item:
    content: Item = yaml.safe_load((KUBERAY / "rayjob.yaml").read_text(encoding="utf-8"))
    return content


def of_kind(items: list[Item], kind: str) -> Item:
    (item,) = [item for item in items if item["kind"] == kind]
    return copy.deepcopy(item)


def test_what_the_overlay_sends_fits_the_schemas(overlay: list[Item], job: Item) -> None:
    assert [problem for item in [*overlay, job] for problem in problems(item)] == []
    assert {item["kind"] for item in overlay} == {
        *("ConfigMap", "Namespace", "NetworkPolicy", "PersistentVolumeClaim"),
        *("RayCluster", "ServiceAccount"),
    }


def head_pod(cluster: Item) -> Any:
    return cluster["spec"]["headGroupSpec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("kind", "mistake", "told"),
    [
        ("RayCluster", lambda c: c["spec"].update(rayVerison="2"), "rayVerison"),
        ("RayCluster", lambda c: c["spec"].update(rayVersion=2.6), "not of type 'string'"),
        ("RayCluster", lambda c: c["spec"]["authOptions"].update(mode="none"), "not one of"),
        ("RayCluster", lambda c: c["spec"].pop("headGroupSpec"), "headGroupSpec"),
        ("RayCluster", lambda c: c["spec"]["workerGroupSpecs"][0].pop("maxReplicas"), "maxRepl"),
        ("RayCluster", lambda c: c["spec"]["workerGroupSpecs"][0].update(minReplicas="0"), "'0'"),
        ("RayCluster", lambda c: head_pod(c).update(serviceAcountName="x"), "serviceAcount"),
        ("RayCluster", lambda c: head_pod(c)["containers"][0].update(image=1), "not of type"),
        ("RayCluster", lambda c: head_pod(c)["volumes"][0].update(pvc={}), "pvc"),
        ("RayCluster", lambda c: c.update(apiVersion="ray.io/v1alpha1"), "ray.io/v1"),
        ("NetworkPolicy", lambda p: p["spec"].update(podSelecter={}), "podSelecter"),
        ("NetworkPolicy", lambda p: p["spec"].update(policyTypes="Ingress"), "not of type"),
        ("PersistentVolumeClaim", lambda p: p["spec"].update(accessModes="RWX"), "not of type"),
        ("ServiceAccount", lambda a: a.update(automountServiceAccountToken="no"), "not of type"),
        ("Namespace", lambda n: n.update(kind="Nomespace"), "no kind Nomespace"),
        ("ConfigMap", lambda m: m["data"].update(POLYLM_PROFILE=1), "not of type"),
    ],
)
def test_a_planted_mistake_is_refused(
    overlay: list[Item], kind: str, mistake: Callable[[Item], object], told: str
) -> None:
    item = copy.deepcopy(next(item for item in overlay if item["kind"] == kind))
    mistake(item)
    assert told in "; ".join(problems(item))


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda job: job["spec"].update(entryPoint="x"), "entryPoint"),
        (lambda job: job["spec"].update(backoffLimit="0"), "not of type 'integer'"),
        (lambda job: job["spec"].update(clusterSelector="polylm"), "not of type 'object'"),
        (lambda job: job["spec"]["submitterPodTemplate"]["spec"].pop("containers"), "containers"),
    ],
)
def test_a_planted_mistake_in_a_job_is_refused(
    job: Item, mistake: Callable[[Item], object], told: str
) -> None:
    wrong = copy.deepcopy(job)
    mistake(wrong)
    assert told in "; ".join(problems(wrong))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("gpu/kustomization.yaml", "../base", "../bases"),
        ("gpu/kustomization.yaml", "patches:", "patchs:"),
        ("gpu/kustomization.yaml", "behavior: replace", "behavior: create"),
        ("gpu/gpu-workers.yaml", "/spec/workerGroupSpecs/-", "/spec/workerGroups/-"),
        ("base/kustomization.yaml", "network-policy.yaml", "network.yaml"),
    ],
)
def test_an_overlay_with_a_planted_mistake_is_not_built(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    shutil.copytree(KUBERAY, tmp_path / "kuberay")
    path = tmp_path / "kuberay" / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(AssertionError):
        built(tmp_path / "kuberay/gpu")


def test_rays_own_autoscaler_reads_the_cluster(overlay: list[Item]) -> None:
    config = autoscaling_config(of_kind(overlay, "RayCluster"))
    types = config["available_node_types"]
    assert {name: type_["resources"] for name, type_ in types.items()} == {
        "headgroup": {"CPU": 0, "memory": 16 * 2**30},
        "cpu": {"CPU": 8, "memory": 32 * 2**30},
        "a100-80gb": {"CPU": 90, "GPU": 8, "memory": 1000 * 2**30},
    }
    assert all(type_["min_workers"] == 0 for type_ in types.values())
    assert config["idle_timeout_minutes"] == 5
    wrong = of_kind(overlay, "RayCluster")
    wrong["spec"]["workerGroupSpecs"][1]["minReplicas"] = "none"
    with pytest.raises((jsonschema.ValidationError, TypeError)):
        autoscaling_config(wrong)


def test_what_pods_refer_to_is_among_what_is_sent(overlay: list[Item]) -> None:
    """Kustomize does not look for names inside a RayCluster, so nothing else would say it."""
    sent = {(item["kind"], item["metadata"]["name"]) for item in overlay}
    for template in pods(of_kind(overlay, "RayCluster")["spec"]):
        pod = template["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in sent
        for volume in pod["volumes"]:
            for key, kind in (("configMap", "ConfigMap"), ("persistentVolumeClaim", "claim")):
                if key in volume and kind == "ConfigMap":
                    assert (kind, volume[key]["name"]) in sent
                elif key in volume:
                    assert ("PersistentVolumeClaim", volume[key]["claimName"]) in sent
        for source in pod["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert ("ConfigMap", source["configMapRef"]["name"]) in sent


def test_pods_are_nobody_and_the_cluster_asks_for_a_token(overlay: list[Item], job: Item) -> None:
    cluster = of_kind(overlay, "RayCluster")
    assert cluster["spec"]["authOptions"]["mode"] == "token"
    for template in [*pods(cluster["spec"]), *pods(job["spec"])]:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False
            assert confined["capabilities"] == {"drop": ["ALL"]}
            assert container["image"].rpartition(":")[2] not in ("", "latest")


def test_the_profiles_of_the_cluster_are_profiles() -> None:
    for folder in ("base", "gpu"):
        profile = load_profile(KUBERAY / folder, "profile")
        assert str(profile.training.checkpoints.storage).startswith("s3://")


@pytest.mark.skipif(
    not CRDS.is_dir(),
    reason="KubeRay's definitions (helm-chart/kuberay-operator/crds of a release) do not lie in "
    "../shared/data/kuberay, nor where KUBERAY_CRDS says",
)
@pytest.mark.parametrize("kind", list(CRD_FILES))
def test_kuberays_own_definitions_agree(kind: str, overlay: list[Item], job: Item) -> None:
    own = definition(kind)
    item = job if kind == "RayJob" else of_kind(overlay, kind)
    jsonschema.Draft7Validator(own).validate(item)
    assert list(disagreements(SPECS[kind], own["properties"]["spec"], "spec")) == []
    item["spec"]["planted"] = 1
    with pytest.raises(jsonschema.ValidationError, match="planted"):
        jsonschema.Draft7Validator(own).validate(item)


def disagreements(ours: Schema, theirs: Schema, where: str) -> list[str]:
    """Where the fields of tests/kuberay.py are not the operator's."""
    found = []
    if ours["type"] != theirs["type"] or ours.get("enum") != theirs.get("enum"):
        found.append(f"{where}: {ours['type']} {ours.get('enum')}, not {theirs}"[:200])
    if not set(theirs.get("required", [])) >= set(ours.get("required", [])):
        found.append(f"{where}: required are {theirs.get('required')}")
    for name, schema in ours.get("properties", {}).items():
        if name not in theirs["properties"]:
            found.append(f"{where}.{name} is no field")
        else:
            found += disagreements(schema, theirs["properties"][name], f"{where}.{name}")
    if "items" in ours:
        found += disagreements(ours["items"], theirs["items"], f"{where}[]")
    return found
