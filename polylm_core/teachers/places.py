"""Where a recipe's teacher is, as the profile and the environment say: cheap, and no network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import SecretStr

from polylm_core.errors import MachineError, TeacherError
from polylm_core.redaction import remember
from polylm_core.teachers.config import FolderTeacher, OpenAITeacher, TeacherConfig

if TYPE_CHECKING:  # a new option of a profile must not make a cheap stage stale
    from polylm_core.settings import Endpoint, Profile


class Placed(Protocol):
    """Whoever lies where the profile says."""

    @property
    def role(self) -> str:
        """What messages call it."""

    @property
    def source(self) -> str:
        """Its name in `source_locations`."""


class PinnedFolder(Placed, Protocol):
    """A folder whose files are pinned."""

    @property
    def fingerprint(self) -> str:
        """Of every file."""


def require_place(config: TeacherConfig, profile: Profile) -> None:
    """Raise TeacherError or MachineError when profile or environment lack what a teacher needs."""
    if isinstance(config, OpenAITeacher):
        key_of(config, endpoint_of(config, profile.endpoints))
    elif isinstance(config, FolderTeacher):
        folder_of(config, profile.source_locations)


def endpoint_of(config: OpenAITeacher, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """Look an endpoint up in the profile; raises TeacherError saying where to name it."""
    if config.endpoint not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none"
        raise TeacherError(
            f"the profile does not say where the {config.role} {config.endpoint!r} answers (known: "
            f"{known}); add its address to `endpoints`"
        )
    return endpoints[config.endpoint]


def key_of(config: OpenAITeacher, endpoint: Endpoint) -> SecretStr | None:
    """The key, from the environment; raises MachineError, which does not show it."""
    variable = endpoint.key_variable
    if variable is None:
        return None
    key = SecretStr(os.environ.get(variable, "").strip())
    if not key.get_secret_value():
        raise MachineError(
            f"the key to the endpoint {config.endpoint} is missing: set the environment variable "
            f"{variable}, or take `endpoints.{config.endpoint}.key_variable` out of the profile"
        )
    if not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
        raise MachineError(
            f"the environment variable {variable} holds no key: it has characters that cannot be "
            "sent; set it to the key alone"
        )
    remember(key.get_secret_value())
    return key


def folder_of(config: Placed, locations: Mapping[str, str]) -> Path:
    """Look a model's folder up in the profile; raises TeacherError saying where to name it."""
    path = place_of(config, locations)
    if not (path / "config.json").is_file():
        raise TeacherError(
            f"{locations[config.source]}: no folder of a Hugging Face model (config.json); correct "
            f"`source_locations.{config.source}` in the profile, or copy the model there"
        )
    return path


def place_of(config: Placed, locations: Mapping[str, str]) -> Path:
    """Where something lies; raises TeacherError saying where to name it."""
    location = locations.get(config.source)
    if location is None:
        raise TeacherError(
            f"the profile does not say where the {config.role} {config.source!r} lies; "
            "add it to `source_locations`"
        )
    return Path(location.removeprefix("file://")).expanduser().absolute()
