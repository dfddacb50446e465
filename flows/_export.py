"""What Prefect knows of a flow run as JSON lines beside the artifacts, for when the server is gone.

Best effort and bounded: a server that does not answer costs a warning.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging.handlers import APILogHandler

from polylm_core.redaction import redacted_tree
from polylm_core.storage import write_atomic

PAGE = 200
"""Rows of one answer: the most a server gives."""
MAX_LOGS = 10_000
SETTLE_SECONDS = 3.0
"""How long the states of tasks may take from this process into the server's tables."""

Hook = Callable[[Any, Any, Any], None]


def exporting_to(file: Path) -> Hook:
    """Return a hook for the end of a flow that appends the run to `file`."""

    def hook(flow: Any, flow_run: Any, state: Any) -> None:
        try:
            APILogHandler().flush()
            with get_client(sync_client=True) as client:
                rows = [redacted_tree(row) for row in _rows(client, flow_run.id)]
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            earlier = file.read_bytes() if file.exists() else b""
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, earlier + "".join(f"{line}\n" for line in lines).encode())
        # The work has ended: whatever the server or the disk lacks now must not change how.
        except Exception as error:
            print(f"warning: no states were written to {file}: {error}", file=sys.stderr)

    return hook


def _rows(client: SyncPrefectClient, run: UUID) -> Iterator[dict[str, Any]]:
    """The flow run, the states it went through, its tasks and its logs, each in time's order."""
    flow_run = client.read_flow_run(run)
    yield {"kind": "flow-run", "id": str(run), "name": flow_run.name, "tags": flow_run.tags}
    for state in client.read_flow_run_states(run):
        yield {"kind": "flow-state", **_state(state)}
    for task in _settled(client, run):
        state_of = {} if task.state is None else _state(task.state)
        yield {
            "kind": "task-run",
            "name": task.name,
            "started": _time(task.start_time),
            "ended": _time(task.end_time),
            **state_of,
        }
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    for offset in range(0, MAX_LOGS, PAGE):
        page = client.read_logs(chosen, limit=PAGE, offset=offset)
        for log in page:
            yield {"kind": "log", "at": _time(log.timestamp), "message": log.message}
        if len(page) < PAGE:
            return
    yield {"kind": "cut", "after_logs": MAX_LOGS}


def _settled(client: SyncPrefectClient, run: UUID) -> list[TaskRun]:
    """The tasks of a flow run, once the server knows how all of them ended."""
    deadline = time.monotonic() + SETTLE_SECONDS
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    while True:
        tasks = client.read_task_runs(flow_run_filter=chosen, limit=PAGE)
        ended = all(task.state is not None and task.state.is_final() for task in tasks)
        if ended or time.monotonic() > deadline:
            return sorted(tasks, key=lambda task: (_time(task.start_time), task.name))
        time.sleep(0.2)


def _state(state: State[Any]) -> dict[str, Any]:
    return {"state": state.name, "at": _time(state.timestamp), "message": state.message}


def _time(moment: Any) -> str:
    return "" if moment is None else str(moment)
