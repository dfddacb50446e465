"""What a Ray cluster's autoscaler does about the machines that are asked for, in words.

`ray status` tells the same; a stage that waits says it to whoever waits for the stage.
"""

from __future__ import annotations

import importlib
from typing import Any

import ray

ANSWER_SECONDS = 5
MAX_REASON_CHARACTERS = 200


def account() -> str:
    """Return what is said after a lack of machines: nothing where no autoscaler has reported."""
    address = ray.get_runtime_context().gcs_address
    messages: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
    status: Any = messages.GetClusterStatusReply()
    try:
        client: Any = importlib.import_module("ray._raylet").GcsClient(address=address)
        status.ParseFromString(client.get_cluster_status(timeout_s=ANSWER_SECONDS))
    except (ray.exceptions.RayError, RuntimeError) as error:
        return f" (its autoscaler cannot be asked: {type(error).__name__})"
    return described(status.autoscaling_state)


def described(state: Any) -> str:
    """Say what an AutoscalingState has under way, what failed, and what cannot be had at all."""
    parts = [
        f"{request.count} of {request.ray_node_type_name} did not come up: "
        f"{request.reason.strip()[:MAX_REASON_CHARACTERS] or 'no reason is told'}"
        for request in state.failed_instance_requests
    ]
    coming: dict[str, int] = {}
    for request in state.pending_instance_requests:
        name = request.ray_node_type_name
        coming[name] = coming.get(name, 0) + request.count
    for instance in state.pending_instances:
        name = instance.ray_node_type_name
        coming[name] = coming.get(name, 0) + 1
    parts += [f"{count} of {name} on the way" for name, count in sorted(coming.items())]
    if state.infeasible_gang_resource_requests:
        parts.append("what the cluster may have at most does not do")
    return f"; its autoscaler: {', '.join(parts)}" if parts else ""
