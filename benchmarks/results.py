"""How a benchmark tells its result: one JSON line, and a file with what it was measured with."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def cpu_name() -> str:
    """Return the processor's name as the kernel says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def surroundings(packages: Sequence[str]) -> dict[str, Any]:
    """Return date, machine and the versions of the packages that matter to a measurement."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def tell(
    name: str, result: Mapping[str, Any], packages: Sequence[str], *, keep: bool
) -> dict[str, Any]:
    """Print the result as the last line; with `keep`, write it to `results/<name>.json` too."""
    whole = {"benchmark": name, **result, **surroundings(packages)}
    if keep:
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", "utf-8")
    print(json.dumps(whole))
    return whole
