"""Small files in the forms that published instruction sets have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from polylm_core.records import Instruction
from polylm_core.stages.base import StageRun
from polylm_core.stages.instruct.imports import sets
from polylm_core.stages.instruct.imports.config import Imports
from polylm_core.stages.instruct.selection import Harvest
from polylm_core.storage import sha256_file
from tests.support import make_run

Rows = Sequence[dict[str, Any]]
ALPACA: Rows = (
    {"instruction": "Name two colours.", "input": "", "output": "Red and blue."},
    {"instruction": "Translate into French.", "input": "the sea", "output": "la mer"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
    {"instruction": "Write a loop.", "input": "", "output": "```\nfor i in range(3): ...\n```"},
)


def json_array(rows: Rows) -> bytes:
    return json.dumps(rows, ensure_ascii=False, indent=4).encode()


def json_lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def zstd(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return compressed


def declare(name: str, **more: Any) -> dict[str, Any]:
    """A set of one file, unpinned."""
    return {
        "format": "columns",
        "license": "CC0-1.0",
        "version": "1",
        "files": {name: None},
        **({"language": "eng_Latn"} if more.get("format") != "oasst" else {}),
        **more,
    }


def place(folder: Path, imports: dict[str, Any], **files: bytes) -> Imports:
    """Write the file of each set into its folder of the sources, and pin it by its sha256."""
    for name, content in files.items():
        declared = imports[name]
        (file,) = declared["files"]
        target = folder / "sources" / name / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        declared["files"] = {file: sha256_file(target)}
    return as_imports(imports)


def as_imports(imports: dict[str, Any]) -> Imports:
    checked: Imports = TypeAdapter(Imports).validate_python(imports)
    return checked


def read(
    folder: Path, imports: Imports, max_bytes: int = 4000, **changes: Any
) -> tuple[Harvest, dict[str, dict[str, int]]]:
    """What the sets give, from the folder of the sources."""
    run: StageRun = replace(make_run(folder), **changes)
    return sets.read_all(sets.locate(imports, folder / "sources", run, max_bytes), run)


def chats(harvest: Harvest) -> list[tuple[str, ...]]:
    """The texts of each chat."""
    return [tuple(message.content for message in row.messages) for row in harvest.instructions]


def ids(rows: Sequence[Instruction]) -> list[str]:
    return [row.id for row in rows]


def reasons(harvest: Harvest) -> dict[str, int]:
    """How many met each end, over all languages."""
    found: dict[str, int] = {}
    for (_, _, _, reason), count in harvest.funnel.counts.items():
        found[reason] = found.get(reason, 0) + count
    return {reason: count for reason, count in found.items() if count}
