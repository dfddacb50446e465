"""The story of a run on a cluster: what is seen of machines, and what counts as having happened."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from ray.autoscaler._private.util import validate_config
from ray.core.generated import autoscaler_pb2 as messages

from benchmarks.cluster_demo import Laptop, Story, claims
from benchmarks.engine.cluster_run import RunFolder, Watch
from benchmarks.engine.cluster_watch import View, changes, view
from benchmarks.engine.from_zero import HEAD_ID, scaling
from benchmarks.engine.timeline import Timeline

GOOD = [
    {"at": 1.0, "asked": "2 x CPU 1"},
    {"at": 2.0, "launching": 2},
    {"at": 3.0, "machine": "one", "was": "", "now": "IDLE", "idle_seconds": 0.0},
    {"at": 3.1, "machine": "two", "was": "", "now": "IDLE", "idle_seconds": 0.0},
    {"at": 4.0, "machine": "one", "was": "IDLE", "now": "RUNNING", "idle_seconds": 0.5},
    {"at": 4.0, "machine": "two", "was": "IDLE", "now": "RUNNING", "idle_seconds": 0.5},
    {"at": 5.0, "machine": "two", "was": "RUNNING", "now": "DEAD", "idle_seconds": 0.0},
    {"at": 6.0, "machine": "three", "was": "", "now": "RUNNING", "idle_seconds": 0.0},
    {"at": 7.0, "machine": "one", "was": "RUNNING", "now": "IDLE", "idle_seconds": 0.2},
    {"at": 7.0, "machine": "three", "was": "RUNNING", "now": "IDLE", "idle_seconds": 0.2},
    {"at": 9.0, "machine": "one", "was": "IDLE", "now": "DEAD", "idle_seconds": 5.5},
    {"at": 9.0, "machine": "three", "was": "DRAINING", "now": "DEAD", "idle_seconds": 5.4},
]
EVENTS = [
    {"event": "start", "step": 0, "world_size": 2, "steps_again": 0},
    {"event": "checkpoint", "step": 4},
    {"event": "start", "step": 4, "world_size": 2, "steps_again": 1},
]
LOSSES = {step: 8 / step for step in range(1, 9)}
LAPTOP = Laptop(Path(), "", LOSSES)


def seen(rows: list[dict[str, Any]]) -> Watch:
    watch = Watch(Timeline())
    watch.read(io.StringIO("".join(json.dumps(row) + "\n" for row in rows)))
    watch.take()
    return watch


class Told:
    """A story that has ended."""

    killed, killed_at_step, status = "two", 5, 0

    def __init__(self, folder: Path, events: list[dict[str, Any]]) -> None:
        work = folder / "runs/pretrain-1"
        (work / "cluster/1/logs/one").mkdir(parents=True)
        (work / "cluster/1/timeline.json").touch()
        (work / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in events))
        self.run = RunFolder(folder / "runs", Timeline())


def told(folder: Path, events: list[dict[str, Any]]) -> Story:
    return cast("Story", Told(folder, events))


def missed(story: Story, watch: Watch, losses: dict[int, float]) -> list[str]:
    found = claims(story, watch, LAPTOP, losses, 5.0)
    return [claim for claim, holds in found.items() if not holds]


def test_the_whole_story_holds(tmp_path: Path) -> None:
    assert missed(told(tmp_path, EVENTS), seen(GOOD), LOSSES) == []


def test_machines_that_are_lost_are_not_those_that_are_given_back() -> None:
    watch = seen(GOOD)
    assert watch.lost == ["two"]
    assert watch.given_back == {"one": 5.5, "three": 5.4}
    assert watch.most == 2


def test_each_thing_that_did_not_happen_is_missed(tmp_path: Path) -> None:
    story = told(tmp_path / "a", EVENTS)
    one_rank = told(tmp_path / "b", [{**EVENTS[0], "world_size": 1}, *EVENTS[1:]])
    one_start = told(tmp_path / "c", EVENTS[:2])
    again = told(tmp_path / "d", [*EVENTS[:2], {**EVENTS[2], "step": 0}])
    assert missed(one_rank, seen(GOOD), LOSSES) == ["two machines came because ranks asked"]
    assert missed(story, seen(GOOD[1:]), LOSSES) == ["two machines came because ranks asked"]
    assert missed(one_start, seen(GOOD), LOSSES) == ["the run went on from a checkpoint"]
    assert missed(again, seen(GOOD), LOSSES) == ["the run went on from a checkpoint"]
    assert missed(story, seen([*GOOD[:6], *GOOD[7:]]), LOSSES) == [
        "one was lost in the middle",
        "the machines were given back",
    ]
    assert missed(story, seen(GOOD[:-1]), LOSSES) == ["the machines were given back"]


@pytest.mark.parametrize(
    "losses",
    [
        {**LOSSES, 3: LOSSES[3] + 2e-4},
        {step: loss for step, loss in LOSSES.items() if step != 8},
        {**LOSSES, 9: 1.0},
        {**LOSSES, 2: float("nan")},
    ],
)
def test_a_loss_that_is_another_or_is_lacking_is_missed(
    tmp_path: Path, losses: dict[int, float]
) -> None:
    story = told(tmp_path, EVENTS)
    assert missed(story, seen(GOOD), losses) == ["the loss of every step is the laptop's"]


def test_a_view_leaves_the_head_out_and_adds_up_what_is_asked_for() -> None:
    status = messages.GetClusterStatusReply()
    state = status.cluster_resource_state
    state.node_states.add(instance_id=HEAD_ID, status=messages.NodeStatus.RUNNING)
    state.node_states.add(instance_id="one", status=messages.NodeStatus.IDLE, idle_duration_ms=1500)
    gang = state.pending_gang_resource_requests.add()
    for _ in range(2):
        gang.requests.add().resources_bundle["CPU"] = 1
    status.autoscaling_state.pending_instance_requests.add(count=2)
    assert view(status) == View("2 x CPU 1", 2, {"one": ("IDLE", 1.5)})


def test_only_what_changes_is_told() -> None:
    before = View("2 x CPU 1", 0, {"one": ("IDLE", 1.0)})
    after = View("2 x CPU 1", 0, {"one": ("DEAD", 0.0), "two": ("RUNNING", 0.0)})
    assert list(changes(before, before)) == []
    assert list(changes(before, after)) == [
        {"machine": "one", "was": "IDLE", "now": "DEAD", "idle_seconds": 1.0},
        {"machine": "two", "was": "", "now": "RUNNING", "idle_seconds": 0.0},
    ]


def test_the_cluster_is_of_the_form_that_ray_reads() -> None:
    form = scaling("127.0.0.1:1", most=2, idle_seconds=30)
    validate_config(form)
    with pytest.raises(Exception, match="is not of type"):
        validate_config({**form, "idle_timeout_minutes": "half"})
