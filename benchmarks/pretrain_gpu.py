"""Our pretraining loop and transformers.Trainer on one GPU: `python -m benchmarks.pretrain_gpu`.

PolyLM-1.7B (GPT-2, 24 layers, 2,048 wide, 16 heads, 256,000 entries, context 2,048) in bfloat16:
our loop through ZeRO-3 with compiled blocks and Liger's fused loss, and Trainer with torch.compile
and the same loss, by turns, each in a process of its own, with the same weights, tokens, batch,
optimizer and schedule. Tokens a second are those after the first steps, which compile; medians
over the turns, of which there are as many as fit in the time. MFU is the share of the GPU's peak in
`polylm_core/training/flops.py`; memory is the most that torch has allocated on the GPU. Ends with
status 1 when our loop has less than 45 % MFU, the losses of a step differ by more than 0.1 %, or it
all took more than 8 minutes. `--ours` and `--trainer` change what a side was given, as JSON:
fields of `TrainingExecution`, and of `PeerSettings`. `--quick` is a tiny model, once, on whatever
there is, and judges the losses alone; it keeps no result.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import sides
from benchmarks.engine.pretraining import Load, Measured, PeerSettings
from benchmarks.results import tell
from polylm_core.settings import TrainingExecution
from polylm_core.training.flops import peak_tokens_per_second
from polylm_core.training.model import configuration_of, empty_model

FLOOR_MFU = 0.45
"""Of our loop; 55 % are aimed at, 49,500 tokens a second on an H200."""
CEILING_DIFFERENCE = 1e-3
"""Largest relative difference of the two sides' losses of a step."""
CEILING_SECONDS = 480.0
"""Of the whole comparison."""
LOAD = Load(24, 2048, 16, 256_000, 2048, 32, 1e-4, 0.006)
QUICK_LOAD = Load(1, 32, 2, 512, 32, 8, 0.003, 0.06)
MAX_TURNS, STEPS, WARM_STEPS = 3, 25, 10
QUICK_STEPS, QUICK_WARM_STEPS = 10, 5
PERSISTENT_ELEMENTS = 1_000_000_000
"""More than any parameter has: on one GPU there is nothing to gather them from."""
PACKAGES = ("polylm", "torch", "transformers", "accelerate", "deepspeed")
OTHER_PEERS = ("torchtitan", "litgpt")


@dataclass(frozen=True)
class Fit:
    """What a GPU has memory for."""

    micro_batch_sequences: int
    recompute: bool


FITS = ((120e9, Fit(8, recompute=False)), (70e9, Fit(4, recompute=False)))
"""By bytes of the GPU: weights, gradients and optimizer state of the 1.7B are 31 GB, and what its
blocks keep for the backward pass some 4 GB a sequence."""
LEAST_FIT = Fit(2, recompute=True)


@dataclass(frozen=True)
class Machine:
    """What the comparison runs on."""

    gpu: str | None
    """Its name."""
    gpu_bytes: int
    peak_tokens_per_second: float | None
    """Speed of the load at the GPU's peak."""

    @property
    def fit(self) -> Fit:
        """What it has memory for."""
        return next((fit for least, fit in FITS if self.gpu_bytes >= least), LEAST_FIT)


def machine(load: Load) -> Machine:
    """Look at what there is."""
    if not torch.cuda.is_available():
        return Machine(None, 0, None)
    with torch.device("meta"):
        model = empty_model(configuration_of(load.model()))
    return Machine(
        torch.cuda.get_device_name(),
        torch.cuda.get_device_properties(0).total_memory,
        peak_tokens_per_second(model, load.context, world_size=1),
    )


def settings_of(
    found: Machine, *, quick: bool, ours: Mapping[str, Any], trainer: Mapping[str, Any]
) -> tuple[TrainingExecution, PeerSettings]:
    """Return what each side is given."""
    fit = Fit(4, recompute=False) if quick else found.fit
    execution = {
        "workers": 1,
        "threads_per_worker": min(8, len(os.sched_getaffinity(0))),
        "accelerator": "gpu" if found.gpu else "cpu",
        "sharding": "zero3",
        "micro_batch_sequences": fit.micro_batch_sequences,
        "persistent_parameter_elements": PERSISTENT_ELEMENTS,
        "recompute_activations": fit.recompute,
        "compile": not quick,
    }
    peer = {
        "sequences": fit.micro_batch_sequences,
        "bf16": True,
        "compile": not quick,
        "liger": bool(found.gpu) and importlib.util.find_spec("liger_kernel") is not None,
        "recompute": fit.recompute,
    }
    return (
        TrainingExecution.model_validate({**execution, **ours}),
        PeerSettings.model_validate({**peer, **trainer}),
    )


