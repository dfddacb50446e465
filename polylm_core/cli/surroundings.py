"""What a run needs around it: versions without known holes, ports, services, GPUs, keys.

Each check returns what it found and, where that keeps a run from working, one line with the mend.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from polylm_core.redaction import redacted
from polylm_core.safety import HOLES, hole_in, prefect_problem, ray_problem
from polylm_core.settings import Profile

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    found: str
    problem: str | None = None


def packages(names: Iterable[str]) -> Iterator[Check]:
    """Yield the version of each package; one with a known hole is a problem."""
    for name in dict.fromkeys([*names, *HOLES]):
        try:
            seen = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Check(name, "is not installed", f"{name} is not installed: make install")
            continue
        yield Check(name, seen, hole_in(name, seen) or None)


def ports(root: Path) -> Check:
    """Ask the check of the Makefile whether this checkout's Prefect server finds its port free."""
    command = [sys.executable, "-m", "infra.preflight", "ports"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    problem = done.stderr.strip().removeprefix("error: ") or None
    return Check("Prefect's port", "taken" if problem else "free, or its own", problem)


def prefect(ui: str) -> Check:
    """Whether the Prefect of PREFECT_API_URL answers; `ui` says what was found there."""
    given = os.environ.get("PREFECT_API_URL")
    if not given:
        return Check("Prefect", ui)
    shown = redacted(given)
    if exposed := prefect_problem(os.environ):
        return Check("Prefect", f"{shown} is open", exposed)
    try:
        with urllib.request.urlopen(f"{given.rstrip('/')}/health", timeout=ANSWER_SECONDS):
            return Check("Prefect", f"{shown} answers")
    except urllib.error.HTTPError as error:  # it asks for credentials, which Prefect has
        return Check("Prefect", f"{shown} answers with status {error.code}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        mend = "start that server, correct PREFECT_API_URL, or unset it for one of this checkout"
        problem = redacted(f"{shown}: {error}; {mend}")
        return Check("Prefect", f"{shown} does not answer", problem)


def ray(profile: Profile) -> Check:
    """Whether the Ray cluster that the profile or RAY_ADDRESS names can be reached."""
    address = profile.ray_address or os.environ.get("RAY_ADDRESS") or ""
    uses_ray = "ray" in (profile.map_backend, profile.training.backend)
    if uses_ray and (exposed := ray_problem(address, os.environ)):
        return Check("Ray", f"{redacted(address) or 'a private one'} is open", exposed)
    if not address:
        return Check("Ray", "a private one is started where it is needed")
    if address in ("auto", "local"):  # what Ray finds, or starts, by itself
        return Check("Ray", address)
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        host, port = parts.hostname or "", parts.port or 10001
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS):
            return Check("Ray", f"{address} answers")
    except (OSError, ValueError) as error:
        mend = (
            "start the cluster (ray start --head), or take ray_address out of the profile and "
            "RAY_ADDRESS out of the environment for a private one"
        )
        return Check("Ray", f"{address} does not answer", f"Ray at {address}: {error}; {mend}")


def gpus(profile: Profile) -> Check:
    """Whether the GPUs are there that the profile trains on, where that is this machine."""
    names = _gpu_names()
    found = f"{len(names)}: {', '.join(dict.fromkeys(names))}" if names else "none"
    training = profile.training
    elsewhere = profile.ray_address or os.environ.get("RAY_ADDRESS")
    if training.accelerator != "gpu" or elsewhere:
        return Check("GPUs", found)
    needed = training.min_workers or training.workers
    if len(names) >= needed:
        return Check("GPUs", found)
    problem = (
        f"the profile trains on {training.workers} GPUs, here are {len(names) or 'none'}; take "
        "another profile (POLYLM_PROFILE=laptop), set training.workers, or name the cluster that "
        "has them (RAY_ADDRESS)"
    )
    return Check("GPUs", found, problem)


def _gpu_names() -> list[str]:
    """Names of the GPUs by NVIDIA's tool; asking torch would cost seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def buckets(profile: Profile) -> Check | None:
    """Whether the standard chain has credentials, where the profile names a place in S3."""
    places = [*profile.source_locations.values(), profile.training.checkpoints.storage or ""]
    named = sorted({place for place in places if place.startswith("s3://")})
    if not named:
        return None
    # It asks the metadata service of a cloud's machine last; elsewhere nobody answers there.
    os.environ.setdefault("AWS_METADATA_SERVICE_TIMEOUT", "1")
    os.environ.setdefault("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    from botocore.session import get_session

    credentials = get_session().get_credentials()
    if credentials is not None:
        return Check("S3", f"credentials by {credentials.method}")
    problem = (
        f"no credentials for {', '.join(named)}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or give the machine a role"
    )
    return Check("S3", "no credentials", problem)
