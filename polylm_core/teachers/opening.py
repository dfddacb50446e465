"""From a recipe's section to a teacher that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polylm_core.settings import Endpoint
from polylm_core.teachers.config import FolderTeacher, PackageTeacher, TeacherConfig
from polylm_core.teachers.endpoint import EndpointTeacher
from polylm_core.teachers.in_process import find_folder, find_shipped
from polylm_core.teachers.places import endpoint_of
from polylm_core.teachers.teacher import Teacher, Usage


@dataclass(frozen=True)
class Surroundings:
    """Where teachers are, and where what they answered is kept."""

    endpoints: Mapping[str, Endpoint]
    """The profile's."""
    locations: Mapping[str, str]
    """The profile's `source_locations`."""
    answers: Path
    """File for the answers of endpoints."""


@contextmanager
def open_teacher(
    config: TeacherConfig,
    surroundings: Surroundings,
    *,
    num_prompts: int,
    on_answer: Callable[[Usage], None],
) -> Iterator[Teacher]:
    """Find a teacher and verify it.

    `num_prompts` will be asked in all. A remote teacher tells `on_answer` what was used in all,
    after each answer. Raises MachineError or TeacherError for one that is not as declared.
    """
    if isinstance(config, PackageTeacher):
        yield find_shipped(config)
    elif isinstance(config, FolderTeacher):
        yield find_folder(config, surroundings.locations)
    else:
        endpoint = endpoint_of(config, surroundings.endpoints)
        with EndpointTeacher(
            config, endpoint, surroundings.answers, num_prompts=num_prompts, on_answer=on_answer
        ) as teacher:
            yield teacher
