"""What must not be in an artifact: when, where, by whom, from which commit, and how fast."""

from __future__ import annotations

import datetime
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from polylm_core.compute.process import arguments_of, parent_of, start_time
from polylm_core.redaction import redacted_tree

PACKAGES = (
    "torch",
    "deepspeed",
    "ray",
    "prefect",
    "dvc",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "pyarrow",
    "numpy",
)
TAG_VARIABLE = "POLYLM_RUN_TAG"


@dataclass(frozen=True)
class Runner:
    """The `dvc` process that runs this stage."""

    pid: int
    tag: str
    """The same for all stages of one `dvc repro`."""


def is_runner(words: Sequence[str]) -> bool:
    """Say whether a command line is that of a `dvc repro`."""
    return any(os.path.basename(word) == "dvc" for word in words[:3]) and "repro" in words


def ancestor_runner() -> Runner | None:
    """Return the nearest `dvc` among this process's ancestors, or none."""
    pid = os.getppid()
    while pid > 1:
        if is_runner(arguments_of(pid)):
            return Runner(pid, os.environ.get(TAG_VARIABLE, f"repro-{pid}-{start_time(pid)}"))
        pid = parent_of(pid)
    return None


def provenance(
    *,
    stage: str,
    identity: str,
    fingerprint: str,
    profile: dict[str, Any],
    flow_run_url: str,
    tag: str,
    started: float,
) -> dict[str, Any]:
    """Return the record of one execution of a stage; there is no secret in it."""
    record = {
        "stage": stage,
        "identity": identity,
        "fingerprint": fingerprint,
        "started": _utc(started),
        "ended": _utc(time.time()),
        "seconds": round(time.time() - started, 3),
        "commit": _commit(),
        "host": socket.gethostname(),
        "profile": profile,
        "run_tag": tag,
        "flow_run_url": flow_run_url,
        "realisation": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processor": _processor(),
            "packages": {name: metadata.version(name) for name in PACKAGES},
        },
        "command": sys.argv,
    }
    redacted: dict[str, Any] = redacted_tree(record)
    return redacted


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Return the commit, marked when the tree has changes (empty outside git)."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
