"""The Prefect flow around a stage; imported only after the server's settings are in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from prefect import flow, tags
from prefect.context import FlowRunContext
from prefect.settings import get_current_settings

from flows._export import exporting_to
from flows._watch import PrefectProgress
from polylm_core.progress import Progress
from polylm_core.redaction import redacted, redacted_tree

ENDS = ("on_completion", "on_failure", "on_crashed")


class HasUrl(Protocol):
    """Where the address of the flow run is kept."""

    url: str


def run_as_flow(
    stage: str,
    work: Callable[[Progress], None],
    outcome: HasUrl,
    *,
    parameters: Mapping[str, Any],
    run_name: str,
    tag: str,
    when_done: Callable[[], None],
    states: Path,
) -> None:
    """Run `work` inside a flow named like the stage.

    `when_done` is called as soon as the work itself has ended, well or not. What Prefect knows of
    the run in the end goes to `states`.
    """

    def body(config: dict[str, Any]) -> None:
        progress = PrefectProgress(stage)
        outcome.url = _url()
        try:
            work(progress)
        except Exception as error:  # the work's own is in the outcome: this is what Prefect keeps
            raise RuntimeError(redacted(f"{type(error).__name__}: {error}")) from None
        finally:
            when_done()
            progress.close()

    hooks: dict[str, Any] = {end: [exporting_to(states)] for end in ENDS}
    described = flow(
        name=stage,
        flow_run_name=run_name,
        retries=0,
        persist_result=False,
        validate_parameters=False,
        **hooks,
    )(body)
    with tags("polylm", tag):
        described(config=redacted_tree(dict(parameters)))


def _url() -> str:
    """The page of the flow run that this is called in; empty outside one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return ""
    return f"{get_current_settings().ui_url or ''}/runs/flow-run/{context.flow_run.id}"
