"""What a RayCluster and a RayJob may say, and Kubernetes' own kinds, for infra/kuberay.

The operator's own definitions are a megabyte each and belong to its releases, so what is here are
the fields of KubeRay 1.7 that a cluster like ours uses, with their types. Every pod in them is held
to Kubernetes' schema. Where the operator's definitions lie (`KUBERAY_CRDS`, the folder
`helm-chart/kuberay-operator/crds` of a release), files and fields are held to those too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.architecture.closure import ROOT
from tests.programs import program

KUBERNETES = "1.34"
"""The version whose schemas pods, policies and claims are held to."""
CRDS = Path(os.environ.get("KUBERAY_CRDS", ROOT.parent / "shared/data/kuberay"))
CRD_FILES = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
ANYTHING: Schema = {"type": "object"}


def fields(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object that has no other fields."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


GROUP: dict[str, Schema] = {"rayStartParams": TEXTS, "labels": TEXTS, "resources": TEXTS}
RAY_CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion=TEXT,
    authOptions=fields(mode=one_of("disabled", "token"), secretName=TEXT),
    enableInTreeAutoscaling=FLAG,
    suspend=FLAG,
    autoscalerOptions=fields(
        version=one_of("v1", "v2"),
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        idleTimeoutSeconds={"type": "integer"},
        image=TEXT,
        imagePullPolicy=TEXT,
        resources=ANYTHING,
        securityContext=ANYTHING,
    ),
    headGroupSpec=fields(
        ("template",),
        **GROUP,
        template=ANYTHING,
        enableIngress=FLAG,
        serviceType=TEXT,
    ),
    workerGroupSpecs={
        "type": "array",
        "items": fields(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            **GROUP,
            groupName=TEXT,
            replicas={"type": "integer"},
            minReplicas={"type": "integer"},
            maxReplicas={"type": "integer"},
            numOfHosts={"type": "integer"},
            idleTimeoutSeconds={"type": "integer"},
            priority={"type": "integer"},
            template=ANYTHING,
        ),
    },
)
RAY_JOB = fields(
    entrypoint=TEXT,
    clusterSelector=TEXTS,
    submissionMode=TEXT,
    submitterPodTemplate=ANYTHING,
    submitterConfig=fields(backoffLimit={"type": "integer"}),
    backoffLimit={"type": "integer"},
    activeDeadlineSeconds={"type": "integer"},
    runtimeEnvYAML=TEXT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished={"type": "integer"},
    suspend=FLAG,
    metadata=TEXTS,
    rayClusterSpec=RAY_CLUSTER,
)
SPECS = {"RayCluster": RAY_CLUSTER, "RayJob": RAY_JOB}


def built(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` of a folder would send."""
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every pod template of a RayCluster or a RayJob."""
    if "submitterPodTemplate" in spec:
        yield spec["submitterPodTemplate"]
    if "headGroupSpec" in spec:
        yield spec["headGroupSpec"]["template"]
    for group in spec.get("workerGroupSpecs", []):
        yield group["template"]


def problems(item: dict[str, Any]) -> list[str]:
    """What the schema of its kind says against an object."""
    kind = item["kind"]
    if kind not in SPECS:
        return _kubernetes_problems(item)
    shape = fields(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=one_of("ray.io/v1"),
        kind=one_of(kind),
        metadata=fields(
            name=TEXT, generateName=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS
        ),
        spec=SPECS[kind],
    )
    found = [_told(error) for error in jsonschema.Draft7Validator(shape).iter_errors(item)]
    for template in [] if found else pods(item["spec"]):
        pod = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "pod"},
            "template": template,
        }
        found += _kubernetes_problems(pod)
    return found


def _kubernetes_problems(item: dict[str, Any]) -> list[str]:
    try:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_told(error)]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"Kubernetes {KUBERNETES} has no kind {item['kind']}"]
    return []


def _told(error: Any) -> str:
    return f"{'.'.join(map(str, error.path))}: {error.message.splitlines()[0]}"


def definition(kind: str) -> Schema:
    """The operator's own schema of a kind, which refuses what Kubernetes would leave out."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crd = yaml.load((CRDS / CRD_FILES[kind]).read_text(encoding="utf-8"), Loader=loader)
    (version,) = [each for each in crd["spec"]["versions"] if each["name"] == "v1"]
    schema: Schema = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = ANYTHING  # Kubernetes' own, of any object
    return schema


def _strict(schema: Schema) -> Schema:
    """Return a schema as Kubernetes reads it, but for fields it does not know, which it drops."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {name: value for name, value in schema.items() if name in _PLAIN}
    if "properties" in schema:
        made["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            made[name] = _strict(schema[name])
    return made


_PLAIN = ("type", "enum", "required", "minimum", "maximum", "pattern", "minItems", "minLength")
