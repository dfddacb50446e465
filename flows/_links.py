"""Where to look during and after a run, as an artifact of the parent flow in Prefect's UI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from prefect.artifacts import create_markdown_artifact

from polylm_core.pipeline import RUNS, STAGES
from polylm_core.settings import Profile

RAY_DASHBOARD_PORT = 8265
KEY = "where-to-look"


def publish(tag: str, profile: Profile) -> None:
    """Tell Prefect where the Ray dashboard, the report and the logs of this run are."""
    create_markdown_artifact(
        markdown=text(Path.cwd(), tag, profile, os.environ),
        key=KEY,
        description="Ray dashboard, report and logs of this run",
    )


def text(root: Path, tag: str, profile: Profile, environment: Mapping[str, str]) -> str:
    """The links as Markdown; `root` is the checkout that the worker stands in."""
    report = root / STAGES["report"].out / "report.html"
    lines = [
        f"- Ray dashboard: {_dashboard(profile, environment)}",
        f"- Report, once it is made: [{report}]({report.as_uri()})",
        f"- Logs, metrics and stacks of each stage: `{root / RUNS}/<stage>-<identity>/`",
        f"- Runs of its stages: those with the tag `{tag}`",
    ]
    if profile.storage.payloads is not None:
        lines.append(f"- The same after the machines are gone: `{profile.storage.payloads}/runs/`")
    return "\n".join(lines) + "\n"


def _dashboard(profile: Profile, environment: Mapping[str, str]) -> str:
    """Where the stages' Ray is seen, found as `make_backend` finds it."""
    if "ray" not in (profile.map_backend, profile.training.backend):
        return "none: the stages use no Ray"
    address = profile.ray_address or environment.get("RAY_ADDRESS")
    if not address or address == "local":
        return "none: the stages start a private Ray"
    host = urlsplit(address if "://" in address else f"ray://{address}").hostname
    if address == "auto" or host is None:
        return f"port {RAY_DASHBOARD_PORT} of the head of the cluster that the worker is part of"
    url = f"http://{f'[{host}]' if ':' in host else host}:{RAY_DASHBOARD_PORT}"
    return f"[{url}]({url})"
