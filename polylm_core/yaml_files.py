"""YAML that people write: read strictly, and all of its mistakes told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from polylm_core.errors import ParamsError, Problem
from polylm_core.redaction import places_with_credentials


def describe_validation(file: str, error: ValidationError, content: Any = None) -> ParamsError:
    """Turn pydantic's report into one error that lists every problem with its dotted path.

    With the file's `content`, the path names only what stands there: where a model was chosen among
    several, pydantic puts the name of the choice in between.
    """
    problems = []
    found = error.errors(include_url=False)
    for item in found:
        path = item["loc"]
        within = (it for it in found if it is not item and it["loc"][: len(path)] == path)
        if item["type"] == "too_short" and any(within):
            continue  # pydantic counts the items that are right
        missing = item["type"] == "missing"
        parts = path if content is None else _parts_of(content, path, missing)
        location = ".".join(str(part) for part in parts) or "(top level)"
        problems.append(Problem(location, item["msg"], None if missing else item["input"]))
    return ParamsError(file, problems)


def _parts_of(content: Any, parts: tuple[int | str, ...], missing: bool) -> list[int | str]:
    """The parts of a path that lead somewhere in `content`, and the field missing at its end."""
    found: list[int | str] = []
    for index, part in enumerate(parts):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            if not (missing and index == len(parts) - 1):
                continue
        found.append(part)
    return found


def credential_problems(content: Any) -> list[Problem]:
    """Return a problem for each text of a file that holds a password or a key, not showing it."""
    message = (
        "holds credentials, which stand in no file; take them out: libraries find them in the "
        "environment (AWS_PROFILE, HF_TOKEN, ...)"
    )
    return [Problem(place, message) for place in places_with_credentials(content)]


MAX_BYTES = 1 << 20
"""Of a file that people write; the largest recipe has 16 KB."""
MAX_NODES = 200_000
"""Values of a file with all repeated ones (`*name`) written out: some lines can stand for more than
a memory holds."""


class _NoDuplicates(yaml.SafeLoader):
    """YAML in which a key may stand once: the second one would silently take the first's place."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _num_nodes(node, {}) > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES:,} values, repeated ones counted")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _num_nodes(node: Any, known: dict[int, int]) -> int:
    """Values below a node, each as often as it stands there; infinite where one holds itself."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [each for item in inner for each in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_num_nodes(each, known) for each in parts)
    return known[id(node)]


def read_yaml(path: Path) -> Any:
    """Read a file that people write.

    Raises yaml.YAMLError, also for a key that stands twice and for what no person writes.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise yaml.YAMLError(f"more than {MAX_BYTES:,} bytes")
    try:
        return yaml.load(data.decode("utf-8"), _NoDuplicates)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deep") from error
    except ValueError as error:  # of a date or a number that is none
        raise yaml.YAMLError(str(error)) from error
