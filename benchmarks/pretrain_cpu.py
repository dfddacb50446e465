"""Our pretraining loop and transformers.Trainer on two cores: `python -m benchmarks.pretrain_cpu`.

Three sides, each in processes of its own, with the same model, weights, tokens, global batch,
optimizer and schedule: the loop unsharded (one process, two threads), Trainer (one process, two
threads, the fastest of its settings; `--sweep` tries them), and the loop as two ZeRO-3 workers that
Ray starts, as the laptop profile has it. The two single processes compile. The sides do five steps
by turns, the others held still, so that what slows the machine for seconds slows all. Tokens a
second are those of the median group of five steps after the first groups, in which they compile;
ratios are medians over the pairs of groups done one after the other, of all turns. Memory is the
largest resident set. Ends with status 1 when the loop unsharded has less than 1.3 times Trainer's
tokens a second or more memory, the workers less than 0.65 times the loop's, or the losses of a step
differ by more than 0.1 %.
`--quick` is a tiny model, once, and judges the losses alone; it keeps no result.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine import sides
from benchmarks.engine.baton import Baton
from benchmarks.engine.pretraining import Load, Measured, PeerSettings
from benchmarks.results import tell
from polylm_core.settings import TrainingExecution

FLOOR_UNSHARDED = 1.3
"""Tokens a second of our loop unsharded, in Trainer's."""
FLOOR_ZERO3 = 0.65
"""Tokens a second of two ZeRO-3 workers, in those of our loop unsharded."""
CEILING_DIFFERENCE = 1e-3
"""Largest relative difference of two sides' losses of a step."""
PACKAGES = ("polylm", "torch", "transformers", "accelerate", "deepspeed", "ray")
LOADS = {
    # The shape and batch of params.yaml; and one nearer to a real model, with a larger head.
    "default": Load(3, 192, 3, 8_000, 256, 8, 0.003, 0.06),
    "larger": Load(6, 384, 6, 32_000, 256, 8, 0.001, 0.02),
}
QUICK_LOADS = {"tiny": Load(1, 32, 2, 512, 32, 8, 0.003, 0.06)}
TURNS, STEPS, WARM_STEPS = 3, 90, 15
QUICK_STEPS, QUICK_WARM_STEPS = 10, 5
TRAINER = PeerSettings(sequences=4, bf16=True, compile=True)
"""The fastest of `SWEEP`."""
QUICK_TRAINER = PeerSettings(sequences=4, bf16=True)
SWEEP = tuple(
    PeerSettings(sequences=sequences, bf16=bf16, compile=compiled, attention=attention)
    for compiled in (False, True)
    for bf16 in (False, True)
    for attention in ("sdpa", "eager")
    for sequences in (8, 4)
)
UNSHARDED = TrainingExecution(sharding="none", workers=1, threads_per_worker=2, compile=True)
ZERO3 = TrainingExecution(persistent_parameter_elements=10_000_000)
"""As in infra/profiles/laptop.yaml."""


class Setting(sides.Setting):
    """What all sides of the comparison are given, and the sides."""

    def turn(self, name: str, settings: PeerSettings) -> list[Measured]:
        """Our loop in one process, Trainer, and our loop on two workers, by turns of five steps.

        Ours in one process ends before it would save, as Trainer does.
        """
        baton = self.folder / f"baton-{name}"
        ours = ["benchmarks.engine.train_ours", "--stop-after-step", str(self.steps)]
        workers = ["benchmarks.engine.train_ours", "--launch", "ray"]
        programs = (
            ("unsharded", UNSHARDED, ours),
            ("trainer", UNSHARDED, peer(settings)),
            ("zero3", ZERO3, workers),
        )
        Baton.create(baton, len(programs))
        return sides.finish_together(
            [
                self.start(
                    f"{side}-{name}",
                    execution,
                    [*program, "--baton", str(baton), "--place", str(place)],
                )
                for place, (side, execution, program) in enumerate(programs)
            ]
        )

    def trainer(self, name: str, settings: PeerSettings) -> Measured:
        """Trainer in one process."""
        return self.run(f"trainer-{name}", UNSHARDED, peer(settings))


