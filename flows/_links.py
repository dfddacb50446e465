"""Where to look during and after a run, as an artifact of the parent flow in Prefect's UI."""

from __future__ import annotations

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from polylm_core.pipeline import RUNS, STAGES
from polylm_core.settings import Profile

RAY_DASHBOARD_PORT = 8265
KEY = "where-to-look"


def publish(tag: str, profile: Profile) -> None:
    """Tell Prefect where the Ray dashboard, the report and the logs of this run are."""
    create_markdown_artifact(
        markdown=text(Path.cwd(), tag, profile),
        key=KEY,
        description="Ray dashboard, report and logs of this run",
    )


def text(root: Path, tag: str, profile: Profile) -> str:
    """The links as Markdown; `root` is the checkout that the worker stands in."""
    report = root / STAGES["report"].out / "report.html"
    lines = [
        f"- Ray dashboard: {_dashboard(profile.ray_address)}",
        f"- Report, once it is made: [{report}]({report.as_uri()})",
        f"- Logs, metrics and stacks of each stage: `{root / RUNS}/<stage>-<identity>/`",
        f"- Runs of its stages: those with the tag `{tag}`",
    ]
    if profile.storage.payloads is not None:
        lines.append(f"- The same after the machines are gone: `{profile.storage.payloads}/runs/`")
    return "\n".join(lines) + "\n"


def _dashboard(address: str | None) -> str:
    if address is None:
        return "none: the stages start a private Ray"
    host = address.removeprefix("ray://").rpartition(":")[0] or address
    url = f"http://{host}:{RAY_DASHBOARD_PORT}"
    return f"[{url}]({url})"
