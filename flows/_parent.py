"""The parent flow itself; imported only after the server's settings are in place."""

from __future__ import annotations

from prefect import flow, get_run_logger
from prefect.context import FlowRunContext

from flows._repro import reproduce


@flow(name="pipeline", retries=0, persist_result=False)
def pipeline(target: str | None = None) -> None:
    """Reproduce the whole pipeline, or the stages up to `target`."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    tag = f"repro-{run.name}" if run is not None else "repro"
    reproduce(target, tag, tell=get_run_logger().info)
