"""What an autoscaler does is said in words."""

from __future__ import annotations

from ray.core.generated import autoscaler_pb2 as messages

from polylm_core.compute.ray_autoscaler import described


def test_nothing_is_said_where_nothing_is_under_way() -> None:
    assert described(messages.AutoscalingState()) == ""


def test_machines_on_the_way_are_counted_by_kind() -> None:
    state = messages.AutoscalingState()
    state.pending_instance_requests.add(ray_node_type_name="spot", count=3)
    state.pending_instances.add(ray_node_type_name="spot", instance_id="i-1")
    state.pending_instances.add(ray_node_type_name="head", instance_id="i-2")
    assert described(state) == "; its autoscaler: 1 of head on the way, 4 of spot on the way"


def test_what_failed_and_what_cannot_be_had_is_told_with_the_reason() -> None:
    state = messages.AutoscalingState()
    reason = "InsufficientInstanceCapacity: there is no Spot capacity"
    state.failed_instance_requests.add(ray_node_type_name="spot", count=2, reason=reason)
    state.infeasible_gang_resource_requests.add()
    assert described(state) == (
        f"; its autoscaler: 2 of spot did not come up: {reason}, "
        "what the cluster may have at most does not do"
    )
