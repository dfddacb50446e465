"""Pretraining on a cluster that begins without a machine: `python -m benchmarks.cluster_demo`.

Ray's autoscaler, on this machine alone and reachable with a token only, has a head without a
processor for work. The recipe's `pretrain` asks for two ranks, two machines are brought up, one of
them is killed as a spot market would, the run goes on from its last checkpoint (with a machine in
its place, or with `--fewer`, where none is to be had any more, on the one that is left), and when
it is done the machines are given back. A timeline says when each of it happened. Ends with status 1
unless all of it did, in this order, and the loss of every step is within 1e-4 of that of the same
recipe on this machine without a cluster: `dvc repro pretrain` of this checkout, which is run first
where it is not up to date, or with `--finished` of another one, which is taken as it is.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from benchmarks.engine.cluster_run import RunFolder, StageProcess, Watch, follow, watching
from benchmarks.engine.from_zero import FromZero, from_zero
from benchmarks.engine.timeline import Timeline
from benchmarks.results import tell
from polylm_core.artifacts import Artifact
from polylm_core.errors import PolyLMError
from polylm_core.params import load_params
from polylm_core.pipeline import STAGES
from polylm_core.storage import link_or_copy
from polylm_core.training.metrics import MetricsFile
from polylm_core.training.run import CURVES_FILE
from tests.clone import ROOT

PACKAGES = ("polylm", "torch", "deepspeed", "ray")
PROFILE = "cluster-demo"
WORLD_SIZE = 2
CEILING_DIFFERENCE = 1e-4
"""Of the loss, nats a token."""
KILL_SHARE = 0.3
"""The machine is killed after the first checkpoint from this part of the steps on."""
CHECKPOINTS = 14
"""Of the whole run: what a loss costs is to be small beside the run."""
IDLE_SECONDS, QUICK_IDLE_SECONDS = 30.0, 20.0
RETURN_SECONDS = 120.0
"""After the idle time, until the machines have to be gone."""
RUN_SECONDS = 3000.0
"""After which a run that does not end is given up."""


@dataclass(frozen=True)
class Laptop:
    """The run without a cluster."""

    root: Path
    fingerprint: str
    losses: dict[int, float]


def laptop_run(root: Path) -> Laptop:
    """Return the finished `pretrain` of a checkout.

    Raises PolyLMError when it has none, or one of other parameters or inputs than are there now.
    """
    stage = STAGES["pretrain"]
    made: Artifact = stage.load(root)
    for name, artifact in stage.load_inputs(root).items():
        made.require_made_from(name, artifact)
    params = load_params(root / "params.yaml")
    config = stage.config(params).model_dump(mode="json")
    found = {name: made.manifest.params.get(name) for name in config}
    if found != config:
        raise PolyLMError(f"{made.path} is of other parameters; run `dvc repro pretrain` in {root}")
    rows = pq.read_table(made.path / CURVES_FILE).to_pylist()
    losses = {row["step"]: row["value"] for row in rows if row["metric"] == "loss"}
    return Laptop(root, made.fingerprint, losses)


def prepare(folder: Path, laptop: Laptop, *, fewer: bool) -> None:
    """Make a folder in which the stage runs: recipe, profile, inputs."""
    stage = STAGES["pretrain"]
    for name in stage.inputs:
        out = STAGES[name].out
        shutil.copytree(laptop.root / out, folder / out, copy_function=link_or_copy)
    shutil.copyfile(laptop.root / "params.yaml", folder / "params.yaml")
    profile = yaml.safe_load((ROOT / "infra/profiles/laptop.yaml").read_text(encoding="utf-8"))
    profile["training"] |= {
        "workers": WORLD_SIZE,
        "min_workers": 1,
        "full_size_wait_seconds": 0 if fewer else 600,
        "machines_wait_seconds": 600,
        "checkpoints": {"every_steps": max(1, len(laptop.losses) // CHECKPOINTS)},
    }
    profiles = folder / "infra/profiles"
    profiles.mkdir(parents=True)
    (profiles / f"{PROFILE}.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")


class Story:
    """One run on the cluster, from nothing to nothing."""

    def __init__(self, folder: Path, cluster: FromZero, watch: Watch, timeline: Timeline) -> None:
        self.run = RunFolder(folder / "runs", timeline)
        self.killed_at_step = 0
        self.killed = ""
        self._cluster = cluster
        self._watch = watch
        self._timeline = timeline
        self._stage = StageProcess(folder, cluster, PROFILE, timeline)

    def train(self, steps: int, *, fewer: bool) -> None:
        """Follow the run to its end, and take a machine away on the way, for good if `fewer`."""
        tellers = (self._watch, self.run)
        try:
            follow(
                tellers,
                lambda: self._stage.status is not None or self._worth_killing(steps),
                seconds=RUN_SECONDS,
                what="the checkpoint before the loss",
            )
            if self._stage.status is None:
                self._kill()
            if fewer:
                lost = lambda: self.killed in self._watch.lost  # noqa: E731
                follow(tellers, lost, seconds=RUN_SECONDS, what="the loss of a machine")
                self._cluster.allow(1)
            follow(
                tellers,
                lambda: self._stage.status is not None,
                seconds=RUN_SECONDS,
                what="the end of the run",
            )
            self._timeline.add("demo", f"the stage has ended with status {self._stage.status}")
        finally:
            self._stage.close()

    @property
    def status(self) -> int | None:
        """Exit status of the stage."""
        return self._stage.status

    def see_machines_go(self, seconds: float) -> None:
        """Follow the cluster until no machine is left, at most so long."""
        deadline = time.monotonic() + seconds
        over = lambda: not self._watch.machines or time.monotonic() > deadline  # noqa: E731
        follow((self._watch, self.run), over, seconds=2 * seconds, what="the end")

    def _worth_killing(self, steps: int) -> bool:
        saved = [row["step"] for row in self.run.events if row["event"] == "checkpoint"]
        return any(step >= KILL_SHARE * steps for step in saved) and len(self._watch.machines) > 1

    def _kill(self) -> None:
        self.killed_at_step = self.run.last_step()
        self.killed = sorted(self._watch.machines)[-1]
        processes = self._cluster.kill(self.killed)
        self._timeline.add(
            "demo",
            f"machine {self.killed[-6:]} is taken away with its {processes} processes, "
            f"after step {self.killed_at_step}",
        )


def claims(
    story: Story, watch: Watch, laptop: Laptop, losses: dict[int, float], idle_seconds: float
) -> dict[str, bool]:
    """Say of each thing that was to happen whether it did."""
    events = story.run.events
    starts = [row for row in events if row["event"] == "start"]
    near = all(
        abs(loss - losses.get(step, math.inf)) <= CEILING_DIFFERENCE
        for step, loss in laptop.losses.items()
    )
    path = story.run.path
    return {
        "two machines came because ranks asked": watch.asked_first is not None
        and len(watch.came) >= WORLD_SIZE
        and bool(starts)
        and starts[0]["world_size"] == WORLD_SIZE
        and starts[0]["step"] == 0,
        "one was lost in the middle": story.killed in watch.lost
        and 0 < story.killed_at_step < len(laptop.losses),
        "the run went on from a checkpoint": len(starts) > 1 and starts[1]["step"] > 0,
        "the stage ended well": story.status == 0,
        "the loss of every step is the laptop's": losses.keys() == laptop.losses.keys() and near,
        "the machines were given back": not watch.machines
        and bool(watch.given_back)
        and min(watch.given_back.values()) >= idle_seconds - 1,
        "Ray's timeline and logs are in the run's folder": path is not None
        and all(any((path / "cluster").glob(name)) for name in ("*/timeline.json", "*/logs/*")),
    }


def demo(folder: Path, laptop: Laptop, *, fewer: bool, idle_seconds: float) -> dict[str, Any]:
    """Run the story in a folder and return what was seen."""
    timeline = Timeline()
    prepare(folder, laptop, fewer=fewer)
    steps = len(laptop.losses)
    timeline.add("demo", f"a head without processors starts; the recipe has {steps} steps")
    with (
        from_zero(most=WORLD_SIZE, idle_seconds=idle_seconds) as cluster,
        watching(cluster, timeline) as watch,
    ):
        timeline.add("demo", f"the cluster is there at {cluster.address}, with 0 machines for work")
        story = Story(folder, cluster, watch, timeline)
        story.train(steps, fewer=fewer)
        story.see_machines_go(idle_seconds + RETURN_SECONDS)
    timeline.add("demo", f"{len(watch.machines)} machines are left")
    path = story.run.path
    rows = [] if path is None else MetricsFile(path / "metrics.jsonl").read()
    losses = {row.step: row.value for row in rows if row.metric == "loss"}
    starts = [row for row in story.run.events if row["event"] == "start"]
    differences = [
        abs(losses[step] - laptop.losses[step]) for step in sorted(losses) if step in laptop.losses
    ]
    out = STAGES["pretrain"].out
    published = STAGES["pretrain"].load(folder) if (folder / out).exists() else None
    return {
        "steps": steps,
        "seconds": round(timeline.seconds, 1),
        "killed_after_step": story.killed_at_step,
        "starts": [
            {name: row[name] for name in ("world_size", "step", "steps_again")} for row in starts
        ],
        "machines_brought_up": len(watch.came),
        "idle_seconds": {name[-6:]: idle for name, idle in watch.given_back.items()},
        "greatest_difference": max(differences, default=None),
        "equal_bit_for_bit": differences.count(0.0),
        "same_artifact": published is not None and published.fingerprint == laptop.fingerprint,
        "claims": claims(story, watch, laptop, losses, idle_seconds),
    }


def make_laptop_run(root: Path) -> None:
    """Bring `pretrain` of a checkout up to date on the laptop profile; raises PolyLMError."""
    outside = ("RAY_", "POLYLM_PROFILE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    print("the same recipe without a cluster: dvc repro pretrain", flush=True)
    command = [sys.executable, "-m", "dvc", "repro", "pretrain"]
    if subprocess.run(command, cwd=root, env={**kept, "PATH": path}, check=False).returncode:
        raise PolyLMError(f"`dvc repro pretrain` failed in {root}: there is nothing to compare to")


def main() -> int:
    """Show the story and compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=Path, help="a checkout whose pretrain has ended")
    parser.add_argument("--fewer", action="store_true", help="go on without another machine")
    parser.add_argument("--quick", action="store_true", help="a short idle time; keeps no result")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="polylm-cluster-demo-"))
    try:
        if options.finished is None:
            make_laptop_run(ROOT)
        laptop = laptop_run(options.finished or ROOT)
        idle_seconds = QUICK_IDLE_SECONDS if options.quick else IDLE_SECONDS
        result = demo(folder, laptop, fewer=options.fewer, idle_seconds=idle_seconds)
    except PolyLMError as error:
        print(f"error: {error}\nwhat there is of the run is in {folder}", file=sys.stderr)
        return 1
    missed = [claim for claim, holds in result["claims"].items() if not holds]
    if missed:
        print(f"did not happen: {'; '.join(missed)}; see {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    tell("cluster_demo", {**result, "missed": missed}, PACKAGES, keep=not options.quick)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
