"""Profiles: where and how wide a run is executed. Nothing here changes a result's identity.

A profile is a YAML file of `infra/profiles/`, chosen by `POLYLM_PROFILE` (default `laptop`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polylm_core.errors import MachineError, ParamsError, Problem

PROFILE_VARIABLE = "POLYLM_PROFILE"
DEFAULT_PROFILE = "laptop"


class Profile(BaseModel):
    """One way to execute any recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    map_backend: Literal["local", "ray"] = "local"
    """Where units of work run: processes of this machine, or a Ray cluster."""
    map_workers: int = Field(default=2, ge=1)
    """Units of work at once."""
    launch_backend: Literal["local", "ray"] = "ray"
    """Where training ranks run: processes of this machine, or Ray Train."""
    training_workers: int = Field(default=2, ge=1)
    """Ranks of a training run (the ZeRO-3 world size)."""
    threads_per_worker: int = Field(default=1, ge=1)
    """Compute threads of a training rank."""
    accelerator: Literal["cpu", "gpu"] = "cpu"
    """What a training rank computes on."""
    micro_batch_sequences: int = Field(default=8, ge=1)
    """Sequences of one forward and backward pass of one rank."""
    persistent_parameter_elements: int = Field(default=100_000, ge=0)
    """Parameters of at most so many elements stay gathered under ZeRO-3 (DeepSpeed's default);
    gradients and optimizer state are sharded all the same."""
    ray_address: str | None = None
    """Address of a Ray cluster to join; without one a private local Ray is started."""
    lock_wait_seconds: float = Field(default=30.0, ge=0)
    """How long to wait for another process that builds the same artifact."""


def describe_validation(file: str, error: ValidationError) -> ParamsError:
    """Turn pydantic's report into one error that lists every problem with its dotted path."""
    problems = []
    for item in error.errors(include_url=False):
        location = ".".join(str(part) for part in item["loc"]) or "(top level)"
        seen = None if item["type"] == "missing" else item["input"]
        problems.append(Problem(location=location, message=item["msg"], value=seen))
    return ParamsError(file, problems)


def load_profile(folder: Path, name: str | None = None) -> Profile:
    """Load `<folder>/<name>.yaml`, by default the one `POLYLM_PROFILE` names.

    Raises MachineError when there is no such profile, ParamsError when it has mistakes.
    """
    chosen = name or os.environ.get(PROFILE_VARIABLE, DEFAULT_PROFILE)
    path = folder / f"{chosen}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise MachineError(
            f"no profile {chosen!r} in {folder} (known: {known}); set {PROFILE_VARIABLE} to one"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Profile.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Problem("(top level)", f"not YAML: {error}")]) from error
    except ValidationError as error:
        raise describe_validation(str(path), error) from error
