"""Kills a training run again and again and compares its end: `python -m benchmarks.chaos`.

Two ZeRO-3 ranks train a small model under Ray Train on two machines (raylets of this one). At
moments drawn from `--seed` a rank, a machine, the stage's process or Ray Train's own is killed with
SIGKILL, between two saves, inside one, or while the ranks load their state; a lost machine and a
lost stage are started anew. Ends with status 1 unless, after `--kills` of them, every checkpoint
(weights and both moments of Adam of all ranks), the metrics and the exported model are byte for
byte those of a run nobody disturbed, every step that was done again is on record, and no kill cost
more steps than there are between two checkpoints. `--quick` kills three times and keeps no result.
With `--folder` a benchmark that was itself interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.engine.chaos_job import chaos_job, run
from benchmarks.engine.chaos_plan import (
    CHECKPOINT_EVERY_STEPS,
    WORLD_SIZE,
    Kill,
    plan,
    steps_of,
)
from benchmarks.engine.chaos_run import Attack
from benchmarks.engine.machines import machines
from benchmarks.results import tell
from polylm_core.compute.local import LocalBackend
from polylm_core.storage import sha256_file
from polylm_core.training.events import read_events

PACKAGES = ("polylm", "torch", "deepspeed", "ray")
KILLS, QUICK_KILLS = 20, 3


def outcome(folder: Path) -> dict[str, Any]:
    """Return what a run came to: the digests of its checkpoints by step, metrics, export."""
    events = read_events(folder / "run/events.jsonl")
    states: dict[int, set[str]] = {}
    for row in events:
        if row["event"] == "checkpoint":
            states.setdefault(row["step"], set()).add(row["state"])
    return {
        "states": states,
        "metrics": sha256_file(folder / "run/metrics.jsonl"),
        "export": sha256_file(folder / "run/export/model.safetensors"),
    }


def differences(undisturbed: Path, attacked: Path, steps: int) -> list[str]:
    """Say in what the runs differ."""
    one, other = outcome(undisturbed), outcome(attacked)
    found = [f"the {what} differ" for what in ("metrics", "export") if one[what] != other[what]]
    for step, states in one["states"].items():
        if step in other["states"] and other["states"][step] != states:
            found.append(f"the checkpoint after step {step} differs")
    if steps not in one["states"] or one["states"][steps] != other["states"].get(steps):
        found.append("the last checkpoint is missing or differs")
    return found


def unrecorded(kills: Sequence[dict[str, Any]]) -> list[str]:
    """Say which kills cost steps that the run's record does not tell of."""
    found = []
    for kill in kills:
        again = kill["struck_at_step"] - kill["resumed_from_step"]
        if kill["moment"] != "start" and kill["steps_again"] < again:
            found.append(f"kill {kill['number']}: {again} steps again, {kill['steps_again']} told")
    return found


def beyond_interval(kills: Sequence[dict[str, Any]]) -> list[str]:
    """Say which kills cost more steps than there are between two checkpoints.

    A step is measured before its checkpoint is written, so a kill inside the save of step k costs
    the steps from k less the interval to k: exactly the interval, and none costs more. Ranks go on
    between the look at `struck_at_step` and their end; `steps_again` is what they had measured.
    """
    found = []
    for kill in kills:
        lost = max(kill["struck_at_step"] - kill["resumed_from_step"], kill["steps_again"])
        if lost > CHECKPOINT_EVERY_STEPS:
            found.append(
                f"kill {kill['number']}: {lost} steps lost, {CHECKPOINT_EVERY_STEPS} between saves"
            )
    return found


def attack(folder: Path, kills: Sequence[Kill], steps: int) -> list[dict[str, Any]]:
    """Run the job under attack, or go on with that; return what each kill did."""
    with machines(WORLD_SIZE) as cluster:
        attacked = Attack(folder, steps, cluster)
        try:
            attacked.start()
            for kill in kills[len(attacked.done) :]:
                attacked.strike(kill)
                print(f"killed: {kill}", file=sys.stderr, flush=True)
            attacked.finish()
        finally:
            attacked.close()
        return attacked.done


def timeline(kills: Sequence[dict[str, Any]]) -> str:
    """Draw a line for each kill."""
    lines = []
    for kill in kills:
        who = kill["victim"] + (f" {kill['rank']}" if kill["victim"] == "worker" else "")
        when = {"step": "between saves", "save": "inside a save", "start": "at its start"}
        lines.append(
            f"step {kill['struck_at_step']:5}  {who:10} killed {when[kill['moment']]:13}  resumed "
            f"from {kill['resumed_from_step']:5}, {kill['steps_again']:2} steps again, "
            f"after {kill['seconds']:5.1f} s"
        )
    return "\n".join(lines)


def chaos(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run the job undisturbed and under attack below a folder; return the result."""
    planned = plan(kills, seed)
    steps = steps_of(planned)
    undisturbed, attacked = folder / "undisturbed", folder / "attacked"
    if not (undisturbed / "run/export/model.safetensors").is_file():
        backend = LocalBackend(map_workers=1, training_workers=WORLD_SIZE, threads_per_worker=1)
        run(chaos_job(undisturbed, steps), backend)
    done = attack(attacked, planned, steps)
    print(timeline(done), file=sys.stderr, flush=True)
    missing = [] if len(done) == kills else [f"{len(done)} of {kills} kills are on record"]
    return {
        "kills": len(done),
        "seed": seed,
        "steps": steps,
        "steps_done_again": sum(kill["steps_again"] for kill in done),
        "victims": dict(Counter(kill["victim"] for kill in done)),
        "moments": dict(Counter(kill["moment"] for kill in done)),
        "median_seconds_to_resume": sorted(kill["seconds"] for kill in done)[len(done) // 2],
        "differences": [
            *differences(undisturbed, attacked, steps),
            *unrecorded(done),
            *beyond_interval(done),
            *missing,
        ],
        "record": done,
    }


def main() -> int:
    """Attack a run and compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the runs lie, to go on with them")
    arguments = parser.parse_args()
    kills = arguments.kills or (QUICK_KILLS if arguments.quick else KILLS)
    with tempfile.TemporaryDirectory(prefix="polylm-chaos-") as scratch:
        folder = (arguments.folder or Path(scratch)).absolute()
        result = chaos(folder, kills, arguments.seed)
    tell("chaos", result, PACKAGES, keep=not arguments.quick)
    return int(bool(result["differences"]))


if __name__ == "__main__":
    sys.exit(main())
