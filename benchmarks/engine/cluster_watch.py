"""What changes in a Ray cluster, a JSON line each, until standard input ends.

`python -m benchmarks.engine.cluster_watch watch ADDRESS`; a process of its own, because one process
knows one cluster's token. `... notice ADDRESS MACHINE SECONDS` says that a machine will be taken
away. A line has `at` (seconds since 1970) and one of

- `asked`: what a group of ranks waits for, as `2 x CPU 1`; empty once nothing is waited for
- `launching`: machines that are on the way
- `machine`, `was`, `now`, `idle_seconds`: a machine that came, went, or became idle or busy
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.engine.from_zero import HEAD_ID
from polylm_core.compute.process import die_with_parent

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10
GONE = "DEAD"


@dataclass(frozen=True)
class View:
    """What was last seen."""

    asked: str
    launching: int
    machines: dict[str, tuple[str, float]]
    """By name: status (RUNNING, IDLE, DRAINING, DEAD) and seconds without work."""


def view(status: Any) -> View:
    """Return what a GetClusterStatusReply says."""
    names: Any = importlib.import_module("ray.core.generated.autoscaler_pb2").NodeStatus
    state, scaling = status.cluster_resource_state, status.autoscaling_state
    bundles = Counter(
        " ".join(f"{name} {amount:g}" for name, amount in sorted(request.resources_bundle.items()))
        for gang in state.pending_gang_resource_requests
        for request in gang.requests
    )
    return View(
        asked=", ".join(f"{count} x {bundle}" for bundle, count in sorted(bundles.items())),
        launching=sum(request.count for request in scaling.pending_instance_requests)
        + len(scaling.pending_instances),
        machines={
            node.instance_id: (names.Name(node.status), node.idle_duration_ms / 1000)
            for node in state.node_states
            if node.instance_id != HEAD_ID
        },
    )


def changes(before: View, after: View) -> Iterator[dict[str, Any]]:
    """Yield what became of one view."""
    if after.asked != before.asked:
        yield {"asked": after.asked}
    if after.launching != before.launching:
        yield {"launching": after.launching}
    for name, (now, idle) in sorted(after.machines.items()):
        was, was_idle = before.machines.get(name, ("", 0.0))
        if now != was:
            seconds = round(max(idle, was_idle), 1)
            yield {"machine": name, "was": was, "now": now, "idle_seconds": seconds}


def watch(address: str) -> None:
    """Print changes until standard input ends."""
    messages: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
    client: Any = importlib.import_module("ray._raylet").GcsClient(address=address)
    seen = View("", 0, {})
    while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        status = messages.GetClusterStatusReply()
        status.ParseFromString(client.get_cluster_status(timeout_s=ANSWER_SECONDS))
        now = view(status)
        for change in changes(seen, now):
            print(json.dumps({"at": time.time(), **change}), flush=True)
        seen = now


def give_notice(address: str, machine: str, seconds: float) -> None:
    """Have Ray drain a machine that is named as its provider names it: by its node's id."""
    client: Any = importlib.import_module("ray._raylet").GcsClient(address=address)
    messages: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
    reason = messages.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline = int((time.time() + seconds) * 1000)
    accepted, why = client.drain_node(machine, reason, "taken back", deadline)
    assert accepted, why


def main() -> None:
    """Do what the command line says."""
    die_with_parent()
    what, address, *rest = sys.argv[1:]
    if what == "notice":
        give_notice(address, rest[0], float(rest[1]))
    else:
        watch(address)
    sys.stdout.flush()
    os._exit(0)  # Ray's client has threads that outlive it


if __name__ == "__main__":
    main()
