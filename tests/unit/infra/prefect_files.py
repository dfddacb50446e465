"""The check of `infra/prefect` against Prefect's own models, as a list of what is wrong."""

from __future__ import annotations

import re
from typing import Any

from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.exceptions import ParameterTypeError, SignatureMismatchError
from prefect.flows import Flow
from prefect.utilities.importtools import import_object
from prefect.workers.base import BaseJobConfiguration
from pydantic import BaseModel, ValidationError

NOT_PREFECTS = {"definitions"}
"""Where YAML's anchors are written; Prefect passes over it."""

WRONG = (
    AssertionError,
    AttributeError,
    ImportError,
    ParameterTypeError,
    SignatureMismatchError,
    TypeError,
    ValueError,
)


def unknown(model: type[BaseModel], content: dict[str, Any], where: str) -> list[str]:
    """Keys that the model would pass over in silence."""
    known = set(model.model_fields) | {f.alias for f in model.model_fields.values() if f.alias}
    return [f"{where}.{key}: no such key" for key in content if key not in known]


def mistakes(content: dict[str, Any]) -> list[str]:
    """What is wrong in the content of a prefect.yaml."""
    top = {key: value for key, value in content.items() if key not in NOT_PREFECTS}
    found = unknown(PrefectYamlModel, top, "prefect.yaml")
    try:
        PrefectYamlModel.model_validate(top)
    except ValidationError as error:
        return [*found, str(error)]
    for step in content["pull"]:
        for name in step:
            try:
                import_object(name)
            except (ImportError, AttributeError) as error:
                found.append(f"pull: {error}")
    for deployment in content["deployments"]:
        found += of_deployment(deployment)
    return found


def of_deployment(content: dict[str, Any]) -> list[str]:
    name = content.get("name", "?")
    found = unknown(DeploymentConfig, content, name)
    found += unknown(WorkPoolConfig, content["work_pool"], f"{name}.work_pool")
    limit = content["concurrency_limit"]
    found += unknown(ConcurrencyLimitSpec, limit, f"{name}.concurrency_limit")
    try:
        ConcurrencyLimitStrategy(limit["collision_strategy"])
        for schedule in content.get("schedules", []):
            RawScheduleConfig.model_validate(schedule)
        flow = import_object(content["entrypoint"])
        assert isinstance(flow, Flow), f"{content['entrypoint']} is no flow"
        flow.validate_parameters(content["parameters"])
    except WRONG as error:
        found.append(f"{name}: {error}")
    return found


def pool_mistakes(template: dict[str, Any]) -> list[str]:
    """What is wrong in a base job template: Prefect's own check, and both halves' names."""
    try:
        BaseJobConfiguration._get_base_config_defaults(template["variables"]["properties"])
    except (ValueError, KeyError, TypeError) as error:
        return [str(error)]
    used = set(_placeholders(template["job_configuration"]))
    declared = set(template["variables"]["properties"])
    return [f"{name}: used and not declared" for name in sorted(used - declared)] + [
        f"{name}: declared and not used" for name in sorted(declared - used)
    ]


def _placeholders(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name for inner in value.values() for name in _placeholders(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in _placeholders(inner)]
    return re.findall(r"{{ (\w+) }}", value) if isinstance(value, str) else []