def peer(settings: PeerSettings) -> list[str]:
    """Return Trainer's program with what was chosen for it."""
    return ["benchmarks.engine.train_peer", settings.model_dump_json()]


def compare(setting: Setting, trainer: PeerSettings, turns: int) -> dict[str, Any]:
    """Run all sides `turns` times; return their medians."""
    setting.write_tokens()
    found: dict[str, list[Measured]] = {"unsharded": [], "trainer": [], "zero3": []}
    for turn in range(turns):
        for rows, row in zip(found.values(), setting.turn(str(turn), trainer), strict=True):
            rows.append(row)
        latest = {name: round(rows[-1].tokens_per_second) for name, rows in found.items()}
        print(f"turn {turn + 1}: tokens/s {latest}", file=sys.stderr, flush=True)
    losses = {name: rows[0].losses for name, rows in found.items()}
    unsharded = found["unsharded"]
    return {
        "turns": turns,
        "steps": setting.steps,
        "warm_steps": setting.warm_steps,
        "sides": sides.summaries(found),
        "unsharded_over_trainer": round(sides.paired_ratio(unsharded, found["trainer"]), 3),
        "zero3_over_unsharded": round(sides.paired_ratio(found["zero3"], unsharded), 3),
        "loss_difference": round(sides.loss_difference(losses), 6),
    }


def shortfalls(found: Mapping[str, Mapping[str, Any]], *, judges_speed: bool) -> list[str]:
    """Return what is below its floor."""
    problems = []
    for name, result in found.items():
        if result["loss_difference"] > CEILING_DIFFERENCE:
            problems.append(f"{name}: losses differ by {result['loss_difference']}")
        if not judges_speed:
            continue
        if result["unsharded_over_trainer"] < FLOOR_UNSHARDED:
            problems.append(f"{name}: {result['unsharded_over_trainer']} of Trainer's speed")
        if result["zero3_over_unsharded"] < FLOOR_ZERO3:
            problems.append(f"{name}: ZeRO-3 {result['zero3_over_unsharded']} of the loop's speed")
        told = result["sides"]
        if told["unsharded"]["peak_megabytes"] > told["trainer"]["peak_megabytes"]:
            problems.append(f"{name}: more memory than Trainer")
    return problems


def sweep(setting: Setting) -> list[dict[str, Any]]:
    """Try Trainer's settings; return them with their speeds, the fastest first."""
    setting.write_tokens()
    rows = []
    for number, settings in enumerate(SWEEP):
        speed = setting.trainer(str(number), settings).tokens_per_second
        rows.append({**settings.model_dump(), "tokens_per_second": round(speed)})
        print(rows[-1], file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: -float(str(row["tokens_per_second"])))


def main() -> int:
    """Compare, or try Trainer's settings; return the exit status."""
    arguments = parse()
    quick: bool = arguments.quick
    loads = QUICK_LOADS if quick else {name: LOADS[name] for name in arguments.loads}
    steps, warm = (QUICK_STEPS, QUICK_WARM_STEPS) if quick else (arguments.steps, WARM_STEPS)
    found: dict[str, Any] = {}
    for name, load in loads.items():
        with tempfile.TemporaryDirectory(prefix="polylm-pretrain-") as folder:
            setting = Setting(load, steps, warm, Path(folder), arguments.cpus)
            if arguments.sweep:
                found[name] = sweep(setting)
            elif quick:
                found[name] = compare(setting, QUICK_TRAINER, 1)
            else:
                found[name] = compare(setting, TRAINER, arguments.turns)
    if arguments.sweep:
        tell("pretrain_cpu_sweep", {"loads": found}, PACKAGES, keep=False)
        return 0
    result = {
        "floors": {"unsharded": FLOOR_UNSHARDED, "zero3": FLOOR_ZERO3},
        "precision": sides.PRECISION,
        "trainer_settings": (QUICK_TRAINER if quick else TRAINER).model_dump(),
        "loads": found,
        "below_floor": shortfalls(found, judges_speed=not quick),
    }
    tell("pretrain_cpu", result, PACKAGES, keep=not quick)
    return int(bool(result["below_floor"]))


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sweep", action="store_true", help="try Trainer's settings instead")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=["default"])
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cpus", type=int, nargs="+", default=sorted(os.sched_getaffinity(0))[:2])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
