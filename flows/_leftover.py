"""Runs of stages that were killed with their pipeline, ended in Prefect as they are in truth.

A process that is killed says nothing: its run would be shown as running for as long as the server
keeps it, or until a heartbeat is missed where somebody watches for that.
"""

from __future__ import annotations

import sys
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Crashed

UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def tag_of(flow_run: Any) -> str:
    """What the runs of a pipeline's stages are found by."""
    return f"repro-{flow_run.name}"


def end_stages(flow: Any, flow_run: Any, state: Any) -> None:
    """Hook for the end of the parent flow: none of its stages is at work any more."""
    ending = Cancelled if state.is_cancelled() or state.is_cancelling() else Crashed
    ended: State[Any] = ending(message=f"ended with the pipeline run {flow_run.name}")
    chosen = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag_of(flow_run)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY)),
    )
    try:
        with get_client(sync_client=True) as client:
            for run in client.read_flow_runs(flow_run_filter=chosen):
                client.set_flow_run_state(run.id, ended, force=True)
    # The work has ended: what the server does not take now must not change how.
    except Exception as error:
        print(f"warning: Prefect may show stages as running that are not: {error}", file=sys.stderr)