def compare(
    setting: sides.Setting,
    execution: TrainingExecution,
    trainer: PeerSettings,
    *,
    max_turns: int,
    until: float,
) -> dict[str, list[Measured]]:
    """Run the sides by turns, once and then as long as another turn fits in the time."""
    setting.write_tokens()
    found: dict[str, list[Measured]] = {"ours": [], "trainer": []}
    # Ours ends before it would save, as Trainer does.
    ours = ["benchmarks.engine.train_ours", "--stop-after-step", str(setting.steps)]
    peer = ["benchmarks.engine.train_peer", trainer.model_dump_json()]
    longest = 0.0
    for turn in range(max_turns):
        began = time.monotonic()
        if turn and began + longest > until:
            break
        found["ours"].append(setting.run(f"ours-{turn}", execution, ours))
        found["trainer"].append(setting.run(f"trainer-{turn}", execution, peer))
        longest = max(longest, time.monotonic() - began)
        latest = {name: round(rows[-1].tokens_per_second) for name, rows in found.items()}
        print(f"turn {turn + 1}: tokens/s {latest}", file=sys.stderr, flush=True)
    return found


def summary(found: Mapping[str, list[Measured]], peak: float | None) -> dict[str, Any]:
    """Return what the sides took, with their MFU where the peak is known."""
    told = sides.summaries(found)
    for side in told.values():
        side["mfu"] = None if peak is None else round(side["tokens_per_second"] / peak, 4)
    ratio = sides.ratio(found["ours"], found["trainer"])
    difference = sides.loss_difference({name: rows[0].losses for name, rows in found.items()})
    return {
        "sides": told,
        "ours_over_trainer": round(ratio, 3),
        "loss_difference": round(difference, 6),
    }


def shortfalls(result: Mapping[str, Any], *, judges_speed: bool) -> list[str]:
    """Return what is below its floor."""
    problems = []
    if result["loss_difference"] > CEILING_DIFFERENCE:
        problems.append(f"losses differ by {result['loss_difference']}")
    if not judges_speed:
        return problems
    mfu = result["sides"]["ours"]["mfu"]
    if mfu is None:
        problems.append(f"no peak is known for {result['gpu']}: add it to training/flops.py")
    elif mfu < FLOOR_MFU:
        problems.append(f"{100 * mfu:.1f} % MFU")
    if result["seconds"] > CEILING_SECONDS:
        problems.append(f"it took {result['seconds']} seconds")
    return problems


def other_peers() -> dict[str, str]:
    """Say of each other trainer why it is not compared."""
    return {
        name: "not installed" if importlib.util.find_spec(name) is None else "has no side here"
        for name in OTHER_PEERS
    }


def main() -> int:
    """Compare; return the exit status."""
    began = time.monotonic()
    arguments = parse()
    quick: bool = arguments.quick
    load = QUICK_LOAD if quick else LOAD
    there = machine(load)
    if not quick and there.gpu is None:
        raise SystemExit("error: torch sees no GPU here; --quick tries the code without one")
    execution, trainer = settings_of(
        there, quick=quick, ours=arguments.ours, trainer=arguments.trainer
    )
    steps, warm = (QUICK_STEPS, QUICK_WARM_STEPS) if quick else (STEPS, WARM_STEPS)
    one_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    with tempfile.TemporaryDirectory(prefix="polylm-pretrain-") as folder:
        setting = sides.Setting(
            load,
            steps,
            warm,
            Path(folder),
            sorted(os.sched_getaffinity(0)),
            # Trainer would take all there are.
            environment={"CUDA_VISIBLE_DEVICES": one_gpu},
            timeout_seconds=CEILING_SECONDS,
        )
        found = compare(
            setting,
            execution,
            trainer,
            max_turns=1 if quick else MAX_TURNS,
            until=began + CEILING_SECONDS,
        )
    result: dict[str, Any] = {
        "gpu": there.gpu,
        "judged": _judged(there, quick=quick),
        "floor_mfu": FLOOR_MFU,
        "load": asdict(load),
        "precision": sides.PRECISION,
        "ours_settings": execution.model_dump(exclude_unset=True),
        "trainer_settings": trainer.model_dump(),
        "not_compared": other_peers(),
        **summary(found, None if quick else there.peak_tokens_per_second),
        "seconds": round(time.monotonic() - began),
    }
    result["below_floor"] = shortfalls(result, judges_speed=not quick)
    liger = ("liger-kernel",) if trainer.liger else ()
    tell("pretrain_gpu", result, (*PACKAGES, *liger), keep=not quick)
    return int(bool(result["below_floor"]))


def _judged(there: Machine, *, quick: bool) -> str:
    if not quick:
        return "losses, MFU and time"
    where = f"on {there.gpu}" if there.gpu else "without a GPU"
    return f"losses alone: a tiny model {where} says nothing of speed"


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ours", type=json.loads, default={}, help="JSON: TrainingExecution")
    parser.add_argument("--trainer", type=json.loads, default={}, help="JSON: PeerSettings")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
