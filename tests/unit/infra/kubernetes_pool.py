"""The check of Prefect's pool of Kubernetes against what infra/kuberay sends, as a list."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from tests.kuberay import pods

Item = dict[str, Any]
CLUSTER_LABEL = "ray.io/cluster"
"""By which KubeRay and Ray's autoscaler know the pods that are theirs to end."""
RAY_PORT = 6379
PROFILES = "infra/profiles"


def job_of(template: Item) -> Item:
    """The job that the worker makes of a template, with the variables as they are by default."""
    text = json.dumps(template["job_configuration"]["job_manifest"])
    for name, variable in template["variables"]["properties"].items():
        value = json.dumps(variable.get("default", ""))
        text = text.replace(f'"{{{{ {name} }}}}"', value)
    job: Item = json.loads(text)
    container = _container(job["spec"]["template"]["spec"])
    container["args"] = shlex.split(container["args"])  # as Prefect's worker does
    return job


def cluster_mistakes(template: Item, sent: list[Item]) -> list[str]:
    """Where the pool's jobs do not fit the cluster beside which they run."""
    job = job_of(template)["spec"]["template"]
    (cluster,) = [item for item in sent if item["kind"] == "RayCluster"]
    labels = job.get("metadata", {}).get("labels", {})
    if CLUSTER_LABEL in labels:
        return [f"labels: {CLUSTER_LABEL} is for the pods of KubeRay"]
    return [
        *_unsent(job["spec"], sent),
        *_secret_mistakes(job["spec"], cluster),
        *_profile_mistakes(job["spec"], sent),
        *_network_mistakes(labels, cluster, sent),
        *(() if _container(job["spec"])["image"] in _images(cluster) else ["image: of no pod"]),
    ]


def _container(pod: Item) -> Item:
    container: Item = pod["containers"][0]
    return container


def _images(cluster: Item) -> set[str]:
    return {_container(template["spec"])["image"] for template in pods(cluster["spec"])}


def _unsent(pod: Item, sent: list[Item]) -> Iterator[str]:
    """Yield what the pod names and nobody makes."""
    made = {(item["kind"], item["metadata"]["name"]) for item in sent}
    named = [("ServiceAccount", pod["serviceAccountName"])]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            named.append(("ConfigMap", volume["configMap"]["name"]))
        if "persistentVolumeClaim" in volume:
            named.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for source in _container(pod).get("envFrom", []):
        if "configMapRef" in source:
            named.append(("ConfigMap", source["configMapRef"]["name"]))
    yield from (f"{kind} {name}: is not sent" for kind, name in named if (kind, name) not in made)


def _secrets(pod: Item) -> set[str]:
    sources = _container(pod).get("envFrom", [])
    return {source["secretRef"]["name"] for source in sources if "secretRef" in source}


def _secret_mistakes(pod: Item, cluster: Item) -> Iterator[str]:
    head = next(pods(cluster["spec"]))["spec"]
    if _secrets(pod) != _secrets(head):
        yield f"secrets: {sorted(_secrets(pod))}, those of the cluster are {sorted(_secrets(head))}"
    tokens = [item for item in _container(pod)["env"] if item["name"] == "RAY_AUTH_TOKEN"]
    own = {"name": cluster["metadata"]["name"], "key": "auth_token"}
    if [item.get("valueFrom", {}).get("secretKeyRef") for item in tokens] != [own]:
        yield "RAY_AUTH_TOKEN: is not from the secret that KubeRay makes for the cluster"


def _profile_mistakes(pod: Item, sent: list[Item]) -> Iterator[str]:
    """Yield why the profile that the jobs are told of is not there."""
    maps = {item["metadata"]["name"]: item["data"] for item in sent if item["kind"] == "ConfigMap"}
    told = [
        maps.get(source["configMapRef"]["name"], {}).get("POLYLM_PROFILE")
        for source in _container(pod).get("envFrom", [])
        if "configMapRef" in source
    ]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    there = {
        mount["mountPath"]: maps.get(volumes[mount["name"]]["configMap"]["name"], {})
        for mount in _container(pod)["volumeMounts"]
        if "configMap" in volumes[mount["name"]]
    }
    folder = f"{_container(pod)['workingDir']}/{PROFILES}"
    for name in told or [None]:
        if f"{name}.yaml" not in there.get(f"{folder}/{name}.yaml", {}):
            yield f"profile {name}: is not mounted in {folder}"


def _network_mistakes(labels: Item, cluster: Item, sent: list[Item]) -> Iterator[str]:
    """Yield between whom the network's policies let nothing through."""
    policies = [item["spec"] for item in sent if item["kind"] == "NetworkPolicy"]
    name = cluster["metadata"]["name"]
    for kind in ("head", "worker"):  # as KubeRay labels them
        machine = {CLUSTER_LABEL: name, "ray.io/node-type": kind}
        if not _passes(policies, labels, machine):
            yield f"network: a job does not reach the {kind}"
        if not _passes(policies, machine, labels):
            yield f"network: the {kind} does not reach a job"


def _passes(policies: list[Item], source: Item, target: Item) -> bool:
    """Whether the policies let one pod of the namespace reach a port of another."""
    return _allows(policies, source, target, "egress", "to") and _allows(
        policies, target, source, "ingress", "from"
    )


def _allows(policies: list[Item], pod: Item, other: Item, way: str, side: str) -> bool:
    """Whether those policies that are for a pod, if any, let the other through in one direction."""
    own = [
        policy
        for policy in policies
        if way.capitalize() in policy["policyTypes"] and _selects(policy["podSelector"], pod)
    ]
    return not own or any(
        "podSelector" in peer
        and "namespaceSelector" not in peer
        and _selects(peer["podSelector"], other)
        for policy in own
        for rule in policy.get(way, [])
        if any(port["port"] == RAY_PORT for port in rule.get("ports", [{"port": RAY_PORT}]))
        for peer in rule[side]
    )


def _selects(selector: Item, labels: Item) -> bool:
    wanted: Item = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
